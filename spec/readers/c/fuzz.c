/* The libFuzzer target: open a file, list it, decode everything. It is built without the comparison of
 * CRC-32s, and its mutator changes one section and makes the sizes and offsets of the file right again. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER = 32, ENTRY = 32, MOST_PARTS = 8 };

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
    cmodel_close(file);
    return 0;
}

/* ---- The mutator ---- */

static void store(uint8_t *data, uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; i++)
        data[i] = (uint8_t)(value >> 8 * i);
}

/* Where the tensor directory stands in a manifest, its tag and size included; empty where there is none. */
static bytes find_directory(bytes manifest, bytes *field) {
    bytes none = {NULL, 0};
    while (manifest.size > 0) {
        bytes start = manifest, content = none;
        uint64_t tag, size;
        if (!take_varint(&manifest, &tag) || (tag & 7) != 2 || !take_varint(&manifest, &size) ||
            !take_bytes(&manifest, size, &content))
            return none;
        if (tag >> 3 == 3) {
            field->data = start.data;
            field->size = start.size - manifest.size;
            return content;
        }
    }
    return none;
}

/* Mutate the directory alone and state its new size; 0 where it does not fit. */
static size_t mutate_directory(uint8_t *part, size_t size, size_t room) {
    bytes manifest = {part, size}, field = {NULL, 0}, content = find_directory(manifest, &field);
    size_t before = content.size == 0 ? 0 : (size_t)(field.data - part), after = size - before - field.size;
    uint8_t *changed = malloc(room);
    size_t made = 0;
    if (changed != NULL && content.size > 0 && before + after + 12 < room) {
        memcpy(changed, content.data, content.size);
        size_t mutated = LLVMFuzzerMutate(changed, content.size, room - before - after - 12), at = before + 1;
        uint8_t *rest = malloc(after + 1);
        if (rest != NULL) {
            memcpy(rest, part + size - after, after);
            part[before] = 0x1A;
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

/* Lay the sections out again, one of them exchanged; 0 where it does not fit. */
static size_t lay_out(uint8_t *data, size_t room, const uint8_t *old, unsigned count, unsigned exchanged,
                      bytes content) {
    uint64_t alignment = UINT64_C(1) << old[10] % 13, end = HEADER + ENTRY * count;
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *entry = old + HEADER + ENTRY * i;
        bytes part = {old + load64(entry + 8), (size_t)load64(entry + 16)};
        uint64_t place = (end + alignment - 1) & ~(alignment - 1);
        if (i == exchanged)
            part = content;
        if (place > room || part.size > room - place)
            return 0;
        memset(data + end, 0, place - end);
        if (part.size > 0)
            memcpy(data + place, part.data, part.size);
        store(data + HEADER + ENTRY * i + 8, place, 8);
        store(data + HEADER + ENTRY * i + 16, part.size, 8);
        if ((entry[2] & SECTION_DEFLATED) == 0)
            store(data + HEADER + ENTRY * i + 24, part.size, 8);
        end = place + part.size;
    }
    store(data + 16, end, 8);
    return (size_t)end;
}

static bool can_lay_out(const uint8_t *data, size_t size) {
    if (size < HEADER || load32(data + 12) < 1 || load32(data + 12) > MOST_PARTS ||
        size < HEADER + ENTRY * load32(data + 12))
        return false;
    for (unsigned i = 0; i < load32(data + 12); i++) {
        const uint8_t *entry = data + HEADER + ENTRY * i;
        if (load64(entry + 8) > size || load64(entry + 16) > size - load64(entry + 8))
            return false;
    }
    return true;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed) {
    if (seed % 16 == 0 || !can_lay_out(data, size))
        return LLVMFuzzerMutate(data, size, room);
    unsigned count = load32(data + 12), exchanged = seed / 64 % count;
    const uint8_t *entry = data + HEADER + ENTRY * exchanged;
    bytes part = {data + load64(entry + 8), (size_t)load64(entry + 16)};
    uint8_t *old = malloc(size), *content = calloc(room, 1);
    size_t made = 0;
    if (old != NULL && content != NULL && part.size < room) {
        memcpy(old, data, size);
        memcpy(content, part.data, part.size);
        if (exchanged == 0 && seed / 16 % 4 != 0)
            made = mutate_directory(content, part.size, room);
        if (made == 0)
            made = LLVMFuzzerMutate(content, part.size, room);
        bytes changed = {content, made};
        made = lay_out(data, room, old, count, exchanged, changed);
        if (made == 0)
            memcpy(data, old, size);
    }
    free(old);
    free(content);
    return made > 0 ? made : LLVMFuzzerMutate(data, size, room);
}
