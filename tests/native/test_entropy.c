/* rANS and masks: round trips, tails, damage, and every SIMD level. */
#include <string.h>

#include "check.h"
#include "cm_bytes.h"
#include "cm_mask.h"
#include "cm_rans.h"
#include "cm_simd.h"

static uint8_t *exact_copy(const uint8_t *data, size_t size) {
    uint8_t *exact = room(size);
    if (size) memcpy(exact, data, size);
    return exact;
}

static uint8_t *encode(const void *symbols, size_t count, unsigned item, unsigned chunk_log2,
                       int wide, size_t *size) {
    static uint64_t histogram[CM_RANS_ALPHABET];
    static cm_rans_table table;
    static cm_rans model;
    cm_fault fault;
    CHECK(cm_symbols_count(symbols, count, item, histogram, &fault) == CM_OK);
    CHECK(cm_rans_build(histogram, &table, &model) == CM_OK);
    uint8_t *data = room(CM_RANS_TABLE_BYTES + cm_rans_bound(count, chunk_log2));
    *size = cm_rans_table_put(&table, data);
    uint8_t *payload = room(cm_rans_bound(count, chunk_log2));
    size_t bytes = cm_rans_encode(&model, symbols, count, item, chunk_log2, wide, payload);
    memcpy(data + *size, payload, bytes);
    *size += bytes;
    free(payload);
    uint8_t *exact = exact_copy(data, *size);
    free(data);
    return exact;
}

/* Decodes from and to buffers of the exact size. */
static cm_status decode(const uint8_t *data, size_t size, size_t count, unsigned item, int threads,
                        void *out) {
    static cm_rans model;
    cm_fault fault = {0, NULL};
    size_t at;
    uint8_t *exact = exact_copy(data, size);
    cm_status status = cm_rans_table_get(exact, size, &model, &at, &fault);
    if (status == CM_OK) status = cm_rans_open(exact, size, at, count, item, &model, &fault);
    if (status == CM_OK) status = cm_rans_decode(&model, exact, size, item, threads, out, &fault);
    if (status != CM_OK) CHECK(fault.what && fault.at <= size);
    free(exact);
    return status;
}

static int is_survivable(cm_status status) {
    return status == CM_OK || status == CM_CORRUPT || status == CM_TRUNCATED ||
           status == CM_CHECKSUM;
}

static void tables(void) {
    static uint64_t histogram[CM_RANS_ALPHABET];
    static cm_rans_table table;
    static cm_rans model, again;
    for (int round = 0; round < 200; round++) {
        size_t alphabet = 2 + below(round % 2 ? 60 : CM_RANS_ALPHABET - 1);
        unsigned shift = 24 + (unsigned)below(40), gaps = 1 + (unsigned)below(5);
        memset(histogram, 0, sizeof histogram);
        for (size_t s = 0; s < alphabet; s++)
            histogram[s] = below(gaps) ? 0 : next_random() >> shift >> below(40 - shift / 2);
        histogram[0] = 1;
        histogram[alphabet - 1] = 5;
        CHECK(cm_rans_build(histogram, &table, &model) == CM_OK && model.alphabet == alphabet);
        unsigned sum = 0;
        for (size_t s = 0; s < alphabet; s++) {
            CHECK(model.frequency[s] || !histogram[s]);
            sum += model.frequency[s];
        }
        CHECK(sum == CM_RANS_TOTAL);
        static uint8_t space[CM_RANS_TABLE_BYTES];
        size_t size = cm_rans_table_put(&table, space), used;
        CHECK(size <= sizeof space);
        uint8_t *exact = exact_copy(space, size);
        cm_fault fault;
        CHECK(cm_rans_table_get(exact, size, &again, &used, &fault) == CM_OK && used == size);
        CHECK(!memcmp(model.frequency, again.frequency, sizeof model.frequency));
        CHECK(model.used == again.used);
        for (size_t cut = 0; cut < size; cut += 1 + cut / 50) {
            uint8_t *shorter = exact_copy(space, cut);
            CHECK(cm_rans_table_get(shorter, cut, &again, &used, &fault) != CM_OK);
            free(shorter);
        }
        free(exact);
    }
}

static void round_trips(void) {
    static const size_t counts[] = {0,    1,    2,    3,    100,   4095,  4096,  4097, 4128,
                                    4129, 8191, 8192, 8193, 12288, 16385, 65537, 70001};
    static const size_t alphabets[] = {1, 2, 3, 32, 256, 2048};
    EACH_LEVEL(level) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            for (size_t a = 0; a < sizeof alphabets / sizeof *alphabets; a++) {
                for (unsigned item = alphabets[a] > 256 ? 2 : 1; item <= 2; item++) {
                    size_t count = counts[c], size;
                    void *symbols = some_symbols(count, item, alphabets[a]);
                    void *back = room(count * item);
                    for (unsigned log2 = 12; log2 <= 16; log2 += 2) {
                        for (int wide = 0; wide < 2; wide++) {
                            uint8_t *data = encode(symbols, count, item, log2, wide, &size);
                            memset(back, 0xAA, count * item);
                            CHECK(decode(data, size, count, item, 1 + (int)log2 % 3, back) ==
                                  CM_OK);
                            CHECK(!memcmp(symbols, back, count * item));
                            free(data);
                        }
                    }
                    free(symbols);
                    free(back);
                }
            }
        }
    }
}

