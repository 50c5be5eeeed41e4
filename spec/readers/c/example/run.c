/* run [--top N] [--index N] [--max-memory BYTES] FILE [IMAGE]: run the network of a container on an image.
 *
 * The image is a PGM or PPM (P5, P6, 8 bits), an IDX file of gray images, of which --index says one, or the
 * raw float32 values of the input. Prints a class and its score a line: the N best (5), with 0 all in
 * order. Without an image: sizes of weights and arena, and operations. */
#include "cmodel_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CANNOT_READ = 1, USAGE = 2, BAD_FILE = 3 };

static uint8_t *read_whole(const char *path, size_t *size) {
    FILE *stream = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t room = 0;
    *size = 0;
    while (stream != NULL) {
        if (*size == room) {
            room = room == 0 ? 1 << 16 : 2 * room;
            uint8_t *more = room > *size ? realloc(data, room) : NULL;
            if (more == NULL)
                break;
            data = more;
        }
        size_t got = fread(data + *size, 1, room - *size, stream);
        *size += got;
        if (got == 0 && !ferror(stream)) {
            fclose(stream);
            return data;
        }
        if (got == 0)
            break;
    }
    fprintf(stderr, "run: cannot read %s\n", path);
    if (stream != NULL)
        fclose(stream);
    free(data);
    return NULL;
}

static size_t big_endian(const uint8_t *data) {
    return (size_t)data[0] << 24 | (size_t)data[1] << 16 | (size_t)data[2] << 8 | data[3];
}

/* A number of a PGM or PPM head, after white space and comments; 0 where there is none. */
static size_t head_number(const uint8_t *data, size_t size, size_t *at) {
    size_t number = 0;
    while (*at < size && (strchr(" \t\r\n", data[*at]) != NULL || data[*at] == '#'))
        if (data[(*at)++] == '#')
            while (*at < size && data[*at] != '\n')
                ++*at;
    for (; *at < size && data[*at] >= '0' && data[*at] <= '9' && number < 100000; ++*at)
        number = 10 * number + (size_t)(data[*at] - '0');
    return number;
}

static bool fill(cmodel_net *net, const cmodel_shape *input, const uint8_t *data, size_t size, size_t index) {
    static const uint8_t idx[4] = {0, 0, 8, 3};
    if (size == input->elements * sizeof(float)) {
        memcpy(cmodel_net_input(net), data, size);
        return true;
    }
    if (size > 16 && memcmp(data, idx, 4) == 0) {
        size_t height = big_endian(data + 8), width = big_endian(data + 12);
        if (height == 0 || width == 0 || width > (size - 16) / height || index >= (size - 16) / (height * width))
            return false;
        return cmodel_net_prepare(net, data + 16 + index * height * width, height, width, 1);
    }
    if (size > 3 && data[0] == 'P' && (data[1] == '5' || data[1] == '6')) {
        size_t at = 2, width = head_number(data, size, &at), height = head_number(data, size, &at);
        size_t most = head_number(data, size, &at), channels = data[1] == '5' ? 1 : 3;
        if (width == 0 || height == 0 || most != 255 || at >= size || width > (size - ++at) / channels / height)
            return false;
        return cmodel_net_prepare(net, data + at, height, width, (unsigned)channels);
    }
    return false;
}

static void print_scores(const float *scores, size_t count, size_t top) {
    size_t last = count;
    for (size_t i = 0; i < count && top == 0; i++)
        printf("%zu %.9g\n", i, (double)scores[i]);
    for (size_t n = 0; n < top && n < count; n++) {
        size_t best = count; /* below the last one, or equal and after it */
        for (size_t i = 0; i < count; i++)
            if ((last == count || scores[i] < scores[last] || (scores[i] == scores[last] && i > last)) &&
                (best == count || scores[i] > scores[best]))
                best = i;
        if (best == count)
            return;
        printf("%zu %.9g\n", best, (double)scores[best]);
        last = best;
    }
}

static int run(cmodel *file, const char *image, uint64_t max_memory, size_t top, size_t index) {
    cmodel_net *net;
    cmodel_net_info info;
    cmodel_error error;
    int result = BAD_FILE;
    if (cmodel_net_plan(file, max_memory, &net, &error) == CMODEL_OK) {
        cmodel_net_describe(net, &info);
        if (image == NULL) {
            printf("weights %zu bytes\narena %zu bytes\noperations %llu\n", info.weight_bytes, info.arena_bytes,
                   (unsigned long long)info.operations);
            result = 0;
        } else if (cmodel_net_load(net, file, NULL, NULL, &error) == CMODEL_OK) {
            size_t size;
            uint8_t *data = read_whole(image, &size);
            result = CANNOT_READ;
            if (data != NULL && fill(net, &info.input, data, size, index)) {
                print_scores(cmodel_net_run(net), info.output.elements, top);
                result = 0;
            } else if (data != NULL) {
                fprintf(stderr, "run: %s is no image that fits the network\n", image);
            }
            free(data);
        }
    }
    if (result == BAD_FILE)
        fprintf(stderr, "%s: %s\n", cmodel_status_name(error.status), error.message);
    cmodel_net_free(net);
    return result;
}

int main(int count, char **arguments) {
    unsigned long long numbers[3] = {5, 0, CMODEL_DEFAULT_MEMORY};
    static const char *const options[3] = {"--top", "--index", "--max-memory"};
    const char *paths[2] = {NULL, NULL};
    size_t path_count = 0, size;
    for (int i = 1; i < count; i++) {
        int option = 0;
        while (option < 3 && strcmp(arguments[i], options[option]) != 0)
            option++;
        if (option < 3 && i + 1 < count)
            numbers[option] = strtoull(arguments[++i], NULL, 10);
        else if (arguments[i][0] != '-' && path_count < 2)
            paths[path_count++] = arguments[i];
        else
            path_count = 3;
    }
    if (path_count < 1 || path_count > 2) {
        fprintf(stderr, "usage: run [--top N] [--index N] [--max-memory BYTES] FILE [IMAGE]\n");
        return USAGE;
    }
    uint8_t *data = read_whole(paths[0], &size);
    if (data == NULL)
        return CANNOT_READ;
    cmodel *file;
    cmodel_error error;
    int result = BAD_FILE;
    if (cmodel_open(data, size, numbers[2], &file, &error) == CMODEL_OK)
        result = run(file, paths[1], numbers[2], (size_t)numbers[0], (size_t)numbers[1]);
    else
        fprintf(stderr, "%s: %s\n", cmodel_status_name(error.status), error.message);
    cmodel_close(file);
    free(data);
    return result;
}
