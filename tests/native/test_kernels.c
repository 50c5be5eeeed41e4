/* The codec and k-means kernels: round trips, tails, damage, and every SIMD level. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "cm_bitpack.h"
#include "cm_bytes.h"
#include "cm_crc32.h"
#include "cm_huffman.h"
#include "cm_kmeans.h"
#include "cm_simd.h"
#include "cm_vectors.h"

static void varints(void) {
    static const uint32_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint8_t buffer[5];
        size_t size = cm_varint_put(buffer, values[i]);
        uint8_t *exact = room(size);
        memcpy(exact, buffer, size);
        uint32_t value;
        CHECK(cm_varint_get(exact, size, &value) == size && value == values[i]);
        for (size_t cut = 0; cut < size; cut++) CHECK(!cm_varint_get(exact, cut, &value));
        free(exact);
    }
    uint32_t value;
    CHECK(!cm_varint_get((const uint8_t *)"\x80\x00", 2, &value));                 /* too long */
    CHECK(!cm_varint_get((const uint8_t *)"\xff\xff\xff\xff\x1f", 5, &value));     /* over 32 bits */
    CHECK(!cm_varint_get((const uint8_t *)"\x80\x80\x80\x80\x80\x01", 6, &value));
}

static void levels(void) {
    CHECK(cm_simd_available(CM_SIMD_SCALAR));
    CHECK(cm_simd_available(cm_simd_best()));
    CHECK(cm_simd_use(CM_SIMD_LEVELS) == CM_ARGUMENT);
    CHECK(!strcmp(cm_simd_name(CM_SIMD_AVX2), "avx2"));
}

static void crc32(void) {
    enum { SIZE = 3000 };
    uint8_t *data = room(SIZE);
    for (size_t i = 0; i < SIZE; i++) data[i] = (uint8_t)next_random();
    EACH_LEVEL(level) {
        CHECK(cm_crc32((const uint8_t *)"123456789", 9) == 0xCBF43926u);
        CHECK(cm_crc32(data, 0) == 0);
        for (size_t size = 0; size <= SIZE; size += size < 300 ? 1 : 97) {
            uint32_t slow = UINT32_MAX; /* bit by bit */
            for (size_t i = SIZE - size; i < SIZE; i++) {
                slow ^= data[i];
                for (int b = 0; b < 8; b++) slow = slow >> 1 ^ (slow & 1 ? 0xEDB88320u : 0);
            }
            CHECK(cm_crc32(data + SIZE - size, size) == ~slow);
        }
    }
    free(data);
}

static void bitpack(void) {
    for (unsigned item = 1; item <= 4; item *= 2) {
        for (unsigned width = 0; width <= 8 * item; width++) {
            for (size_t count = 0; count < 40; count++) {
                size_t bytes = count * item, size = cm_bitpack_size(count, width);
                uint8_t *ints = room(bytes), *back = room(bytes), *data = room(size);
                cm_fault fault;
                memset(ints, 0, bytes);
                for (size_t i = 0; i < count; i++) {
                    uint64_t value = next_random() & (((uint64_t)1 << width) - 1);
                    memcpy(ints + i * item, &value, item);
                }
                CHECK(cm_bitpack_encode(ints, count, item, width, data, &fault) == CM_OK);
                CHECK(cm_bitpack_decode(data, size, count, item, width, back, &fault) == CM_OK);
                CHECK(!memcmp(ints, back, bytes));
                if (size) {
                    CHECK(cm_bitpack_decode(data, size - 1, count, item, width, back, &fault) ==
                          CM_TRUNCATED);
                    CHECK(fault.at == size - 1);
                }
                free(ints);
                free(back);
                free(data);
            }
        }
    }
}

