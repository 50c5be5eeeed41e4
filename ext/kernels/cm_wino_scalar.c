/* The transforms of cm_wino.h in plain loops. */
#include "cm_wino.h"

#define EDGE CM_WINO_EDGE

static void forward(const float *d, size_t step, float *t) {
    float a = d[4 * step] - 4 * d[2 * step], b = d[3 * step] - 4 * d[step];
    float c = d[4 * step] - d[2 * step], e = 2 * (d[3 * step] - d[step]);
    t[0] = 4 * d[0] - 5 * d[2 * step] + d[4 * step];
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = c - e;
    t[5] = 4 * d[step] - 5 * d[3 * step] + d[5 * step];
}

void cm_wino_input_scalar(const cm_wino_tile *tiles, const float *channel, ptrdiff_t row,
                          float *out, size_t step) {
    for (size_t i = 0; i < CM_WINO_GROUP; i++) {
        float d[EDGE * EDGE], columns[EDGE * EDGE], t[EDGE];
        for (int r = 0; r < EDGE; r++)
            for (int c = 0; c < EDGE; c++) {
                int inside = r >= tiles[i].first && r < tiles[i].end && tiles[i].mask[c];
                d[r * EDGE + c] = inside ? channel[tiles[i].from + r * row + c] : 0;
            }
        for (size_t c = 0; c < EDGE; c++) {
            forward(d + c, EDGE, t);
            for (size_t r = 0; r < EDGE; r++) columns[r * EDGE + c] = t[r];
        }
        for (size_t r = 0; r < EDGE; r++) {
            forward(columns + r * EDGE, 1, t);
            for (size_t c = 0; c < EDGE; c++) out[(r * EDGE + c) * step + i] = t[c];
        }
    }
}

static void backward(const float *m, unsigned edge, float *y) {
    float sum = m[1] + m[2], difference = m[1] - m[2];
    float sum2 = m[3] + m[4], difference2 = m[3] - m[4];
    y[0] = m[0] + sum + sum2;
    if (edge == 2) {
        y[1] = difference + 2 * difference2 + m[5];
    } else {
        y[1] = difference + 2 * difference2;
        y[2] = sum + 4 * sum2;
        y[3] = difference + 8 * difference2 + m[5];
    }
}

void cm_wino_output_scalar(const cm_wino_tile *tiles, unsigned count, unsigned edge,
                           const float *sums, size_t step, float *y, ptrdiff_t row,
                           const cm_finish *finish) {
    for (size_t i = 0; i < count; i++) {
        float rows[EDGE][4], m[EDGE], result[4];
        for (size_t c = 0; c < EDGE; c++) {
            for (size_t r = 0; r < EDGE; r++) m[r] = sums[(r * EDGE + c) * step + i];
            backward(m, edge, rows[c]);
        }
        for (int r = 0; r < tiles[i].rows; r++) {
            for (size_t c = 0; c < EDGE; c++) m[c] = rows[c][r];
            backward(m, edge, result);
            for (int c = 0; c < tiles[i].columns; c++) {
                ptrdiff_t at = tiles[i].to + r * row + c;
                float x = result[c];
                if (finish->scale) x *= *finish->scale;
                if (finish->bias) x += *finish->bias;
                if (finish->residual) x += finish->residual[at];
                if (finish->rectify && x < 0) x = finish->slope == 0 ? 0 : x * finish->slope;
                y[at] = x;
            }
        }
    }
}
