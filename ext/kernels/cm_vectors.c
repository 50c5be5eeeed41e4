/* Distances are compared as |c|^2 / 2 - c.x, summed in the order of the numbers at every level. */
#include "cm_vectors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cm_simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Of the lanes' nearest codewords the nearest one, the first of equally near ones. */
static inline void first_of(const float *least, const uint32_t *best, uint16_t *code,
                            float *score) {
    size_t first = 0;
    for (size_t lane = 1; lane < CM_LANES; lane++)
        if (least[lane] < least[first] ||
            (least[lane] == least[first] && best[lane] < best[first]))
            first = lane;
    *code = (uint16_t)best[first];
    *score = least[first];
}

void cm_nearest_scalar(const float *points, size_t n, const cm_codewords *words, uint16_t *codes,
                       float *scores) {
    for (size_t i = 0; i < n; i++) {
        const float *point = points + i * words->d;
        float least[CM_LANES];
        uint32_t best[CM_LANES] = {0};
        for (size_t lane = 0; lane < CM_LANES; lane++) least[lane] = INFINITY;
        for (size_t c = 0; c < words->stride; c += CM_LANES) {
            const float *column = words->columns + c;
            float score[CM_LANES];
            memcpy(score, words->halves + c, sizeof score);
            for (size_t j = 0; j < words->d; j++, column += words->stride)
                for (size_t lane = 0; lane < CM_LANES; lane++)
                    score[lane] -= point[j] * column[lane];
            for (size_t lane = 0; lane < CM_LANES; lane++) {
                int nearer = score[lane] < least[lane];
                least[lane] = nearer ? score[lane] : least[lane];
                best[lane] = nearer ? (uint32_t)(c + lane) : best[lane];
            }
        }
        first_of(least, best, codes + i, scores + i);
    }
}

#if defined(__x86_64__)

#define POINTS 4

/* The nearest codewords of `count` points, at most POINTS, each in the lanes of a vector. */
__attribute__((target("avx2"))) static inline void nearest(const float *points, size_t count,
                                                           const cm_codewords *words,
                                                           uint16_t *codes, float *scores) {
    const float *point[POINTS];
    __m256 least[POINTS];
    __m256i best[POINTS], number = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (size_t p = 0; p < POINTS; p++) {
        point[p] = points + (p < count ? p : 0) * words->d;
        least[p] = _mm256_set1_ps(INFINITY);
        best[p] = _mm256_setzero_si256();
    }
    for (size_t c = 0; c < words->stride; c += CM_LANES) {
        __m256 half = _mm256_loadu_ps(words->halves + c);
        __m256 score[POINTS] = {half, half, half, half};
        const float *column = words->columns + c;
        for (size_t j = 0; j < words->d; j++, column += words->stride) {
            __m256 number_j = _mm256_loadu_ps(column);
            for (size_t p = 0; p < POINTS; p++)
                score[p] = _mm256_sub_ps(
                    score[p], _mm256_mul_ps(_mm256_broadcast_ss(point[p] + j), number_j));
        }
        for (size_t p = 0; p < POINTS; p++) {
            __m256 nearer = _mm256_cmp_ps(score[p], least[p], _CMP_LT_OQ);
            least[p] = _mm256_blendv_ps(least[p], score[p], nearer);
            best[p] = _mm256_blendv_epi8(best[p], number, _mm256_castps_si256(nearer));
        }
        number = _mm256_add_epi32(number, _mm256_set1_epi32(CM_LANES));
    }
    for (size_t p = 0; p < count; p++) {
        float lanes[CM_LANES];
        uint32_t numbers[CM_LANES];
        _mm256_storeu_ps(lanes, least[p]);
        _mm256_storeu_si256((__m256i *)(void *)numbers, best[p]);
        first_of(lanes, numbers, codes + p, scores + p);
    }
}

__attribute__((target("avx2"))) void cm_nearest_avx2(const float *points, size_t n,
                                                     const cm_codewords *words, uint16_t *codes,
                                                     float *scores) {
    for (size_t i = 0; i < n; i += POINTS)
        nearest(points + i * words->d, n - i < POINTS ? n - i : POINTS, words, codes + i,
                scores + i);
}

#endif

/* Room for codewords as the kernels read them; NULL where there is none. */
static float *room_for(cm_codewords *words, size_t k, size_t d) {
    size_t stride = (k + CM_LANES - 1) / CM_LANES * CM_LANES;
    float *room = calloc((d + 1) * stride, sizeof *room);
    *words = (cm_codewords){room, room ? room + d * stride : NULL, k, d, stride};
    return room;
}

static void arrange(const cm_codewords *words, float *room, const float *rows) {
    size_t stride = words->stride;
    float *halves = room + words->d * stride;
    for (size_t c = 0; c < stride; c++) {
        double square = c < words->k ? 0 : INFINITY;
        for (size_t j = 0; c < words->k && j < words->d; j++) {
            float value = rows[c * words->d + j];
            room[j * stride + c] = value;
            square += (double)value * value;
        }
        halves[c] = (float)(square / 2);
    }
}

