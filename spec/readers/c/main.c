/* cmodel-read FILE: print the tensors of a container as JSON, with the CRC-32 of what each decodes to. */
#include "cmodel_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USAGE = 2, CANNOT_READ = 1, BAD_FILE = 3 };

typedef struct {
    char *text;
    size_t size, room;
    uint64_t most; /* bytes that the list may have */
} output;

static void out_of_memory(void) {
    fprintf(stderr, "%s: no memory for the list of tensors\n", cmodel_status_name(CMODEL_LIMIT_MEMORY));
    exit(BAD_FILE);
}

static void append(output *out, const char *text, size_t size) {
    if (size > out->room - out->size) {
        size_t room = 2 * out->room + size + 256;
        char *more = room < size || room > out->most ? NULL : realloc(out->text, room);
        if (more == NULL)
            out_of_memory();
        out->text = more;
        out->room = room;
    }
    if (size > 0)
        memcpy(out->text + out->size, text, size);
    out->size += size;
}

static void append_text(output *out, const char *text) {
    append(out, text, strlen(text));
}

static void append_escaped(output *out, const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        char escape[8];
        if (byte == '"' || byte == '\\')
            append(out, "\\", 1);
        if (byte >= 0x20) {
            append(out, text + i, 1);
        } else {
            snprintf(escape, sizeof escape, "\\u%04x", byte);
            append_text(out, escape);
        }
    }
}

static void append_name(output *out, const cmodel *file, size_t index, const char *part) {
    size_t size = cmodel_name(file, index, NULL, 0);
    char *name = malloc(size + 1);
    if (name == NULL)
        out_of_memory();
    cmodel_name(file, index, name, size);
    append_text(out, "\"");
    append_escaped(out, name, size);
    append_text(out, *part ? ":" : "");
    append_text(out, part);
    append_text(out, "\"");
    free(name);
}

static void append_part(output *out, const cmodel *file, size_t index, const cmodel_part *part, uint32_t crc) {
    char number[32];
    append_text(out, out->size > 0 ? ",\n  " : "  ");
    append_name(out, file, index, part->name);
    append_text(out, ": {\"shape\": [");
    for (unsigned i = 0; i < part->rank; i++) {
        snprintf(number, sizeof number, "%s%llu", i > 0 ? ", " : "", (unsigned long long)part->shape[i]);
        append_text(out, number);
    }
    snprintf(number, sizeof number, "], \"crc32\": \"%08lx\"}", (unsigned long)crc);
    append_text(out, number);
}

static cmodel_status list_part(cmodel *file, size_t index, unsigned number, const cmodel_part *part, output *out,
                               cmodel_error *error) {
    uint64_t elements = part->elements;
    float *values = elements < SIZE_MAX / 4 ? malloc(elements > 0 ? 4 * (size_t)elements : 4) : NULL;
    if (values == NULL)
        out_of_memory();
    cmodel_status status = cmodel_decode(file, index, number, values, elements, error);
    if (status == CMODEL_OK)
        append_part(out, file, index, part, cmodel_crc32(file, values, elements));
    free(values);
    return status;
}

/* Say on standard error what is wrong, and with which tensor. */
static void complain(const cmodel *file, size_t index, const cmodel_error *error) {
    output out = {NULL, 0, 0, SIZE_MAX};
    append_name(&out, file, index, "");
    fprintf(stderr, "%s: tensor %.*s: %s\n", cmodel_status_name(error->status), (int)(out.size < 200 ? out.size : 200),
            out.text, error->message);
    free(out.text);
}

static cmodel_status list(cmodel *file, output *out, cmodel_error *error) {
    cmodel_status status = cmodel_check_sections(file, error);
    if (status != CMODEL_OK)
        fprintf(stderr, "%s: %s\n", cmodel_status_name(status), error->message);
    for (size_t i = 0; status == CMODEL_OK && i < cmodel_tensor_count(file); i++) {
        cmodel_tensor tensor;
        cmodel_describe(file, i, &tensor);
        for (unsigned k = 0; status == CMODEL_OK && k < tensor.part_count; k++)
            status = list_part(file, i, k, &tensor.parts[k], out, error);
        if (status != CMODEL_OK)
            complain(file, i, error);
    }
    return status;
}

static char *read_whole(const char *path, size_t *size) {
    FILE *stream = fopen(path, "rb");
    char *data = NULL;
    size_t room = 0;
    *size = 0;
    while (stream != NULL) {
        if (*size == room) {
            room = room == 0 ? 1 << 16 : 2 * room;
            char *more = room > *size ? realloc(data, room) : NULL;
            if (more == NULL)
                break;
            data = more;
        }
        size_t got = fread(data + *size, 1, room - *size, stream);
        *size += got;
        if (got == 0) {
            if (ferror(stream))
                break;
            fclose(stream);
            return data;
        }
    }
    fprintf(stderr, "cmodel-read: cannot read %s: %s\n", path, strerror(errno));
    if (stream != NULL)
        fclose(stream);
    free(data);
    return NULL;
}

static int run(const char *path, uint64_t max_memory) {
    size_t size;
    char *data = read_whole(path, &size);
    if (data == NULL)
        return CANNOT_READ;
    cmodel *file;
    cmodel_error error;
    output out = {NULL, 0, 0, max_memory < 4096 ? 4096 : max_memory};
    cmodel_status status = cmodel_open(data, size, max_memory, &file, &error);
    if (status != CMODEL_OK)
        fprintf(stderr, "%s: %s\n", cmodel_status_name(status), error.message);
    else
        status = list(file, &out, &error);
    if (status == CMODEL_OK) {
        printf("{\"tensors\": {");
        if (out.size > 0) {
            putchar('\n');
            fwrite(out.text, 1, out.size, stdout);
            putchar('\n');
        }
        printf("}}\n");
    }
    cmodel_close(file);
    free(out.text);
    free(data);
    if (status != CMODEL_OK)
        return BAD_FILE;
    if (fflush(stdout) != 0) {
        fprintf(stderr, "cmodel-read: cannot write: %s\n", strerror(errno));
        return CANNOT_READ;
    }
    return 0;
}

int main(int count, char **arguments) {
    uint64_t max_memory = CMODEL_DEFAULT_MEMORY;
    const char *path = NULL;
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--max-memory") == 0 && i + 1 < count) {
            char *end;
            errno = 0;
            max_memory = strtoull(arguments[++i], &end, 10);
            if (errno == 0 && *end == 0 && arguments[i][0] >= '0' && arguments[i][0] <= '9')
                continue;
            path = NULL;
            break;
        }
        if (path != NULL || arguments[i][0] == '-') {
            path = NULL;
            break;
        }
        path = arguments[i];
    }
    if (path == NULL) {
        fprintf(stderr, "usage: cmodel-read [--max-memory BYTES] FILE\n");
        return USAGE;
    }
    return run(path, max_memory);
}
