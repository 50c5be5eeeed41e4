/* The hot kernels once each, for counting their instructions under callgrind: see instructions.py.
 *
 * Every measured call is a line on stdout (name, units of work, the unit) and, under valgrind, a dump
 * of that name. Results are checked, so that what is counted is the work itself. */
#include <string.h>
#include <valgrind/callgrind.h>

#include "check.h"
#include "cm_coded.h"
#include "cm_context.h"
#include "cm_dense.h"
#include "cm_huffman.h"
#include "cm_kmeans.h"
#include "cm_mask.h"
#include "cm_rans.h"
#include "cm_simd.h"
#include "cm_sparse.h"
#include "cm_vectors.h"

static const char *level_name;

/* MEASURE(name, units, unit) call; */
#define MEASURE(name, units, unit, call)                                    \
    do {                                                                    \
        char label[64];                                                     \
        snprintf(label, sizeof label, "%s/%s", name, level_name);           \
        CALLGRIND_START_INSTRUMENTATION;                                    \
        CALLGRIND_ZERO_STATS;                                               \
        call;                                                               \
        CALLGRIND_DUMP_STATS_AT(label);                                     \
        CALLGRIND_STOP_INSTRUMENTATION;                                     \
        printf("%s\t%zu\t%s\n", label, (size_t)(units), unit);              \
    } while (0)

enum { SYMBOLS = 1 << 18, ALPHABET = 32, CHUNK = 16 };

static void huffman(void) {
    static uint64_t histogram[CM_HUFFMAN_ALPHABET];
    static cm_huffman code;
    cm_fault fault;
    uint8_t *symbols = some_symbols(SYMBOLS, 1, ALPHABET), *back = room(SYMBOLS);
    CHECK(cm_symbols_count(symbols, SYMBOLS, 1, histogram, &fault) == CM_OK);
    CHECK(cm_huffman_build(histogram, &code) == CM_OK);
    uint8_t *data = room(cm_huffman_bound(&code, histogram, SYMBOLS, CHUNK));
    size_t size = cm_huffman_encode(&code, symbols, SYMBOLS, 1, CHUNK, data);
    CHECK(cm_huffman_open(data, size, 0, SYMBOLS, 1, &code, &fault) == CM_OK);
    MEASURE("huffman_decode", SYMBOLS, "symbol",
            CHECK(cm_huffman_decode(&code, data, size, 1, 1, back, &fault) == CM_OK));
    CHECK(!memcmp(symbols, back, SYMBOLS));
    free(symbols);
    free(back);
    free(data);
}

static void rans(const char *name, int wide) {
    static uint64_t histogram[CM_RANS_ALPHABET];
    static cm_rans_table table;
    static cm_rans model;
    cm_fault fault;
    uint8_t *symbols = some_symbols(SYMBOLS, 1, ALPHABET), *back = room(SYMBOLS);
    CHECK(cm_symbols_count(symbols, SYMBOLS, 1, histogram, &fault) == CM_OK);
    CHECK(cm_rans_build(histogram, &table, &model) == CM_OK);
    uint8_t *data = room(cm_rans_bound(SYMBOLS, CHUNK));
    size_t size = cm_rans_encode(&model, symbols, SYMBOLS, 1, CHUNK, wide, data);
    CHECK(cm_rans_open(data, size, 0, SYMBOLS, 1, &model, &fault) == CM_OK);
    MEASURE(name, SYMBOLS, "symbol",
            CHECK(cm_rans_decode(&model, data, size, 1, 1, back, &fault) == CM_OK));
    CHECK(!memcmp(symbols, back, SYMBOLS));
    free(symbols);
    free(back);
    free(data);
}

/* One weight in twelve stays, as in a pruned fully connected layer. */
static void mask(void) {
    cm_mask mask = {100, 800, 0, 25}, found = {100, 800, 0, 0};
    cm_fault fault;
    size_t size = mask.rows * mask.columns, bytes;
    int64_t *positions = room(size * sizeof *positions), *back = room(size * sizeof *back);
    for (size_t i = 0; i < size; i++)
        if (!below(12)) positions[mask.count++] = (int64_t)i;
    uint8_t *data;
    CHECK(cm_mask_encode(&mask, positions, &data, &bytes) == CM_OK);
    found.count = mask.count;
    MEASURE("mask_decode", size, "element",
            CHECK(cm_mask_decode(data, bytes, &found, back, &fault) == CM_OK));
    CHECK(!memcmp(positions, back, mask.count * sizeof *back));
    free(positions);
    free(back);
    free(data);
}