cm_status cm_nearest(const float *points, size_t n, size_t d, const float *words, size_t k,
                     uint16_t *codes) {
    cm_codewords arranged;
    float *room = room_for(&arranged, k, d), *scores = malloc((n ? n : 1) * sizeof *scores);
    cm_status status = room && scores ? CM_OK : CM_MEMORY;
    if (status == CM_OK) {
        arrange(&arranged, room, words);
        cm_kernel.nearest(points, n, &arranged, codes, scores);
    }
    free(room);
    free(scores);
    return status;
}

typedef struct {
    const float *points;
    size_t n, d, k;
    double *sums;   /* (k, d) */
    size_t *counts; /* of each codeword */
    uint16_t *codes;
    float *scores;
} clusters;

static void add_up(const clusters *c) {
    memset(c->sums, 0, c->k * c->d * sizeof *c->sums);
    memset(c->counts, 0, c->k * sizeof *c->counts);
    for (size_t i = 0; i < c->n; i++) {
        double *sum = c->sums + c->codes[i] * c->d;
        for (size_t j = 0; j < c->d; j++) sum[j] += c->points[i * c->d + j];
        c->counts[c->codes[i]]++;
    }
}

typedef struct {
    float distance;
    uint32_t point;
} far;

static int by_distance(const void *a, const void *b) {
    const far *x = a, *y = b;
    if (x->distance != y->distance) return x->distance < y->distance ? 1 : -1;
    return x->point < y->point ? -1 : x->point > y->point;
}

/* Gives the codewords without points those that are farthest from their own. */
static cm_status fill_empty(const clusters *c) {
    size_t empty = 0;
    while (empty < c->k && c->counts[empty]) empty++;
    if (empty == c->k) return CM_OK;
    far *order = malloc(c->n * sizeof *order);
    if (!order) return CM_MEMORY;
    for (size_t i = 0; i < c->n; i++) {
        double square = 0;
        for (size_t j = 0; j < c->d; j++)
            square += (double)c->points[i * c->d + j] * c->points[i * c->d + j];
        order[i] = (far){(float)(square + 2 * (double)c->scores[i]), (uint32_t)i};
    }
    qsort(order, c->n, sizeof *order, by_distance);
    for (size_t next = 0; next < c->n && order[next].distance > 0; next++) {
        size_t i = order[next].point, owner = c->codes[i];
        if (c->counts[owner] < 2) continue;
        for (size_t j = 0; j < c->d; j++) {
            double value = c->points[i * c->d + j];
            c->sums[owner * c->d + j] -= value;
            c->sums[empty * c->d + j] = value;
        }
        c->counts[owner]--;
        c->counts[empty] = 1;
        c->codes[i] = (uint16_t)empty;
        while (empty < c->k && c->counts[empty]) empty++;
        if (empty == c->k) break;
    }
    free(order);
    return CM_OK;
}

/* Moves the codewords to the means of their points; returns the sum of squared moves. */
static double move(const clusters *c, float *words) {
    double moved = 0;
    for (size_t w = 0; w < c->k; w++) {
        if (!c->counts[w]) continue;
        for (size_t j = 0; j < c->d; j++) {
            float mean = (float)(c->sums[w * c->d + j] / (double)c->counts[w]);
            double step = (double)mean - words[w * c->d + j];
            moved += step * step;
            words[w * c->d + j] = mean;
        }
    }
    return moved;
}

cm_status cm_lloyd_vectors(const float *points, size_t n, size_t d, float *words, size_t k,
                           size_t most, double tol, uint16_t *codes, size_t *rounds) {
    cm_codewords arranged;
    float *room = room_for(&arranged, k, d);
    uint16_t *before = malloc((n ? n : 1) * sizeof *before);
    clusters all = {.points = points,
                    .n = n,
                    .d = d,
                    .k = k,
                    .sums = malloc(k * d * sizeof *all.sums),
                    .counts = malloc(k * sizeof *all.counts),
                    .codes = codes,
                    .scores = malloc((n ? n : 1) * sizeof *all.scores)};
    cm_status status = CM_MEMORY;
    if (room && before && all.sums && all.counts && all.scores) {
        status = CM_OK;
        int settled = 0;
        size_t round = 0;
        while (!settled && round < most) {
            arrange(&arranged, room, words);
            cm_kernel.nearest(points, n, &arranged, codes, all.scores);
            /* Then the codewords are the means of these points already. */
            settled = round && !memcmp(codes, before, n * sizeof *codes);
            round++;
            if (settled) break;
            add_up(&all);
            status = fill_empty(&all);
            if (status != CM_OK) break;
            memcpy(before, codes, n * sizeof *codes);
            if (move(&all, words) <= tol) break;
        }
        if (!settled && status == CM_OK) {
            arrange(&arranged, room, words);
            cm_kernel.nearest(points, n, &arranged, codes, all.scores);
        }
        *rounds = round;
    }
    free(room);
    free(before);
    free(all.sums);
    free(all.counts);
    free(all.scores);
    return status;
}