static void bitpack_rules(void) {
    cm_fault fault;
    uint8_t out[4], values[2] = {3, 4};
    CHECK(cm_bitpack_encode(values, 2, 1, 2, out, &fault) == CM_ARGUMENT && fault.at == 1);
    CHECK(cm_bitpack_encode(values, 2, 1, 33, out, &fault) == CM_ARGUMENT);
    CHECK(cm_bitpack_decode((const uint8_t *)"\x80", 1, 1, 1, 7, out, &fault) == CM_CORRUPT);
    CHECK(cm_bitpack_decode((const uint8_t *)"\x7f\x00", 2, 1, 1, 7, out, &fault) == CM_CORRUPT);
    CHECK(cm_bitpack_decode((const uint8_t *)"\x7f\x00", 2, 1, 1, 9, out, &fault) == CM_ARGUMENT);
}

static uint8_t *encode(const void *symbols, size_t count, unsigned item, unsigned chunk_log2,
                       size_t *size) {
    static uint64_t histogram[CM_HUFFMAN_ALPHABET];
    static cm_huffman code;
    cm_fault fault;
    CHECK(cm_symbols_count(symbols, count, item, histogram, &fault) == CM_OK);
    CHECK(cm_huffman_build(histogram, &code) == CM_OK);
    uint8_t *data = room(CM_HUFFMAN_TABLE_BYTES +
                         cm_huffman_bound(&code, histogram, count, chunk_log2));
    *size = cm_huffman_table_put(&code, data);
    *size += cm_huffman_encode(&code, symbols, count, item, chunk_log2, data + *size);
    uint8_t *exact = room(*size);
    memcpy(exact, data, *size);
    free(data);
    return exact;
}

/* Decodes from and to buffers of the exact size. */
static cm_status decode(const uint8_t *data, size_t size, size_t count, unsigned item, int threads,
                        void *out) {
    static cm_huffman code;
    cm_fault fault = {0, NULL};
    uint8_t *exact = room(size);
    if (size) memcpy(exact, data, size);
    size_t at;
    cm_status status = cm_huffman_table_get(exact, size, &code, &at, &fault);
    if (status == CM_OK) status = cm_huffman_open(exact, size, at, count, item, &code, &fault);
    if (status == CM_OK) status = cm_huffman_decode(&code, exact, size, item, threads, out, &fault);
    if (status != CM_OK) CHECK(fault.what && fault.at <= size);
    free(exact);
    return status;
}

static void huffman_lengths(void) {
    static uint64_t histogram[CM_HUFFMAN_ALPHABET];
    static cm_huffman code, again;
    for (int round = 0; round < 300; round++) {
        size_t alphabet = 2 + below(CM_HUFFMAN_ALPHABET - 1);
        memset(histogram, 0, sizeof histogram);
        for (size_t s = 0; s < alphabet; s++)
            histogram[s] = below(4) ? next_random() >> (24 + below(40)) : 0;
        histogram[0] = 1;
        histogram[alphabet - 1] = 5;
        CHECK(cm_huffman_build(histogram, &code) == CM_OK && code.alphabet == alphabet);
        uint32_t kraft = 0;
        for (size_t s = 0; s < alphabet; s++) {
            CHECK(!histogram[s] == !code.lengths[s] && code.lengths[s] <= CM_HUFFMAN_BITS);
            if (code.lengths[s]) kraft += 1u << (CM_HUFFMAN_BITS - code.lengths[s]);
        }
        CHECK(kraft == 1u << CM_HUFFMAN_BITS);
        uint8_t table[CM_HUFFMAN_TABLE_BYTES];
        size_t size = cm_huffman_table_put(&code, table), used;
        CHECK(size <= sizeof table);
        uint8_t *exact = room(size);
        memcpy(exact, table, size);
        cm_fault fault;
        CHECK(cm_huffman_table_get(exact, size, &again, &used, &fault) == CM_OK && used == size);
        CHECK(!memcmp(code.lengths, again.lengths, sizeof code.lengths));
        for (size_t cut = 0; cut < size; cut++)
            CHECK(cm_huffman_table_get(exact, cut, &again, &used, &fault) != CM_OK);
        free(exact);
    }
}

