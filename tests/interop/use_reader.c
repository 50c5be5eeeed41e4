/* The library of spec/readers/c as a program uses it; argument: a container with a rotated tensor. */
#include "cmodel_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition);    \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

static void check_names(const cmodel *file) {
    char name[8];
    CHECK(cmodel_name(file, 0, NULL, 0) == 6);
    memset(name, '.', sizeof name);
    CHECK(cmodel_name(file, 0, name, 4) == 6 && memcmp(name, "conv....", 8) == 0);
    CHECK(cmodel_name(file, 0, name, sizeof name) == 6 && memcmp(name, "conv/0..", 8) == 0);
}

static void check_tensor(cmodel *file, size_t index) {
    cmodel_tensor tensor;
    cmodel_error error;
    cmodel_describe(file, index, &tensor);
    CHECK(tensor.part_count == (tensor.form == CMODEL_PRODUCT ? 2 : 1));
    for (unsigned part = 0; part < tensor.part_count; part++) {
        uint64_t elements = tensor.parts[part].elements;
        float *values = malloc((size_t)elements * sizeof *values);
        CHECK(values != NULL);
        CHECK(cmodel_decode(file, index, part, values, elements - 1, &error) == CMODEL_LIMIT_MEMORY);
        CHECK(cmodel_decode(file, index, part, values, elements, &error) == CMODEL_OK);
        CHECK(part > 0 || cmodel_crc32(file, values, elements) == tensor.crc32);
        free(values);
    }
}

int main(int count, char **arguments) {
    static unsigned char data[1 << 20];
    cmodel *file;
    cmodel_error error;
    CHECK(count == 2);
    FILE *stream = fopen(arguments[1], "rb");
    CHECK(stream != NULL);
    size_t size = fread(data, 1, sizeof data, stream);
    fclose(stream);

    CHECK(cmodel_open(NULL, 0, CMODEL_DEFAULT_MEMORY, &file, &error) == CMODEL_BAD_SIGNATURE);
    CHECK(file == NULL && error.status == CMODEL_BAD_SIGNATURE && error.message[0] != 0);
    CHECK(strcmp(cmodel_status_name(error.status), "bad-signature") == 0);
    CHECK(cmodel_open(data, size, 1000, &file, &error) == CMODEL_LIMIT_MEMORY);
    CHECK(cmodel_open(data, size, CMODEL_DEFAULT_MEMORY, &file, &error) == CMODEL_OK);
    CHECK(cmodel_tensor_count(file) == 4);
    check_names(file);
    for (size_t i = 0; i < cmodel_tensor_count(file); i++)
        check_tensor(file, i);
    CHECK(cmodel_check_sections(file, &error) == CMODEL_OK);
    cmodel_close(file);

    /* Damage in a section of data is found when a tensor in it is decoded. */
    float value;
    data[size - 1] ^= 1;
    CHECK(cmodel_open(data, size, CMODEL_DEFAULT_MEMORY, &file, &error) == CMODEL_OK);
    CHECK(cmodel_check_sections(file, &error) == CMODEL_CHECKSUM);
    CHECK(cmodel_decode(file, cmodel_tensor_count(file) - 1, 0, &value, 0, &error) == CMODEL_LIMIT_MEMORY);
    float values[64];
    CHECK(cmodel_decode(file, cmodel_tensor_count(file) - 1, 0, values, 64, &error) == CMODEL_CHECKSUM);
    cmodel_close(file);
    return 0;
}
