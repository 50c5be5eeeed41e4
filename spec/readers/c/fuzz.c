/* The libFuzzer target: open a file, list it, decode everything, run its network. It is built without the comparison of
 * CRC-32s, and its mutator changes one section and makes the section table right again. */
#include "cmodel_run.h"
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER = 20, MOST_PARTS = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);

static void decode_part(cmodel *file, size_t index, unsigned number, const cmodel_part *part) {
    cmodel_error error;
    float *values = malloc(part->elements > 0 ? (size_t)part->elements * sizeof *values : 1);
    if (values == NULL)
        return;
    if (cmodel_decode(file, index, number, values, part->elements, &error) == CMODEL_OK)
        cmodel_crc32(file, values, part->elements);
    else if (error.status == CMODEL_OK || error.message[0] == 0)
        abort();
    free(values);
}

/* In memory of just the size that is stated, so that a step beyond it is found. */
static void run_network(cmodel *file) {
    cmodel_error error;
    cmodel_net *net;
    cmodel_net_info info;
    if (cmodel_net_plan(file, 1 << 22, &net, &error) != CMODEL_OK) {
        if (error.status == CMODEL_OK || error.message[0] == 0 || net != NULL)
            abort();
        return;
    }
    cmodel_net_describe(net, &info);
    if (info.weight_bytes > 1 << 22 || info.arena_bytes > (1 << 22) - info.weight_bytes)
        abort();
    uint8_t *weights = malloc(info.weight_bytes + 1), *arena = malloc(info.arena_bytes);
    static const uint8_t pixels[3 * 64 * 64] = {255, 1, 2};
    if (weights != NULL && arena != NULL && info.operations < 1 << 21 &&
        cmodel_net_load(net, file, weights, arena, &error) == CMODEL_OK) {
        volatile float read;
        for (size_t i = 0; i < info.input.elements; i++)
            cmodel_net_input(net)[i] = (float)i;
        cmodel_net_prepare(net, pixels, 8, 8, 3); /* false where it does not fit */
        if (info.input.rank == 4 && info.input.extents[2] <= 64 && info.input.extents[3] <= 64)
            cmodel_net_prepare(net, pixels, info.input.extents[2], info.input.extents[3], 1);
        const float *output = cmodel_net_run(net);
        for (size_t i = 0; i < info.output.elements; i++)
            read = output[i];
        (void)read;
    }
    cmodel_net_free(net);
    free(weights);
    free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cmodel *file;
    cmodel_error error;
    if (cmodel_open(data, size, 1 << 22, &file, &error) != CMODEL_OK) {
        if (error.status == CMODEL_OK || error.message[0] == 0 || file != NULL)
            abort();
        return 0;
    }
    if (cmodel_check_sections(file, &error) != error.status)
        abort();
    for (size_t i = 0; i < cmodel_tensor_count(file); i++) {
        cmodel_tensor tensor;
        char name[32];
        cmodel_describe(file, i, &tensor);
        if (tensor.part_count == 0)
            abort();
        cmodel_name(file, i, name, sizeof name);
        for (unsigned k = 0; k < tensor.part_count; k++)
            decode_part(file, i, k, &tensor.parts[k]);
    }
    run_network(file);
    cmodel_close(file);
    return 0;
}

/* ---- The mutator ---- */

static void store(uint8_t *data, uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; i++)
        data[i] = (uint8_t)(value >> 8 * i);
}

enum { NETWORK_FIELD = 1, DIRECTORY_FIELD = 3 };

/* Where a field stands in a manifest, its tag and size included; empty where there is none. */
static bytes find_field(bytes manifest, unsigned number, bytes *field) {
    bytes none = {NULL, 0};
    while (manifest.size > 0) {
        bytes start = manifest, content = none;
        uint64_t tag, size;
        if (!take_varint(&manifest, &tag) || (tag & 7) != 2 || !take_varint(&manifest, &size) ||
            !take_bytes(&manifest, size, &content))
            return none;
        if (tag >> 3 == number) {
            field->data = start.data;
            field->size = start.size - manifest.size;
            return content;
        }
    }
    return none;
}