/* Long codes in some stretches and hardly any words in others. */
static void uneven(void) {
    EACH_LEVEL(level) {
        for (size_t at = 0; at < 6000; at += 500) {
            enum { COUNT = 6000 };
            size_t size;
            uint8_t *symbols = room(COUNT), *back = room(COUNT);
            memset(symbols, 7, COUNT);
            for (size_t i = at; i < at + 500; i++) symbols[i] = (uint8_t)below(256);
            uint8_t *data = encode(symbols, COUNT, 1, 16, 1, &size);
            CHECK(decode(data, size, COUNT, 1, 1, back) == CM_OK);
            CHECK(!memcmp(symbols, back, COUNT));
            for (size_t cut = size - 600; cut < size; cut += 7)
                CHECK(decode(data, cut, COUNT, 1, 1, back) != CM_OK);
            free(symbols);
            free(back);
            free(data);
        }
    }
}

static void damage(void) {
    EACH_LEVEL(level) {
        for (int round = 0; round < 1500; round++) {
            unsigned item = 1 + (unsigned)below(2);
            size_t count = 1 + below(round % 3 ? 600 : 14000), size;
            void *symbols = some_symbols(count, item, item == 1 ? 40 : 700);
            void *back = room(count * item);
            uint8_t *data =
                encode(symbols, count, item, 12 + (unsigned)below(5), (int)below(2), &size);
            for (int flips = 1 + (int)below(3); flips; flips--) {
                size_t reach = below(2) ? size : size < 40 ? size : 40; /* half in the front */
                data[below(reach)] ^= (uint8_t)(1u << below(8));
            }
            CHECK(is_survivable(decode(data, size, count, item, 1 + (int)below(2), back)));
            CHECK(is_survivable(decode(data, below(size), count, item, 1, back)));
            free(symbols);
            free(back);
            free(data);
        }
    }
}

static void garbage(void) {
    EACH_LEVEL(level) {
        for (int round = 0; round < 20000; round++) {
            size_t size = below(round % 3 ? 60 : 400), count = below(round % 4 ? 300 : 9000);
            uint8_t *data = room(size), *back = room(2 * count);
            for (size_t i = 0; i < size; i++) data[i] = (uint8_t)next_random();
            /* A small alphabet and a table, or hardly any is valid. */
            if (size > 6 && round % 2) memcpy(data, "\x09\x80\x11\x25\x31\xad", 6);
            CHECK(is_survivable(decode(data, size, count, 2, 1, back)));
            free(data);
            free(back);
        }
    }
}

static int64_t *some_positions(cm_mask *mask, size_t sparsity) {
    size_t size = mask->rows * mask->columns;
    int64_t *positions = room(size * sizeof *positions);
    mask->count = 0;
    for (size_t i = 0; i < size; i++)
        if (!below(sparsity)) positions[mask->count++] = (int64_t)i;
    return positions;
}

static cm_status decode_mask(const uint8_t *data, size_t size, const cm_mask *mask,
                             int64_t *positions) {
    cm_fault fault = {0, NULL};
    cm_mask found = {mask->rows, mask->columns, mask->count, 0};
    uint8_t *exact = exact_copy(data, size);
    cm_status status = cm_mask_decode(exact, size, &found, positions, &fault);
    if (status == CM_OK && size) CHECK(found.period == mask->period);
    if (status != CM_OK) CHECK(fault.what && fault.at <= size);
    free(exact);
    return status;
}

static void masks(void) {
    for (int round = 0; round < 400; round++) {
        cm_mask mask = {1 + below(40), 1 + below(200), 0, 0};
        if (round % 8 == 0) mask.rows *= 20;
        int64_t *positions = some_positions(&mask, 1 + below(round % 2 ? 4 : 100));
        int64_t *back = room(mask.count * sizeof *back);
        uint8_t *data;
        size_t size;
        mask.period = below(mask.columns + 1);
        CHECK(cm_mask_encode(&mask, positions, &data, &size) == CM_OK);
        CHECK(decode_mask(data, size, &mask, back) == CM_OK);
        CHECK(!memcmp(back, positions, mask.count * sizeof *back));
        for (size_t cut = 0; cut < size; cut += 1 + cut / 20) {
            cm_fault fault;
            uint8_t *shorter = exact_copy(data, cut);
            cm_mask found = mask;
            CHECK(cm_mask_decode(shorter, cut, &found, back, &fault) != CM_OK || cut + 4 > size);
            free(shorter);
        }
        for (int flips = 0; flips < 20 && size; flips++) {
            uint8_t *flipped = exact_copy(data, size);
            flipped[below(size)] ^= (uint8_t)(1u << below(8));
            cm_fault fault;
            cm_mask found = mask;
            CHECK(is_survivable(cm_mask_decode(flipped, size, &found, back, &fault)));
            free(flipped);
        }
        free(positions);
        free(back);
        free(data);
    }
}

/* Every code byte pattern: weights run into their limits, counts into their halving. */
static void mask_garbage(void) {
    for (int round = 0; round < 3000; round++) {
        cm_mask mask = {1 + below(30), 1 + below(300), 0, 0};
        mask.count = below(mask.rows * mask.columns + 1);
        size_t size = 1 + below(300);
        uint8_t *data = room(size), fill = (uint8_t)next_random();
        int64_t *back = room(mask.count * sizeof *back);
        for (size_t i = 0; i < size; i++) data[i] = round % 3 ? (uint8_t)next_random() : fill;
        data[0] = (uint8_t)below(20);
        cm_fault fault;
        CHECK(is_survivable(cm_mask_decode(data, size, &mask, back, &fault)));
        free(data);
        free(back);
    }
}

int main(void) {
    RUN(tables);
    RUN(round_trips);
    RUN(uneven);
    RUN(damage);
    RUN(garbage);
    RUN(masks);
    RUN(mask_garbage);
    return finish();
}