static void huffman_round_trips(void) {
    static const size_t counts[] = {0,    1,    2,    3,    100,  4095,  4096,  4097,  4098,
                                    4099, 4100, 4117, 8191, 8192, 8193,  12288, 16385, 65536,
                                    65537, 70001};
    static const size_t alphabets[] = {1, 2, 3, 32, 256, 2048};
    EACH_LEVEL(level) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            for (size_t a = 0; a < sizeof alphabets / sizeof *alphabets; a++) {
                for (unsigned item = alphabets[a] > 256 ? 2 : 1; item <= 2; item++) {
                    size_t count = counts[c], size;
                    void *symbols = some_symbols(count, item, alphabets[a]);
                    void *back = room(count * item);
                    for (unsigned log2 = 12; log2 <= 16; log2 += 2) {
                        uint8_t *data = encode(symbols, count, item, log2, &size);
                        memset(back, 0xAA, count * item);
                        CHECK(decode(data, size, count, item, 1 + (int)log2 % 3, back) == CM_OK);
                        CHECK(!memcmp(symbols, back, count * item));
                        free(data);
                    }
                    free(symbols);
                    free(back);
                }
            }
        }
    }
}

/* One lane of long codes beside three of short ones, which reach their ends in the fast loop. */
static void huffman_uneven_lanes(void) {
    EACH_LEVEL(level) {
        for (size_t quarter = 1490; quarter < 1510; quarter++) {
            for (size_t slow = 0; slow < 4; slow++) {
                size_t count = 4 * quarter, size;
                uint8_t *symbols = some_symbols(count, 1, 200), *back = room(count);
                for (size_t i = 0; i < count; i++)
                    if (i / quarter != slow) symbols[i] = 100;
                uint8_t *data = encode(symbols, count, 1, 16, &size);
                CHECK(decode(data, size, count, 1, 1, back) == CM_OK);
                CHECK(!memcmp(symbols, back, count));
                free(symbols);
                free(back);
                free(data);
            }
        }
    }
}

static void huffman_truncation(void) {
    EACH_LEVEL(level) {
        static const size_t counts[] = {50, 4500, 9000};
        for (size_t c = 0; c < 3; c++) {
            size_t count = counts[c], size;
            void *symbols = some_symbols(count, 1, 20), *back = room(count);
            uint8_t *data = encode(symbols, count, 1, 12, &size);
            for (size_t cut = 0; cut < size; cut += 1 + cut / 97)
                CHECK(decode(data, cut, count, 1, 1, back) != CM_OK);
            free(symbols);
            free(back);
            free(data);
        }
    }
}

static void huffman_damage(void) {
    EACH_LEVEL(level) {
        for (int round = 0; round < 1500; round++) {
            unsigned item = 1 + (unsigned)below(2);
            size_t count = 1 + below(round % 3 ? 600 : 14000), size;
            void *symbols = some_symbols(count, item, item == 1 ? 40 : 700);
            void *back = room(count * item);
            uint8_t *data = encode(symbols, count, item, 12 + (unsigned)below(2), &size);
            for (int flips = 1 + (int)below(3); flips; flips--) {
                size_t reach = below(2) ? size : size < 40 ? size : 40; /* half in the front */
                data[below(reach)] ^= (uint8_t)(1u << below(8));
            }
            /* Symbols or an error, and never a step outside a buffer. */
            cm_status status = decode(data, size, count, item, 1 + (int)below(2), back);
            CHECK(status == CM_OK || status == CM_CORRUPT || status == CM_TRUNCATED ||
           status == CM_CHECKSUM);
            free(symbols);
            free(back);
            free(data);
        }
    }
}

