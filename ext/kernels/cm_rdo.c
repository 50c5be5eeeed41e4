#include "cm_rdo.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define S CM_RDO_STATES

/* What is remembered of one column: how the best path into each state came there. */
typedef struct {
    float error[S];
    int16_t index[S];
    uint8_t from[S];
} column;

size_t cm_rdo_space(unsigned states, size_t width) {
    return width * ((states == 1 ? 1 : S) * sizeof(float) + sizeof(column));
}

static inline const float *costs_at(const cm_rdo_code *code, const cm_rdo_window *w, size_t j) {
    int class = (w->level + w->levels[j]) >> 3;
    if (class < 0) class = 0;
    if (class >= code->classes) class = code->classes - 1;
    return code->costs + (size_t)class * 2 * (size_t)code->entries;
}

/* The choices of one state: they improve what is known of the states they lead to. */
static inline void extend(const cm_rdo_code *code, unsigned s, unsigned states, float x,
                          float weight, const float *costs, int zero, float so_far, float *best,
                          column *out) {
    int second = code->quantizer[s] & code->dependent;
    int spacing = 1 + code->dependent;
    float size = fabsf(x), sign = x < 0 ? -1.0f : 1.0f;
    float whole = (size + (float)second) / (float)spacing;
    int low = whole < CM_RDO_TOP ? (int)whole : CM_RDO_TOP - 1;
    const int tries[4] = {low, low + 1, low - 1, 0};
    costs += second * code->entries;
    for (int t = zero ? 3 : 0; t < 4; t++) {
        int k = tries[t];
        if (k < 0 || (t == 3 && low < 2 && !zero)) continue;
        float value = (float)(spacing * k - (k ? second : 0));
        float error = (size - value) * weight;
        float cost = so_far + error * error + costs[k < code->entries ? k : code->entries - 1];
        unsigned to = states == 1 ? 0 : code->next[2 * s + (k & 1)];
        if (cost < best[to]) {
            best[to] = cost;
            out->error[to] = sign * error;
            out->index[to] = (int16_t)(sign * (float)k);
            out->from[to] = (uint8_t)s;
        }
    }
}

static void one_state(const cm_rdo_code *code, const cm_rdo_window *w, int16_t *indices,
                      float *errors, float *left) {
    column out = {0};
    memcpy(left, w->values, w->width * sizeof *left);
    for (size_t j = 0; j < w->commit; j++) {
        float best = INFINITY;
        extend(code, 0, 1, left[j], w->weights[j], costs_at(code, w, j), w->keep && !w->keep[j], 0,
               &best, &out);
        const float *row = w->factor + j * w->stride;
        float error = errors[j] = out.error[0];
        indices[j] = out.index[0];
        for (size_t i = j + 1; i < w->commit; i++) left[i] -= error * row[i];
    }
}

/* Moves what is left to the later columns to the paths that survive, their new errors included. */
typedef void feed(float (*left)[S], size_t from, size_t to, const column *out, const float *row);

static void feed_scalar(float (*left)[S], size_t from, size_t to, const column *out,
                        const float *row) {
    for (size_t i = from; i < to; i++) {
        float old[S];
        memcpy(old, left[i], sizeof old);
        for (int s = 0; s < S; s++) left[i][s] = old[out->from[s]] - out->error[s] * row[i];
    }
}

static inline void all_states(const cm_rdo_code *code, const cm_rdo_window *w, uint8_t *state,
                              int16_t *indices, float *errors, void *space, feed *feed) {
    float(*left)[S] = space;
    column *columns = (column *)(left + w->width);
    float costs[S];
    for (size_t j = 0; j < w->width; j++)
        for (int s = 0; s < S; s++) left[j][s] = w->values[j];
    for (unsigned s = 0; s < S; s++) costs[s] = s == *state ? 0 : INFINITY;
    for (size_t j = 0; j < w->width; j++) {
        column *out = columns + j;
        float best[S];
        memset(out, 0, sizeof *out);
        for (int s = 0; s < S; s++) best[s] = INFINITY;
        const float *table = costs_at(code, w, j);
        int zero = w->keep && !w->keep[j];
        for (unsigned s = 0; s < S; s++)
            if (costs[s] < INFINITY)
                extend(code, s, S, left[j][s], w->weights[j], table, zero, costs[s], best, out);
        memcpy(costs, best, sizeof costs);
        feed(left, j + 1, w->width, out, w->factor + j * w->stride);
    }
    unsigned at = 0;
    for (unsigned s = 1; s < S; s++)
        if (costs[s] < costs[at]) at = s;
    for (size_t j = w->width; j-- > 0;) {
        if (j + 1 == w->commit) *state = (uint8_t)at;
        if (j < w->commit) {
            indices[j] = columns[j].index[at];
            errors[j] = columns[j].error[at];
        }
        at = columns[j].from[at];
    }
}

void cm_rdo_window_scalar(const cm_rdo_code *code, const cm_rdo_window *window, uint8_t *state,
                          int16_t *indices, float *errors, void *space) {
    if (code->states == 1) one_state(code, window, indices, errors, space);
    else all_states(code, window, state, indices, errors, space, feed_scalar);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void feed_avx2(float (*left)[S], size_t from, size_t to,
                                                      const column *out, const float *row) {
    const __m256i order = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)out->from));
    const __m256 error = _mm256_loadu_ps(out->error);
    for (size_t i = from; i < to; i++) {
        __m256 old = _mm256_permutevar8x32_ps(_mm256_loadu_ps(left[i]), order);
        /* Product and difference are rounded each, as without these instructions. */
        __m256 fed = _mm256_mul_ps(error, _mm256_set1_ps(row[i]));
        _mm256_storeu_ps(left[i], _mm256_sub_ps(old, fed));
    }
}

void cm_rdo_window_avx2(const cm_rdo_code *code, const cm_rdo_window *window, uint8_t *state,
                        int16_t *indices, float *errors, void *space) {
    if (code->states == 1) one_state(code, window, indices, errors, space);
    else all_states(code, window, state, indices, errors, space, feed_avx2);
}
#endif
#undef S
