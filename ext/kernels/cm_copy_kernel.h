/* Copies of rows with their padding, for one level; see cm_row in cm_engine.h. */

/* `count` numbers of which every `stride`-th is taken. Vectors overlap at the end, so that none goes
 * beyond; where every second is taken the last vector would, by one float. */
INLINE TARGET void copy_some(const size_t stride, const float *from, size_t count, float *to) {
    size_t i = 0;
    if (stride == 1) {
        for (; i + LANES <= count; i += LANES) store(to + i, load(from + i));
        if (i < count && count >= LANES) {
            store(to + count - LANES, load(from + count - LANES));
            return;
        }
        for (; i + 4 <= count; i += 4) memcpy(to + i, from + i, 16);
    } else {
        for (; i + LANES < count; i += LANES)
            store(to + i, each_second(load(from + 2 * i), load(from + 2 * i + LANES)));
    }
    for (; i < count; i++) to[i] = from[i * stride];
}

INLINE TARGET void copy_all(const size_t stride, const cm_row *row, const float *from,
                            size_t width, size_t rows, float *to) {
    from += row->first;
    for (; rows; rows--, from += width, to += row->step) {
        for (size_t i = 0; i < row->begin; i++) to[i] = 0;
        copy_some(stride, from, row->end - row->begin, to + row->begin);
        for (size_t i = row->end; i < row->length; i++) to[i] = 0;
    }
}

TARGET static void NAME(copy_rows)(const cm_row *row, const float *from, size_t width,
                                   size_t rows, float *to) {
    if (row->stride == 1) copy_all(1, row, from, width, rows, to);
    else copy_all(2, row, from, width, rows, to);
}
