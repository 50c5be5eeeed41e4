/* Chapter 1: integers, CRC-32, varints, bit strings; and memory within limits. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void set_error(const context *c, cmodel_status status, const char *format, ...) {
    va_list arguments;
    c->error->status = status;
    va_start(arguments, format);
    vsnprintf(c->error->message, sizeof c->error->message, format, arguments);
    va_end(arguments);
}

/* ---- Integers ---- */

uint16_t load16(const uint8_t *data) {
    return (uint16_t)(data[0] | data[1] << 8);
}

uint32_t load32(const uint8_t *data) {
    return load16(data) | (uint32_t)load16(data + 2) << 16;
}

uint64_t load64(const uint8_t *data) {
    return load32(data) | (uint64_t)load32(data + 4) << 32;
}

bool multiply(uint64_t a, uint64_t b, uint64_t *product) {
    if (b != 0 && a > LARGEST_SIZE / b)
        return false;
    *product = a * b;
    return true;
}

/* ---- CRC-32 ---- */

void crc_make(crc_tables *tables) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
        tables->after[0][i] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (int i = 0; i < 256; i++) {
            uint32_t before = tables->after[k - 1][i];
            tables->after[k][i] = before >> 8 ^ tables->after[0][before & 255];
        }
}

static uint32_t crc_update(const crc_tables *tables, uint32_t crc, const uint8_t *data, size_t size) {
    const uint32_t(*t)[256] = tables->after;
    for (; size >= 8; data += 8, size -= 8) {
        uint32_t low = crc ^ load32(data), high = load32(data + 4);
        crc = t[7][low & 255] ^ t[6][low >> 8 & 255] ^ t[5][low >> 16 & 255] ^ t[4][low >> 24] ^
              t[3][high & 255] ^ t[2][high >> 8 & 255] ^ t[1][high >> 16 & 255] ^ t[0][high >> 24];
    }
    for (; size > 0; data++, size--)
        crc = crc >> 8 ^ t[0][(crc ^ *data) & 255];
    return crc;
}

static bool is_stated(uint32_t crc, uint32_t stated) {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    (void)crc;
    (void)stated;
    return true;
#else
    return crc == stated;
#endif
}

bool crc_matches_both(const crc_tables *tables, bytes data, bytes more, uint32_t stated) {
    uint32_t crc = crc_update(tables, 0xFFFFFFFFu, data.data, data.size);
    return is_stated(~crc_update(tables, crc, more.data, more.size), stated);
}

bool crc_matches(const crc_tables *tables, bytes data, uint32_t stated) {
    return is_stated(~crc_update(tables, 0xFFFFFFFFu, data.data, data.size), stated);
}

uint32_t crc_of_values(const crc_tables *tables, const void *values, uint64_t count) {
    const uint8_t *next = values;
    uint32_t crc = 0xFFFFFFFFu;
    while (count > 0) {
        uint8_t little[4096];
        size_t some = count < sizeof little / 4 ? (size_t)count : sizeof little / 4;
        for (size_t i = 0; i < some; i++, next += 4) {
            uint32_t word;
            memcpy(&word, next, 4);
            for (unsigned k = 0; k < 4; k++)
                little[4 * i + k] = (uint8_t)(word >> 8 * k);
        }
        crc = crc_update(tables, crc, little, 4 * some);
        count -= some;
    }
    return ~crc;
}

/* ---- Bytes and varints ---- */

bool take_bytes(bytes *input, uint64_t size, bytes *taken) {
    if (size > input->size)
        return false;
    taken->data = input->data;
    taken->size = (size_t)size;
    input->data += (size_t)size;
    input->size -= (size_t)size;
    return true;
}

bool take_u8(bytes *input, uint8_t *value) {
    bytes one;
    if (!take_bytes(input, 1, &one))
        return false;
    *value = one.data[0];
    return true;
}

bool take_varint(bytes *input, uint64_t *value) {
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte;
        if (!take_u8(input, &byte))
            return false;
        if (shift == 63 && byte > 1)
            return false;
        result |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            *value = result;
            return true;
        }
    }
    return false;
}

bool take_shortest(bytes *input, uint64_t largest, uint64_t *value) {
    const uint8_t *start = input->data;
    if (!take_varint(input, value) || *value > largest)
        return false;
    size_t size = (size_t)(input->data - start);
    return size == 1 || input->data[-1] != 0;
}

/* ---- Bit strings ---- */

bit_reader bits_of(bytes input) {
    bit_reader reader = {input, 0, 0, 0, 0};
    return reader;
}

void bits_fill(bit_reader *reader) {
    while (reader->count <= 56) {
        if (reader->next < reader->input.size)
            reader->held |= (uint64_t)reader->input.data[reader->next++] << reader->count;
        else
            reader->overdrawn += 8;
        reader->count += 8;
    }
}

uint32_t bits_take(bit_reader *reader, unsigned count) {
    if (reader->count < count)
        bits_fill(reader);
    uint32_t value = (uint32_t)(reader->held & ((UINT64_C(1) << count) - 1));
    reader->held >>= count;
    reader->count -= count;
    return value;
}

bool bits_over(const bit_reader *reader) {
    return reader->overdrawn > reader->count;
}

bool bits_at_end(const bit_reader *reader) {
    return !bits_over(reader) && reader->next == reader->input.size &&
           reader->count - reader->overdrawn < 8 && reader->held == 0;
}

bytes bits_rest(const bit_reader *reader) {
    size_t whole = reader->count > reader->overdrawn ? (reader->count - reader->overdrawn) / 8 : 0;
    size_t at = reader->next - whole;
    bytes rest = {reader->input.data + at, reader->input.size - at};
    return rest;
}

/* ---- Memory ---- */

void *allocate(const context *c, uint64_t count, size_t item) {
    uint64_t size = count * item;
    if (count > (SIZE_MAX - 1) / item) {
        set_error(c, CMODEL_LIMIT_MEMORY, "%llu items of %llu bytes do not fit into this machine",
                  (unsigned long long)count, (unsigned long long)item);
        return NULL;
    }
    void *memory = calloc(size > 0 ? (size_t)size : 1, 1);
    if (memory == NULL)
        set_error(c, CMODEL_LIMIT_MEMORY, "no memory for %llu bytes", (unsigned long long)size);
    return memory;
}

/* No list is longer: a manifest of a few kilobytes may be deflated from millions of layers. A short list
 * does not count for the memory limit, which may be as low as what a small net decodes to. */
#define MOST_ITEMS (1u << 20)
#define FREE_ITEMS 1024u

cmodel_status grow(const context *c, void *items, size_t *room, size_t used, size_t item) {
    void *old;
    memcpy(&old, items, sizeof old);
    if (used < *room)
        return CMODEL_OK;
    size_t wanted = *room < 16 ? 16 : 2 * *room;
    if (wanted > MOST_ITEMS || wanted > SIZE_MAX / item ||
        (wanted > FREE_ITEMS && wanted * item > c->max_memory))
        return fail(c, CMODEL_LIMIT_MEMORY, "the lists of layers and tensors take too much memory");
    void *more = realloc(old, wanted * item);
    if (more == NULL)
        return fail(c, CMODEL_LIMIT_MEMORY, "no memory for %llu bytes", (unsigned long long)(wanted * item));
    memcpy(items, &more, sizeof more);
    *room = wanted;
    return CMODEL_OK;
}
