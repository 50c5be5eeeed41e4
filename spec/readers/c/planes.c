/* Section 6.2: words in byte planes. */
#include "internal.h"

#include <string.h>

enum { MOST_PLANES = 4, PLANE_HUFFMAN = 0x10, PLANE_RANS = 0x20 };

typedef struct {
    uint8_t transform;
    unsigned size; /* bytes of a word */
    integers *planes[MOST_PLANES];
} planes;

static cmodel_status bad_planes(const context *c, const char *what) {
    return fail(c, CMODEL_BAD_STREAM, "byte planes: %s", what);
}

static cmodel_status open_plane(const context *c, bytes *input, uint64_t count, integers **plane) {
    integer_stream stream = {0};
    uint64_t size;
    uint8_t head;
    if (!take_u8(input, &head))
        return bad_planes(c, "they end before their last");
    stream.bits = 8;
    stream.count = count;
    if (head <= 8) {
        stream.coder = PACKED;
        stream.width = head;
        if (!multiply(count, head, &size))
            return bad_planes(c, "more words than 2^53");
        size = (size + 7) / 8;
    } else if (head == PLANE_HUFFMAN || head == PLANE_RANS) {
        stream.coder = head == PLANE_HUFFMAN ? HUFFMAN : RANS;
        if (!take_shortest(input, UINT32_MAX, &size))
            return bad_planes(c, "the size of one");
    } else {
        return bad_planes(c, "the head of one");
    }
    if (!take_bytes(input, size, &stream.stream))
        return bad_planes(c, "one goes beyond the end");
    return integers_open(c, &stream, plane);
}

static cmodel_status open_planes(const context *c, bytes input, uint64_t count, planes *p) {
    if (!take_u8(&input, &p->transform) || p->transform > 1)
        return bad_planes(c, "the transform");
    for (unsigned i = 0; i < p->size; i++)
        TRY(open_plane(c, &input, count, &p->planes[i]));
    return input.size == 0 ? CMODEL_OK : bad_planes(c, "bytes follow the last");
}

static cmodel_status join(planes *p, uint64_t count, void *words) {
    unsigned bits = 8 * p->size;
    uint32_t top = UINT32_C(1) << (bits - 1), all = top | (top - 1), sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t word = 0;
        for (unsigned k = 0; k < p->size; k++) {
            uint32_t byte;
            TRY(integers_next(p->planes[k], &byte));
            word |= byte << 8 * k;
        }
        if (p->transform == 0) {
            word = word >> 1 | (word & 1 ? top : 0);
        } else {
            sum = (sum + word) & all;
            word = sum & top ? sum ^ top : ~sum & all;
        }
        memcpy((uint8_t *)words + 4 * i, &word, 4);
    }
    return CMODEL_OK;
}

cmodel_status planes_decode(const context *c, bytes stream, uint64_t count, unsigned size, void *words) {
    planes p = {0, size, {NULL}};
    cmodel_status status = open_planes(c, stream, count, &p);
    if (status == CMODEL_OK)
        status = join(&p, count, words);
    for (unsigned i = 0; i < size; i++)
        integers_close(p.planes[i]);
    return status;
}