/* One large chunk has no CRC, so damage reaches the lanes. */
static void huffman_damage_in_lanes(void) {
    EACH_LEVEL(level) {
        enum { COUNT = 6000 };
        size_t size;
        int refused = 0;
        uint8_t *symbols = some_symbols(COUNT, 1, 40), *back = room(COUNT);
        uint8_t *data = encode(symbols, COUNT, 1, 16, &size);
        for (int round = 0; round < 2000; round++) {
            size_t at = below(round % 2 ? size : 60);
            uint8_t before = data[at];
            data[at] = (uint8_t)next_random();
            refused += decode(data, size, COUNT, 1, 1, back) != CM_OK;
            data[at] = before;
        }
        CHECK(refused > 500);
        free(symbols);
        free(back);
        free(data);
    }
}

static void huffman_garbage(void) {
    EACH_LEVEL(level) {
        for (int round = 0; round < 20000; round++) {
            size_t size = below(80), count = below(round % 4 ? 300 : 9000);
            uint8_t *data = room(size), *back = room(2 * count);
            for (size_t i = 0; i < size; i++) data[i] = (uint8_t)next_random();
            /* A small alphabet and few long codes, or hardly any is valid. */
            if (size > 3 && round % 2) memcpy(data, "\x03\x21\x02", 3);
            cm_status status = decode(data, size, count, 2, 1, back);
            CHECK(status == CM_OK || status == CM_CORRUPT || status == CM_TRUNCATED ||
           status == CM_CHECKSUM);
            free(data);
            free(back);
        }
    }
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float some_value(void) {
    return (float)((double)below(1 << 20) + (double)below(1 << 20) - (1 << 20)) / (1 << 18);
}

static void sorting(void) {
    for (size_t n = 0; n < 3000; n = n * 2 + 1) {
        float *values = room(n * sizeof *values), *expected = room(n * sizeof *values);
        for (size_t i = 0; i < n; i++) values[i] = expected[i] = some_value();
        qsort(expected, n, sizeof *expected, compare);
        CHECK(cm_sort_float32(values, n) == CM_OK);
        for (size_t i = 0; i < n; i++) CHECK(values[i] == expected[i]);
        free(values);
        free(expected);
    }
}

static void lloyd(void) {
    const float values[] = {0, 1, 2, 10, 11, 12, 20};
    float many[2 * CM_SUMS];
    double sums[3], centroids[] = {1, 5, 30};
    size_t bounds[4];
    for (size_t i = 0; i < 2 * CM_SUMS; i++) many[i] = (float)i;
    cm_prefix_sums(many, 2 * CM_SUMS, sums);
    CHECK(sums[0] == 0 && sums[1] == CM_SUMS * (CM_SUMS - 1) / 2);
    CHECK(sums[2] == CM_SUMS * (2 * CM_SUMS - 1));
    cm_prefix_sums(values, 7, sums);
    CHECK(cm_lloyd(values, sums, 7, centroids, 3, 50, 0, bounds) <= 50);
    CHECK(centroids[0] == 1 && centroids[1] == 11 && centroids[2] == 20);
    CHECK(bounds[1] == 3 && bounds[2] == 6);
}

static void exact(void) {
    double values[] = {0, 1, 5, 6, 20}, weights[] = {1, 1, 1, 1, 1};
    size_t bounds[6];
    CHECK(cm_kmeans_exact(values, weights, 5, 3, bounds) == CM_OK);
    CHECK(bounds[0] == 0 && bounds[1] == 2 && bounds[2] == 4 && bounds[3] == 5);
    weights[2] = weights[3] = 1000; /* now it is worth most to part 5 and 6 */
    CHECK(cm_kmeans_exact(values, weights, 5, 3, bounds) == CM_OK);
    CHECK(bounds[1] == 3 && bounds[2] == 4);
    CHECK(cm_kmeans_exact(values, weights, 5, 5, bounds) == CM_OK);
    for (size_t j = 0; j <= 5; j++) CHECK(bounds[j] == j);
    CHECK(cm_kmeans_exact(values, weights, 5, 6, bounds) == CM_ARGUMENT);
    CHECK(cm_kmeans_exact(values, weights, 5, 0, bounds) == CM_ARGUMENT);
}

static void groups(void) {
    const float values[] = {0, 0, 1, 2, 2, 2, 100};
    double means[4], weights[4];
    int whole;
    CHECK(cm_kmeans_groups(values, 7, 4, means, weights, &whole) == 4 && whole);
    CHECK(means[2] == 2 && weights[2] == 3);
    CHECK(cm_kmeans_groups(values, 7, 3, means, weights, &whole) == 2 && !whole);
    CHECK(means[0] == 7.0 / 6 && weights[0] == 6 && means[1] == 100 && weights[1] == 1);
}

static void assignment(void) {
    static const size_t counts[] = {1, 2, 3, 7, 8, 9, 31, 64, 65, 66, 200, 256, 1000};
    EACH_LEVEL(level) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            size_t k = counts[c], n = below(300);
            float *values = room(n * sizeof *values), *centroids = room(k * sizeof *centroids);
            float *limits = room((k - 1) * sizeof *limits);
            uint16_t *wide = room(n * sizeof *wide);
            uint8_t *narrow = room(n);
            for (size_t i = 0; i < n; i++) values[i] = some_value();
            for (size_t i = 0; i < k; i++) centroids[i] = some_value();
            qsort(centroids, k, sizeof *centroids, compare);
            cm_thresholds(centroids, k, limits);
            cm_kernel.assign16(values, n, limits, k - 1, wide);
            if (k <= 256) cm_kernel.assign8(values, n, limits, k - 1, narrow);
            for (size_t i = 0; i < n; i++) {
                size_t expected = 0;
                while (expected + 1 < k &&
                       values[i] > ((double)centroids[expected] + centroids[expected + 1]) / 2)
                    expected++;
                CHECK(wide[i] == expected);
                if (k <= 256) CHECK(narrow[i] == expected);
            }
            free(values);
            free(centroids);
            free(limits);
            free(wide);
            free(narrow);
        }
    }
}

