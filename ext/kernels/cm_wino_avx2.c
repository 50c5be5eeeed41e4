/* The transforms of cm_wino.h, eight tiles at once. */
#if defined(__x86_64__)
#define CM_LEVEL 2
#include "cm_wino.h"

#include "cm_vec.h"

#define EDGE CM_WINO_MOST

INLINE TARGET void forward(const V *d, V *t) {
    V a = fma_(fill(-4), d[2], d[4]), b = fma_(fill(-4), d[1], d[3]);
    V c = sub(d[4], d[2]), e = sub(d[3], d[1]);
    t[0] = fma_(fill(4), d[0], fma_(fill(-5), d[2], d[4]));
    t[1] = add(a, b);
    t[2] = sub(a, b);
    t[3] = fma_(fill(2), e, c);
    t[4] = fma_(fill(-2), e, c);
    t[5] = fma_(fill(4), d[1], fma_(fill(-5), d[3], d[5]));
}

/* Columns 0 to 5 of eight rows of eight. */
INLINE TARGET void transpose(const float *rows, V *c) {
    V r[8], t[8], u[8];
    UNROLL for (int i = 0; i < 8; i++) r[i] = load(rows + 8 * i);
    UNROLL for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    UNROLL for (int i = 0; i < 2; i++) {
        u[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        u[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xEE);
        u[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        u[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xEE);
    }
    UNROLL for (int i = 0; i < 4; i++) c[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
    UNROLL for (int i = 0; i < 2; i++) c[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
}

TARGET static void input_6(const cm_wino_tile *tiles, const float *channel, ptrdiff_t row,
                           float *out, size_t step) {
    float rows[EDGE][8][8];
    for (int i = 0; i < CM_WINO_GROUP; i++) {
        const cm_wino_tile *tile = tiles + i;
        const float *from = channel + tile->from;
        V d[EDGE], t[EDGE];
        if (tile->end - tile->first == EDGE) {
            UNROLL for (int r = 0; r < EDGE; r++) d[r] = load_some(from + r * row, tile->mask);
        } else {
            UNROLL for (int r = 0; r < EDGE; r++)
                d[r] = r >= tile->first && r < tile->end ? load_some(from + r * row, tile->mask)
                                                         : fill(0);
        }
        forward(d, t);
        UNROLL for (int r = 0; r < EDGE; r++) store(rows[r][i], t[r]);
    }
    for (int r = 0; r < EDGE; r++) {
        V d[EDGE], t[EDGE];
        transpose(rows[r][0], d);
        forward(d, t);
        UNROLL for (int c = 0; c < EDGE; c++)
            store(out + (size_t)(r * EDGE + c) * step, t[c]);
    }
}

/* Row r of the tiles: c[j] holds column j of the eight. */
INLINE TARGET void load_row(const cm_wino_tile *tiles, int r, const float *channel, ptrdiff_t row,
                            V *c) {
    V two[4];
    UNROLL for (int i = 0; i < 4; i++) {
        __m128 half[2];
        UNROLL for (int j = 0; j < 2; j++) {
            const cm_wino_tile *tile = tiles + i + 4 * j;
            half[j] = _mm_setzero_ps();
            if (r >= tile->first && r < tile->end)
                half[j] = _mm_maskload_ps(channel + tile->from + r * row,
                                          _mm_loadu_si128((const __m128i *)(const void *)tile->mask));
        }
        two[i] = _mm256_set_m128(half[1], half[0]);
    }
    V a = _mm256_unpacklo_ps(two[0], two[1]), b = _mm256_unpackhi_ps(two[0], two[1]);
    V d = _mm256_unpacklo_ps(two[2], two[3]), e = _mm256_unpackhi_ps(two[2], two[3]);
    c[0] = _mm256_shuffle_ps(a, d, 0x44);
    c[1] = _mm256_shuffle_ps(a, d, 0xEE);
    c[2] = _mm256_shuffle_ps(b, e, 0x44);
    c[3] = _mm256_shuffle_ps(b, e, 0xEE);
}

INLINE TARGET void forward_4(const V *d, V *t) {
    t[0] = sub(d[0], d[2]);
    t[1] = add(d[1], d[2]);
    t[2] = sub(d[2], d[1]);
    t[3] = sub(d[3], d[1]);
}

TARGET static void input_4(const cm_wino_tile *tiles, const float *channel, ptrdiff_t row,
                           float *out, size_t step) {
    V rows[4][4];
    UNROLL for (int r = 0; r < 4; r++) {
        V d[4];
        load_row(tiles, r, channel, row, d);
        forward_4(d, rows[r]);
    }
    UNROLL for (int c = 0; c < 4; c++) {
        V d[4] = {rows[0][c], rows[1][c], rows[2][c], rows[3][c]}, t[4];
        forward_4(d, t);
        UNROLL for (int r = 0; r < 4; r++) store(out + (size_t)(r * 4 + c) * step, t[r]);
    }
}

TARGET void cm_wino_input_avx2(unsigned size, const cm_wino_tile *tiles, const float *channel,
                               ptrdiff_t row, float *out, size_t step) {
    if (size == 4) input_4(tiles, channel, row, out, step);
    else input_6(tiles, channel, row, out, step);
}

INLINE TARGET void backward(const V *m, const unsigned size, const unsigned edge, V *y) {
    if (size == 4) {
        y[0] = add(add(m[0], m[1]), m[2]);
        y[1] = add(sub(m[1], m[2]), m[3]);
        return;
    }
    V sum = add(m[1], m[2]), difference = sub(m[1], m[2]);
    V sum2 = add(m[3], m[4]), difference2 = sub(m[3], m[4]);
    y[0] = add(add(m[0], sum), sum2);
    y[1] = fma_(fill(2), difference2, difference);
    if (edge == 2) {
        y[1] = add(y[1], m[5]);
    } else {
        y[2] = fma_(fill(4), sum2, sum);
        y[3] = add(fma_(fill(8), difference2, difference), m[5]);
    }
}

INLINE TARGET V rectified(V x, const cm_finish *f) {
    return f->slope == 0 ? larger(fill(0), x) : if_negative(x, mul(x, fill(f->slope)));
}

/* What follows a residual; x: four results of one row. */
INLINE TARGET __m128 with_residual(__m128 x, const float *residual, const cm_finish *f) {
    x = _mm_add_ps(x, _mm_loadu_ps(residual));
    if (!f->rectify) return x;
    if (f->slope == 0) return _mm_max_ps(_mm_setzero_ps(), x);
    return _mm_blendv_ps(x, _mm_mul_ps(x, _mm_set1_ps(f->slope)), x);
}

/* Stores row r of the results; y[c] holds column c of each tile. */
INLINE TARGET void store_row(const cm_wino_tile *tiles, unsigned count, int r, const V *y,
                             float *to, ptrdiff_t row, const cm_finish *finish) {
    float results[8][4];
    V a = _mm256_unpacklo_ps(y[0], y[1]), b = _mm256_unpackhi_ps(y[0], y[1]);
    V c = _mm256_unpacklo_ps(y[2], y[3]), d = _mm256_unpackhi_ps(y[2], y[3]);
    V quads[4] = {_mm256_shuffle_ps(a, c, 0x44), _mm256_shuffle_ps(a, c, 0xEE),
                  _mm256_shuffle_ps(b, d, 0x44), _mm256_shuffle_ps(b, d, 0xEE)};
    UNROLL for (int i = 0; i < 4; i++) {
        _mm_storeu_ps(results[i], _mm256_castps256_ps128(quads[i]));
        _mm_storeu_ps(results[i + 4], _mm256_extractf128_ps(quads[i], 1));
    }
    for (unsigned i = 0; i < count; i++) {
        if (r >= tiles[i].rows) continue;
        ptrdiff_t at = tiles[i].to + r * row;
        if (tiles[i].columns == 4) {
            __m128 x = _mm_loadu_ps(results[i]);
            if (finish->residual) x = with_residual(x, finish->residual + at, finish);
            _mm_storeu_ps(to + at, x);
            continue;
        }
        for (int j = 0; j < tiles[i].columns; j++) {
            float x = results[i][j];
            if (finish->residual) {
                x += finish->residual[at + j];
                if (finish->rectify && x < 0) x = finish->slope == 0 ? 0 : x * finish->slope;
            }
            to[at + j] = x;
        }
    }
}

INLINE TARGET void output_of(const unsigned size, const unsigned edge, const cm_wino_tile *tiles,
                             unsigned count, const float *sums, size_t step, float *to,
                             ptrdiff_t row, const cm_finish *finish) {
    V half[4][EDGE];
    UNROLL for (unsigned c = 0; c < size; c++) {
        V m[EDGE], y[4];
        UNROLL for (unsigned r = 0; r < size; r++) m[r] = load(sums + (r * size + c) * step);
        backward(m, size, edge, y);
        UNROLL for (unsigned r = 0; r < edge; r++) half[r][c] = y[r];
    }
    UNROLL for (unsigned r = 0; r < edge; r++) {
        V y[4] = {fill(0), fill(0), fill(0), fill(0)};
        backward(half[r], size, edge, y);
        UNROLL for (unsigned c = 0; c < edge; c++) {
            if (finish->scale) y[c] = mul(y[c], fill(*finish->scale));
            if (finish->bias) y[c] = add(y[c], fill(*finish->bias));
            if (finish->rectify && !finish->residual) y[c] = rectified(y[c], finish);
        }
        store_row(tiles, count, (int)r, y, to, row, finish);
    }
}

TARGET void cm_wino_output_avx2(unsigned size, unsigned edge, const cm_wino_tile *tiles,
                                unsigned count, const float *sums, size_t step, float *y,
                                ptrdiff_t row, const cm_finish *finish) {
    if (size == 4) output_of(4, 2, tiles, count, sums, step, y, row, finish);
    else if (edge == 2) output_of(6, 2, tiles, count, sums, step, y, row, finish);
    else output_of(6, 4, tiles, count, sums, step, y, row, finish);
}

#else
typedef int cm_wino_avx2_not_here;
#endif
