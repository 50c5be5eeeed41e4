/* The runtime in memory of the caller; argument: a container. Prints what was allocated on the heap, counted
 * by the linker's --wrap for malloc, calloc, realloc and free. */
#include "cmodel_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);

enum { HEAD = 16 }; /* in front of a piece: its size */

static size_t allocations, held, most;

void *__wrap_malloc(size_t size) {
    char *memory = __real_malloc(size + HEAD);
    if (memory == NULL)
        return NULL;
    memcpy(memory, &size, sizeof size);
    allocations++;
    held += size;
    most = held > most ? held : most;
    return memory + HEAD;
}

void *__wrap_calloc(size_t count, size_t size) {
    void *memory = size > 0 && count > SIZE_MAX / 2 / size ? NULL : __wrap_malloc(count * size);
    return memory == NULL ? NULL : memset(memory, 0, count * size);
}

void __wrap_free(void *memory) {
    if (memory == NULL)
        return;
    size_t size;
    memcpy(&size, (char *)memory - HEAD, sizeof size);
    held -= size;
    __real_free((char *)memory - HEAD);
}

void *__wrap_realloc(void *memory, size_t size) {
    size_t before = 0;
    void *moved = __wrap_malloc(size);
    if (moved == NULL || memory == NULL)
        return moved;
    memcpy(&before, (char *)memory - HEAD, sizeof before);
    memcpy(moved, memory, before < size ? before : size);
    __wrap_free(memory);
    return moved;
}

static int fail_with(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

int main(int count, char **arguments) {
    static uint8_t data[8 << 20];
    FILE *stream = count == 2 ? fopen(arguments[1], "rb") : NULL;
    if (stream == NULL)
        return fail_with("use_runtime", "cannot read its argument");
    size_t size = fread(data, 1, sizeof data, stream);
    fclose(stream);
    allocations = held = most = 0;

    cmodel *file;
    cmodel_net *net;
    cmodel_net_info info;
    cmodel_error error;
    if (cmodel_open(data, size, CMODEL_DEFAULT_MEMORY, &file, &error) != CMODEL_OK)
        return fail_with("cmodel_open", error.message);
    if (cmodel_net_plan(file, 64 << 20, &net, &error) != CMODEL_OK)
        return fail_with("cmodel_net_plan", error.message);
    cmodel_net_describe(net, &info);
    float *weights = __real_malloc(info.weight_bytes + 1), *arena = __real_malloc(info.arena_bytes);
    if (weights == NULL || arena == NULL || cmodel_net_run(net) != NULL || cmodel_net_input(net) != NULL)
        return fail_with("before loading", "no memory, or it runs already");
    if (cmodel_net_load(net, file, weights, arena, &error) != CMODEL_OK)
        return fail_with("cmodel_net_load", error.message);
    cmodel_close(file);
    memset(data, 0xA5, size); /* neither the file nor its bytes are needed any more */
    printf("weights %zu bytes, arena %zu bytes\n", info.weight_bytes, info.arena_bytes);
    printf("heap besides: at most %zu bytes to open, plan and load; %zu bytes stay\n", most, held);

    allocations = 0;
    float first = 0;
    for (int run = 0; run < 2; run++) {
        for (size_t i = 0; i < info.input.elements; i++)
            cmodel_net_input(net)[i] = (float)(i % 7) - 3;
        const float *scores = cmodel_net_run(net);
        if (scores < arena || scores + info.output.elements > arena + info.arena_bytes / sizeof(float))
            return fail_with("cmodel_net_run", "the output does not lie in the arena");
        if (run > 0 && scores[0] != first)
            return fail_with("cmodel_net_run", "a second run gives another output");
        first = scores[0];
    }
    size_t during = allocations;
    cmodel_net_free(net);
    if (held != 0)
        return fail_with("cmodel_net_free", "memory stays");
    __real_free(weights);
    __real_free(arena);
    printf("during runs: %zu allocations\n", during);
    return 0;
}