/* Mutate a field alone and state its new size; 0 where it does not fit. */
static size_t mutate_field(uint8_t *part, size_t size, size_t room, unsigned number) {
    bytes manifest = {part, size}, field = {NULL, 0}, content = find_field(manifest, number, &field);
    size_t before = content.size == 0 ? 0 : (size_t)(field.data - part), after = size - before - field.size;
    uint8_t *changed = malloc(room);
    size_t made = 0;
    if (changed != NULL && content.size > 0 && before + after + 12 < room) {
        memcpy(changed, content.data, content.size);
        size_t mutated = LLVMFuzzerMutate(changed, content.size, room - before - after - 12), at = before + 1;
        uint8_t *rest = malloc(after + 1);
        if (rest != NULL) {
            memcpy(rest, part + size - after, after);
            part[before] = (uint8_t)(number << 3 | BYTES);
            for (size_t left = mutated; part[at++] = (uint8_t)(left & 127) | (left > 127 ? 128 : 0), left > 127;)
                left >>= 7;
            memcpy(part + at, changed, mutated);
            memcpy(part + at + mutated, rest, after);
            made = at + mutated + after;
        }
        free(rest);
    }
    free(changed);
    return made;
}

/* A section: its head and decoded size in the table, and its bytes. */
typedef struct {
    uint64_t head, decoded;
    bytes content;
} part;

/* The sections of a file, at most MOST_PARTS; 0 where they cannot be found. */
static unsigned find_parts(const uint8_t *data, size_t size, part parts[MOST_PARTS]) {
    if (size < HEADER || load32(data + 12) > size - HEADER)
        return 0;
    bytes table = {data + HEADER, load32(data + 12)}, crc;
    uint64_t alignment = UINT64_C(1) << data[10] % 13, end = HEADER + (uint64_t)table.size, stored;
    unsigned count = 0;
    for (; table.size > 0 && count < MOST_PARTS; count++) {
        part *one = &parts[count];
        uint64_t place = (end + alignment - 1) & ~(alignment - 1);
        if (!take_varint(&table, &one->head) || !take_varint(&table, &stored) ||
            ((one->head & SECTION_DEFLATED) && !take_varint(&table, &one->decoded)) ||
            !take_bytes(&table, 4, &crc) || place > size || stored > size - place)
            return 0;
        one->content.data = data + place;
        one->content.size = (size_t)stored;
        end = place + stored;
    }
    return count;
}

static size_t store_varint(uint8_t *data, uint64_t value) {
    size_t size = 0;
    for (; value > 127; value >>= 7)
        data[size++] = (uint8_t)(value | 128);
    data[size++] = (uint8_t)value;
    return size;
}

/* Lay the sections out again, with CRC-32s of zero; 0 where they do not fit. */
static size_t lay_out(uint8_t *data, size_t room, unsigned alignment_log, const part *parts, unsigned count) {
    uint8_t table[MOST_PARTS * 34];
    size_t size = 0;
    for (unsigned i = 0; i < count; i++) {
        size += store_varint(table + size, parts[i].head);
        size += store_varint(table + size, parts[i].content.size);
        if (parts[i].head & SECTION_DEFLATED)
            size += store_varint(table + size, parts[i].decoded);
        memset(table + size, 0, 4);
        size += 4;
    }
    uint64_t alignment = UINT64_C(1) << alignment_log, end = HEADER + (uint64_t)size;
    if (end > room)
        return 0;
    memcpy(data + HEADER, table, size);
    store(data + 12, size, 4);
    for (unsigned i = 0; i < count; i++) {
        uint64_t place = (end + alignment - 1) & ~(alignment - 1);
        if (place > room || parts[i].content.size > room - place)
            return 0;
        memset(data + end, 0, (size_t)(place - end));
        if (parts[i].content.size > 0)
            memcpy(data + place, parts[i].content.data, parts[i].content.size);
        end = place + parts[i].content.size;
    }
    return (size_t)end;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed) {
    part parts[MOST_PARTS];
    uint8_t *old = malloc(size + 1), *content = calloc(room, 1);
    size_t made = 0;
    if (old != NULL && content != NULL) {
        memcpy(old, data, size);
        unsigned count = seed % 16 == 0 ? 0 : find_parts(old, size, parts);
        unsigned exchanged = count > 0 ? seed / 64 % count : 0;
        if (count > 0 && parts[exchanged].content.size < room) {
            bytes *changed = &parts[exchanged].content;
            if (changed->size > 0)
                memcpy(content, changed->data, changed->size);
            if (exchanged == 0 && seed / 16 % 4 != 0)
                made = mutate_field(content, changed->size, room, seed / 16 % 4 == 1 ? NETWORK_FIELD : DIRECTORY_FIELD);
            if (made == 0)
                made = LLVMFuzzerMutate(content, changed->size, room);
            changed->data = content;
            changed->size = made;
            made = lay_out(data, room, old[10] % 13, parts, count);
            if (made == 0)
                memcpy(data, old, size);
        }
    }
    free(old);
    free(content);
    return made > 0 ? made : LLVMFuzzerMutate(data, size, room);
}