static void context(void) {
    enum { COUNT = 20000 };
    const cm_context matrix = {200, 4, 5, 25, 0};
    cm_fault fault;
    uint8_t *ints = room(COUNT), *back = room(COUNT), *data;
    size_t size;
    for (size_t i = 0; i < COUNT; i++) ints[i] = (uint8_t)(below(3) ? 4 : below(9));
    CHECK(cm_context_encode(&matrix, ints, 1, COUNT, &data, &size) == CM_OK);
    MEASURE("context_decode", COUNT, "integer",
            CHECK(cm_context_decode(data, size, back, 1, COUNT, &fault) == CM_OK));
    CHECK(!memcmp(ints, back, COUNT));
    free(ints);
    free(back);
    free(data);
}

/* Small integers, whose sums are exact in any order. */
static float *small_floats(size_t count) {
    float *values = room(count * sizeof *values);
    for (size_t i = 0; i < count; i++) values[i] = (float)below(17) - 8;
    return values;
}

static void tile(void) {
    enum { INNER = 512 };
    const cm_engine *engine = cm_kernel.engine;
    size_t rows = engine->rows, columns = 2 * engine->lanes;
    float *a = small_floats(rows * INNER), *b = small_floats(columns * INNER);
    float *c = room(rows * columns * sizeof *c);
    MEASURE("tile", 2 * rows * columns * INNER, "flop",
            engine->tile((unsigned)rows, 2, INNER, a, b, c, (ptrdiff_t)columns, 0, NULL));
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j++) {
            float sum = 0;
            for (size_t k = 0; k < INNER; k++) sum += a[k * rows + r] * b[k * columns + j];
            CHECK(c[r * columns + j] == sum);
        }
    free(a);
    free(b);
    free(c);
}

static void dense(void) {
    enum { INNER = 800, OUTPUTS = 100 };
    float *weights = small_floats(OUTPUTS * INNER), *x = small_floats(INNER);
    float *y = room(OUTPUTS * sizeof *y);
    float *space = room(cm_dense_space(cm_kernel.engine, 1, INNER) * sizeof *space);
    const cm_finish finish = {0};
    MEASURE("dense", 2 * OUTPUTS * INNER, "flop",
            cm_dense_run(cm_kernel.engine, 1, 1, INNER, OUTPUTS, weights, x, y, &finish, space));
    for (size_t o = 0; o < OUTPUTS; o++) {
        float sum = 0;
        for (size_t k = 0; k < INNER; k++) sum += weights[o * INNER + k] * x[k];
        CHECK(y[o] == sum);
    }
    free(weights);
    free(x);
    free(y);
    free(space);
}

/* A codebook of 16 values, four bits a weight. */
static void coded(void) {
    enum { INNER = 800, OUTPUTS = 100 };
    float entries[CM_CODED_ENTRIES], *x = small_floats(INNER), *y = room(OUTPUTS * sizeof *y);
    for (int i = 0; i < CM_CODED_ENTRIES; i++) entries[i] = (float)i - 7;
    uint8_t *indices = room(OUTPUTS * INNER);
    for (size_t i = 0; i < OUTPUTS * INNER; i++) indices[i] = (uint8_t)below(16);
    uint8_t *packed = room(cm_coded_bytes(OUTPUTS, INNER));
    cm_coded_pack(OUTPUTS, INNER, indices, packed);
    const cm_coded matrix = {OUTPUTS, INNER, NULL, NULL, NULL, packed, entries, OUTPUTS};
    float *space = room(cm_coded_space(cm_kernel.engine, 1, &matrix) * sizeof *space);
    const cm_finish finish = {0};
    MEASURE("coded", 2 * OUTPUTS * INNER, "flop",
            cm_coded_run(cm_kernel.engine, 1, 1, &matrix, x, y, &finish, space));
    for (size_t o = 0; o < OUTPUTS; o++) {
        float sum = 0;
        for (size_t k = 0; k < INNER; k++) sum += entries[indices[o * INNER + k]] * x[k];
        CHECK(y[o] == sum);
    }
    free(x);
    free(y);
    free(indices);
    free(packed);
    free(space);
}

