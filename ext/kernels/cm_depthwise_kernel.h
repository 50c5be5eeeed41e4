/* Sums over the taps of one channel, for one level; see cm_engine.h. */

INLINE TARGET V taps_sum(const float *source, const ptrdiff_t *taps, const size_t tap_count,
                         const float *weights) {
    V sum = mul(fill(weights[0]), load(source + taps[0]));
    UNROLL for (size_t t = 1; t < tap_count; t++)
        sum = fma_(fill(weights[t]), load(source + taps[t]), sum);
    return sum;
}

/* One row; the last vector overlaps the one before it where the row is wide enough. */
INLINE TARGET void taps_row(const float *source, const ptrdiff_t *taps, const size_t tap_count,
                            const float *weights, size_t width, float *y,
                            const cm_finish *finish) {
    if (width < LANES) {
        float results[LANES], residual[LANES];
        cm_finish own = *finish;
        if (finish->residual) {
            memcpy(residual, finish->residual, width * sizeof *residual);
            memset(residual + width, 0, (LANES - width) * sizeof *residual);
            own.residual = residual;
        }
        store(results, finish_vector(taps_sum(source, taps, tap_count, weights), &own, 0, 0));
        memcpy(y, results, width * sizeof *y);
        return;
    }
    for (size_t i = 0; i < width; i += LANES) {
        size_t at = i + LANES > width ? width - LANES : i;
        V sum = taps_sum(source + at, taps, tap_count, weights);
        store(y + at, finish_vector(sum, finish, 0, (ptrdiff_t)at));
    }
}

/* Kernels of 3x3 without a factor and a residual: the weights stay in registers. The taps of a row
 * lie as those of the first do. */
INLINE TARGET void nine_taps(const float *source, size_t step, const ptrdiff_t *taps,
                             const float *weights, size_t rows, size_t width, float *y,
                             const cm_finish *finish) {
    V w[9], bias = fill(finish->bias ? *finish->bias : 0), slope = fill(finish->slope);
    UNROLL for (int t = 0; t < 9; t++) w[t] = fill(weights[t]);
    const int rectify = !finish->rectify ? 0 : finish->slope == 0 ? 1 : 2;
    const ptrdiff_t second = taps[1] - taps[0], third = taps[2] - taps[0];
    for (size_t r = 0; r < rows; r++, source += step, y += width) {
        const float *line[3] = {source + taps[0], source + taps[3], source + taps[6]};
        for (size_t i = 0; i < width; i += LANES) {
            ptrdiff_t at = (ptrdiff_t)(i + LANES > width ? width - LANES : i);
            V sum = bias;
            UNROLL for (int h = 0; h < 3; h++) {
                const float *x = line[h] + at;
                sum = fma_(w[3 * h], load(x), sum);
                sum = fma_(w[3 * h + 1], load(x + second), sum);
                sum = fma_(w[3 * h + 2], load(x + third), sum);
            }
            if (rectify == 1) sum = larger(fill(0), sum);
            else if (rectify == 2) sum = if_negative(sum, mul(sum, slope));
            store(y + at, sum);
        }
    }
}

TARGET static void NAME(depthwise)(const float *source, size_t step, const ptrdiff_t *taps,
                                   size_t tap_count, const float *weights, size_t rows,
                                   size_t width, float *y, const cm_finish *finish) {
    cm_finish own = *finish;
    if (tap_count == 9 && width >= LANES && !own.scale && !own.residual &&
        taps[4] - taps[3] == taps[1] - taps[0] && taps[5] - taps[3] == taps[2] - taps[0]) {
        nine_taps(source, step, taps, weights, rows, width, y, &own);
        return;
    }
    for (size_t r = 0; r < rows; r++, source += step, y += width) {
        if (tap_count == 9) taps_row(source, taps, 9, weights, width, y, &own);
        else taps_row(source, taps, tap_count, weights, width, y, &own);
        if (own.residual) own.residual += width;
    }
}
