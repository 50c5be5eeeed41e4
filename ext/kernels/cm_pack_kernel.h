/* Packing patches of the image into panels of columns, for one level; see cm_engine.h.
 *
 * Only bits are moved: the floats may be words of four integers (cm_int8.h). */

TARGET static void NAME(pack)(const cm_patches *patches, const cm_lanes *vectors, size_t count,
                              float *panels, size_t panel) {
    size_t tap = patches->first % patches->tap_count;
    const float *channel = patches->source + patches->first / patches->tap_count * patches->plane;
    int whole = 1;
    for (size_t v = 0; v < count; v++) whole &= vectors[v].count == 0;
    for (size_t k = 0; k < patches->count; k++) {
        const float *source = channel + patches->taps[tap];
        float *target = panels + k * TILE_COLUMNS;
        if (whole) {
            for (size_t v = 0; v < count; v += 2, target += panel) {
                store(target, load(source + vectors[v].offset));
                store(target + LANES, load(source + vectors[v + 1].offset));
            }
        } else {
            for (size_t v = 0; v < count; v++) {
                const cm_lanes *lanes = vectors + v;
                const cm_piece *piece = lanes->pieces;
                V x;
                if (!lanes->count) {
                    x = load(source + lanes->offset);
                } else {
                    x = load_some(source + piece->offset, piece->mask);
                    for (size_t i = 1; i < lanes->count; i++)
                        x = either(x, load_some(source + piece[i].offset, piece[i].mask));
                }
                store(target + (v % 2) * LANES, x);
                if (v % 2) target += panel;
            }
        }
        if (++tap == patches->tap_count) {
            tap = 0;
            channel += patches->plane;
        }
    }
}