/* 3 x 3 on 28 x 28, a tenth of the weights; 1 or 4 rows of weights share their columns. */
static void sparse(const char *name, unsigned rows) {
    const cm_geometry g = {1, 1, 8, 16, {1, 28, 28}, {1, 26, 26}, {1, 3, 3}, {1, 1, 1}, {0},
                           {1, 1, 1}};
    enum { INNER = 72, OUTPUTS = 16, POSITIONS = 26 * 26 };
    cm_sparse sparse;
    CHECK(cm_sparse_plan(&sparse, &g, cm_kernel.engine, rows, 1) == CM_OK);
    float *weights = small_floats(OUTPUTS * INNER), *x = small_floats(8 * 28 * 28);
    float *packed = room(OUTPUTS * INNER * sizeof *packed);
    float *y = room(OUTPUTS * POSITIONS * sizeof *y);
    int64_t starts[OUTPUTS + 1] = {0};
    int32_t *offsets = room(OUTPUTS * INNER * sizeof *offsets);
    size_t stored = 0;
    for (size_t b = 0; b < OUTPUTS / rows; b++) {
        for (size_t k = 0; k < INNER; k++) {
            int there = !below(10);
            for (size_t r = 0; r < rows; r++) {
                float *weight = weights + (b * rows + r) * INNER + k;
                if (!there) *weight = 0;
                else packed[stored * rows + r] = *weight;
            }
            if (there) offsets[stored++] = cm_sparse_offset(&sparse, k);
        }
        starts[b + 1] = (int64_t)stored;
    }
    float *space = room(cm_sparse_space(&sparse) * sizeof *space);
    const cm_finish finish = {0};
    MEASURE(name, 2 * stored * rows * POSITIONS, "flop",
            cm_sparse_run(&sparse, starts, offsets, packed, x, y, &finish, space));
    for (size_t o = 0; o < OUTPUTS; o++)
        for (size_t p = 0; p < POSITIONS; p++) {
            float sum = 0;
            for (size_t k = 0; k < INNER; k++)
                sum += weights[o * INNER + k] *
                       x[k / 9 * 784 + (p / 26 + k / 3 % 3) * 28 + p % 26 + k % 3];
            CHECK(y[o * POSITIONS + p] == sum);
        }
    cm_sparse_free(&sparse);
    free(weights);
    free(x);
    free(packed);
    free(y);
    free(offsets);
    free(space);
}

static void assignment(const char *name, size_t clusters) {
    enum { VALUES = 1 << 16 };
    float *values = room(VALUES * sizeof *values), limits[255];
    uint8_t *index = room(VALUES);
    for (size_t i = 0; i < VALUES; i++) values[i] = (float)below(1 << 20) / (1 << 20);
    for (size_t i = 0; i + 1 < clusters; i++) limits[i] = (float)(i + 1) / (float)clusters;
    MEASURE(name, VALUES, "value",
            cm_kernel.assign8(values, VALUES, limits, clusters - 1, index));
    for (size_t i = 0; i < VALUES; i++) {
        size_t below_it = 0;
        for (size_t j = 0; j + 1 < clusters; j++) below_it += values[i] > limits[j];
        CHECK(index[i] == below_it);
    }
    free(values);
    free(index);
}

static void nearest(void) {
    enum { POINTS = 512, DEPTH = 8, WORDS = 256 };
    float *points = room(POINTS * DEPTH * sizeof *points);
    float *words = room(WORDS * DEPTH * sizeof *words);
    uint16_t *codes = room(POINTS * sizeof *codes);
    for (size_t i = 0; i < POINTS * DEPTH; i++) points[i] = (float)(i * 7919 % 1009) / 1009;
    for (size_t i = 0; i < WORDS * DEPTH; i++) words[i] = (float)(i * 104729 % 1013) / 1013;
    cm_status status = CM_OK;
    MEASURE("nearest", POINTS * WORDS, "point and codeword",
            status = cm_nearest(points, POINTS, DEPTH, words, WORDS, codes));
    CHECK(status == CM_OK);
    free(points);
    free(words);
    free(codes);
}

static void lloyd(void) {
    enum { VALUES = 20000, CLUSTERS = 32, ROUNDS = 10 };
    float *values = room(VALUES * sizeof *values);
    double *sums = room((VALUES / CM_SUMS + 1) * sizeof *sums), centroids[CLUSTERS];
    size_t bounds[CLUSTERS + 1], rounds = 0;
    for (size_t i = 0; i < VALUES; i++) {
        float x = (float)i / VALUES;
        values[i] = x * x;
    }
    for (size_t i = 0; i < CLUSTERS; i++) centroids[i] = (double)i / CLUSTERS;
    MEASURE("lloyd", VALUES * ROUNDS, "value and round", {
        cm_prefix_sums(values, VALUES, sums);
        rounds = cm_lloyd(values, sums, VALUES, centroids, CLUSTERS, ROUNDS, 0, bounds);
    });
    CHECK(rounds == ROUNDS);
    free(values);
    free(sums);
}

int main(void) {
    static const cm_simd levels[] = {CM_SIMD_SCALAR, CM_SIMD_AVX2};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (cm_simd_use_engine(levels[i]) != CM_OK) continue;
        level_name = cm_simd_name(levels[i]);
        state = 1; /* the same work at every level */
        huffman();
        rans("rans_decode", 0);
        rans("rans_decode_wide", 1);
        mask();
        context();
        tile();
        dense();
        coded();
        sparse("sparse_1_row", 1);
        sparse("sparse_4_rows", 4);
        assignment("assign_32", 32);
        assignment("assign_256", 256);
        lloyd();
        nearest();
    nearest();
    }
    if (wrong) fprintf(stderr, "%d wrong results\n", wrong);
    return wrong > 0;
}
