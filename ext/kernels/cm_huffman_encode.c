#include "cm_bytes.h"
#include "cm_huffman.h"

#define PER_WORD 5 /* codes of 11 bits that fit beside seven bits held over */

size_t cm_huffman_bound(const cm_huffman *code, const uint64_t histogram[CM_HUFFMAN_ALPHABET],
                        size_t count, unsigned chunk_log2) {
    size_t bits = 0;
    for (uint32_t s = 0; s < code->alphabet; s++) bits += (size_t)histogram[s] * code->lengths[s];
    /* Per chunk: size and CRC, three varints of up to four bytes, four paddings; and the slack of
     * whole-word stores. */
    return bits / 8 + ((count >> chunk_log2) + 1) * (8 + 12 + 4) + 16;
}

static inline uint32_t symbol_at(const void *symbols, size_t i, unsigned item) {
    return item == 1 ? ((const uint8_t *)symbols)[i] : ((const uint16_t *)symbols)[i];
}

/* entry = code << 4 | length */
static inline size_t put_symbols(const uint16_t *entries, const void *symbols, size_t first,
                                 size_t last, unsigned item, uint8_t *dst) {
    uint8_t *start = dst;
    uint64_t bits = 0;
    unsigned held = 0;
    size_t i = first;
    for (; last - i >= PER_WORD; i += PER_WORD) {
        for (int j = 0; j < PER_WORD; j++) {
            unsigned entry = entries[symbol_at(symbols, i + (size_t)j, item)];
            bits |= (uint64_t)(entry >> 4) << held;
            held += entry & 15;
        }
        cm_store64(dst, bits);
        dst += held >> 3;
        bits >>= held & ~7u;
        held &= 7;
    }
    for (; i < last; i++) {
        unsigned entry = entries[symbol_at(symbols, i, item)];
        bits |= (uint64_t)(entry >> 4) << held;
        held += entry & 15;
    }
    while (held > 0) {
        *dst++ = (uint8_t)bits;
        bits >>= 8;
        held -= held < 8 ? held : 8;
    }
    return (size_t)(dst - start);
}

static inline __attribute__((always_inline)) size_t put_lanes(const uint16_t *entries,
                                                              const void *symbols, size_t first,
                                                              size_t n, unsigned item,
                                                              uint8_t *dst) {
    if (n <= CM_HUFFMAN_SMALL) return put_symbols(entries, symbols, first, first + n, item, dst);
    size_t quarter = (n + 3) / 4, total = 0, head = 0;
    uint8_t sizes[12];
    uint8_t *body = dst + sizeof sizes;
    for (size_t j = 0; j < 4; j++) {
        size_t from = j * quarter, to = j < 3 ? from + quarter : n;
        size_t bytes = put_symbols(entries, symbols, first + from, first + to, item, body + total);
        if (j < 3) head += cm_varint_put(sizes + head, (uint32_t)bytes);
        total += bytes;
    }
    memcpy(dst, sizes, head);
    memmove(dst + head, body, total);
    return head + total;
}

static size_t put_chunk(const void *entries, const void *symbols, size_t first, size_t n,
                        unsigned item, uint8_t *dst) {
    return item == 1 ? put_lanes(entries, symbols, first, n, 1, dst)
                     : put_lanes(entries, symbols, first, n, 2, dst);
}

size_t cm_huffman_encode(const cm_huffman *code, const void *symbols, size_t count, unsigned item,
                         unsigned chunk_log2, uint8_t *dst) {
    if (code->used <= 1 || !count) return 0;
    uint16_t entries[CM_HUFFMAN_ALPHABET] = {0};
    cm_huffman_codes(code, entries);
    for (uint32_t s = 0; s < code->alphabet; s++)
        entries[s] = (uint16_t)(entries[s] << 4 | code->lengths[s]);
    return cm_chunks_encode(symbols, count, item, chunk_log2, 0, put_chunk, entries, dst);
}