static void vectors(void) {
    static const size_t counts[] = {1, 7, 8, 9, 65}, depths[] = {1, 2, 8, 13};
    EACH_LEVEL(level) {
        for (size_t c = 0; c < 5; c++)
            for (size_t e = 0; e < 4; e++) {
                size_t k = counts[c], d = depths[e], n = k + below(50), rounds = 0;
                float *points = room(n * d * sizeof *points), *words = room(k * d * sizeof *words);
                uint16_t *codes = room(n * sizeof *codes), *again = room(n * sizeof *again);
                for (size_t i = 0; i < n * d; i++) points[i] = (float)below(1000) / 100;
                /* The same codeword twice and more: there are some that have to move. */
                for (size_t i = 0; i < k * d; i++) words[i] = points[i % (5 * d)];
                CHECK(cm_lloyd_vectors(points, n, d, words, k, 20, 0, codes, &rounds) == CM_OK);
                CHECK(rounds >= 1 && rounds <= 20);
                CHECK(cm_nearest(points, n, d, words, k, again) == CM_OK);
                for (size_t i = 0; i < n; i++) CHECK(codes[i] < k && codes[i] == again[i]);
                free(points);
                free(words);
                free(codes);
                free(again);
            }
    }
}

int main(void) {
    RUN(varints);
    RUN(levels);
    RUN(crc32);
    RUN(bitpack);
    RUN(bitpack_rules);
    RUN(huffman_lengths);
    RUN(huffman_round_trips);
    RUN(huffman_uneven_lanes);
    RUN(huffman_truncation);
    RUN(huffman_damage);
    RUN(huffman_damage_in_lanes);
    RUN(huffman_garbage);
    RUN(sorting);
    RUN(lloyd);
    RUN(exact);
    RUN(groups);
    RUN(assignment);
    RUN(vectors);
    return finish();
}
