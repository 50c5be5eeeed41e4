/* Local response normalisation across channels, for one level; see cm_engine.h. */

INLINE TARGET V normalised(const float *x, size_t step, size_t before, size_t behind, float alpha,
                           float k) {
    V sum = fill(0), value = load(x);
    for (const float *p = x - before * step; p <= x + behind * step; p += step) {
        V v = load(p);
        sum = fma_(v, v, sum);
    }
    V scale = root(fma_(fill(alpha), sum, fill(k)));
    return div_(value, mul(scale, root(scale)));
}

TARGET static void NAME(lrn)(const float *x, float *y, size_t channels, size_t step, size_t count,
                             size_t size, float alpha, float k) {
    size_t half = size / 2, i = 0;
    for (; i + LANES <= count; i += LANES)
        for (size_t c = 0; c < channels; c++) {
            size_t before = c < half ? c : half;
            size_t behind = channels - 1 - c < half ? channels - 1 - c : half;
            store(y + c * step + i, normalised(x + c * step + i, step, before, behind, alpha, k));
        }
    for (; i < count; i++)
        for (size_t c = 0; c < channels; c++) {
            size_t first = c < half ? 0 : c - half;
            size_t last = channels - 1 - c < half ? channels - 1 : c + half;
            float sum = 0;
            for (size_t j = first; j <= last; j++) sum += x[j * step + i] * x[j * step + i];
            float scale = sqrtf(k + alpha * sum);
            y[c * step + i] = x[c * step + i] / (scale * sqrtf(scale));
        }
}
