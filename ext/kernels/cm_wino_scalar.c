/* The transforms of cm_wino.h in plain loops. */
#include "cm_wino.h"

#define EDGE CM_WINO_MOST

static void forward(unsigned size, const float *d, size_t step, float *t) {
    if (size == 4) {
        t[0] = d[0] - d[2 * step];
        t[1] = d[step] + d[2 * step];
        t[2] = d[2 * step] - d[step];
        t[3] = d[3 * step] - d[step];
        return;
    }
    float a = d[4 * step] - 4 * d[2 * step], b = d[3 * step] - 4 * d[step];
    float c = d[4 * step] - d[2 * step], e = 2 * (d[3 * step] - d[step]);
    t[0] = 4 * d[0] - 5 * d[2 * step] + d[4 * step];
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = c - e;
    t[5] = 4 * d[step] - 5 * d[3 * step] + d[5 * step];
}

void cm_wino_input_scalar(unsigned size, const cm_wino_tile *tiles, const float *channel,
                          ptrdiff_t row, float *out, size_t step) {
    for (size_t i = 0; i < CM_WINO_GROUP; i++) {
        float d[EDGE * EDGE], columns[EDGE * EDGE], t[EDGE];
        for (unsigned r = 0; r < size; r++)
            for (unsigned c = 0; c < size; c++) {
                int line = (int)r;
                int inside = line >= tiles[i].first && line < tiles[i].end && tiles[i].mask[c];
                d[r * size + c] = inside ? channel[tiles[i].from + line * row + (int)c] : 0;
            }
        for (unsigned c = 0; c < size; c++) {
            forward(size, d + c, size, t);
            for (unsigned r = 0; r < size; r++) columns[r * size + c] = t[r];
        }
        for (unsigned r = 0; r < size; r++) {
            forward(size, columns + r * size, 1, t);
            for (unsigned c = 0; c < size; c++) out[(r * size + c) * step + i] = t[c];
        }
    }
}

static void backward(unsigned size, const float *m, unsigned edge, float *y) {
    if (size == 4) {
        y[0] = m[0] + m[1] + m[2];
        y[1] = m[1] - m[2] + m[3];
        return;
    }
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

void cm_wino_output_scalar(unsigned size, unsigned edge, const cm_wino_tile *tiles, unsigned count,
                           const float *sums, size_t step, float *y, ptrdiff_t row,
                           const cm_finish *finish) {
    for (size_t i = 0; i < count; i++) {
        float rows[EDGE][4], m[EDGE], result[4];
        for (size_t c = 0; c < size; c++) {
            for (size_t r = 0; r < size; r++) m[r] = sums[(r * size + c) * step + i];
            backward(size, m, edge, rows[c]);
        }
        for (int r = 0; r < tiles[i].rows; r++) {
            for (size_t c = 0; c < size; c++) m[c] = rows[c][r];
            backward(size, m, edge, result);
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
