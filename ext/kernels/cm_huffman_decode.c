#include "cm_bytes.h"
#include "cm_huffman.h"
#include "cm_simd.h"

#define PER_WORD 5 /* look-ups of 11 bits that one refilled word is good for */
#define LANES 4
#define TABLE (1 << CM_HUFFMAN_BITS)

/* What the next 11 bits begin with: bits used | symbols << 6 | number of symbols << 30. The symbols
 * are up to three bytes, or one of 16 bits. */
typedef uint32_t entry;

static inline entry pack(unsigned bits, uint32_t symbols, uint32_t count) {
    return bits | symbols << 6 | count << 30;
}

static inline unsigned bits_of(entry e) { return e & 63; }
static inline uint32_t symbols_of(entry e) { return e << 2 >> 8; }

static void fill_single(const cm_huffman *code, entry *table) {
    uint16_t codes[CM_HUFFMAN_ALPHABET];
    cm_huffman_codes(code, codes);
    for (uint32_t s = 0; s < code->alphabet; s++) {
        unsigned length = code->lengths[s];
        if (!length) continue;
        for (size_t i = codes[s]; i < TABLE; i += (size_t)1 << length) table[i] = pack(length, s, 1);
    }
}

/* As many whole symbols, up to three, as 11 bits hold; for alphabets of bytes. */
static void fill_several(const entry *single, entry *table) {
    for (size_t i = 0; i < TABLE; i++) {
        unsigned bits = 0;
        uint32_t symbols = 0, count = 0;
        while (count < 3) {
            entry next = single[i >> bits];
            if (bits + bits_of(next) > CM_HUFFMAN_BITS) break;
            symbols |= symbols_of(next) << 8 * count++;
            bits += bits_of(next);
        }
        table[i] = pack(bits, symbols, count);
    }
}

static inline void put(uint8_t *dst, size_t i, unsigned item, unsigned value) {
    if (item == 1) dst[i] = (uint8_t)value;
    else ((uint16_t *)(void *)dst)[i] = (uint16_t)value;
}

/* Decodes rounds of PER_WORD look-ups from each lane while no load can pass `end`, the end of the
 * chunk, and no store the end of its lane. A lane that runs past the end of its bytes only reads
 * its neighbours'; finish() notices. */
static inline __attribute__((always_inline)) void run_lanes(cm_huffman_lane *lanes,
                                                            const uint8_t *end, const entry *table,
                                                            unsigned item) {
    /* A look-up gives at most so many symbols, of which a store may write one more. */
    const size_t most = item == 1 ? 3 : 1, surplus = item == 1;
    const uint8_t *src = lanes[0].start;
    size_t limit = 8 * (size_t)(end - src);
    uint64_t word[LANES];
    size_t bit[LANES]; /* from src */
    uint8_t *dst[LANES];
    for (int j = 0; j < LANES; j++) {
        bit[j] = 8 * (size_t)(lanes[j].start - src);
        dst[j] = lanes[j].dst;
    }
    for (;;) {
        size_t rounds = SIZE_MAX;
        for (int j = 0; j < LANES; j++) {
            size_t left = lanes[j].left - (size_t)(dst[j] - lanes[j].dst) / item;
            size_t stores = left < surplus ? 0 : (left - surplus) / (PER_WORD * most);
            /* The last load begins at most 55 bits a round further on, and takes 64. */
            size_t loads = limit < bit[j] + 64 ? 0 : (limit - bit[j] - 64) / 55 + 1;
            if (stores < rounds) rounds = stores;
            if (loads < rounds) rounds = loads;
        }
        if (!rounds) break;
        for (; rounds; rounds--) {
            /* The top bit marks how far the word has been shifted. */
            for (int j = 0; j < LANES; j++)
                word[j] = (cm_load64(src + (bit[j] >> 3)) | (uint64_t)1 << 63) >> (bit[j] & 7);
            for (unsigned i = 0; i < PER_WORD; i++) {
                for (int j = 0; j < LANES; j++) {
                    entry e = table[word[j] & (TABLE - 1)];
                    word[j] >>= bits_of(e);
                    if (item == 1) {
                        cm_store32(dst[j], e >> 6);
                        dst[j] += e >> 30;
                    } else {
                        put(dst[j], 0, item, (uint16_t)(e >> 6));
                        dst[j] += item;
                    }
                }
            }
            for (int j = 0; j < LANES; j++)
                bit[j] = (bit[j] & ~(size_t)7) + (size_t)__builtin_clzll(word[j]);
        }
    }
    for (int j = 0; j < LANES; j++) {
        lanes[j].bit = bit[j] - 8 * (size_t)(lanes[j].start - src);
        lanes[j].left -= (size_t)(dst[j] - lanes[j].dst) / item;
        lanes[j].dst = dst[j];
    }
}

void cm_huffman_lanes_scalar(cm_huffman_lane *lanes, const uint8_t *end, const uint32_t *table,
                             unsigned item) {
    if (item == 1) run_lanes(lanes, end, table, 1);
    else run_lanes(lanes, end, table, 2);
}

#if defined(__x86_64__)
__attribute__((target("avx2,bmi,bmi2,lzcnt"))) void cm_huffman_lanes_avx2(cm_huffman_lane *lanes,
                                                                         const uint8_t *end,
                                                                         const uint32_t *table,
                                                                         unsigned item) {
    if (item == 1) run_lanes(lanes, end, table, 1);
    else run_lanes(lanes, end, table, 2);
}
#endif

/* Decodes the rest of a lane with checked loads and checks how it ends. */
static inline __attribute__((always_inline)) cm_status finish(cm_huffman_lane *lane,
                                                              const entry *single, unsigned item,
                                                              cm_fault *fault) {
    const uint8_t *src = lane->start;
    size_t size = lane->size, bit = lane->bit, left = lane->left;
    uint8_t *dst = lane->dst;
    for (; left >= PER_WORD && size >= 8 && bit >> 3 <= size - 8; left -= PER_WORD) {
        uint64_t word = cm_load64(src + (bit >> 3)) >> (bit & 7);
        for (unsigned i = 0; i < PER_WORD; i++) {
            entry e = single[word & (TABLE - 1)];
            put(dst, i, item, symbols_of(e));
            word >>= bits_of(e);
            bit += bits_of(e);
        }
        dst += PER_WORD * item;
    }
    for (; left && bit < 8 * size; left--) {
        entry e = single[cm_load_tail(src, size, bit >> 3) >> (bit & 7) & (TABLE - 1)];
        put(dst, 0, item, symbols_of(e));
        dst += item;
        bit += bits_of(e);
    }
    if (left || bit > 8 * size)
        return cm_fail(fault, CM_TRUNCATED, size, "ends before its last symbol");
    if (8 * size - bit >= 8)
        return cm_fail(fault, CM_CORRUPT, (bit + 7) >> 3, "bytes after its end");
    if (bit & 7 && src[bit >> 3] >> (bit & 7))
        return cm_fail(fault, CM_CORRUPT, bit >> 3, "padding bits are not zero");
    return CM_OK;
}

typedef struct {
    entry single[TABLE];
    entry several[TABLE]; /* filled where lanes of bytes are decoded */
} tables;

static cm_status decode_chunk(const void *coder, const uint8_t *src, size_t size, unsigned item,
                              size_t n, uint8_t *dst, cm_fault *fault) {
    const tables *t = coder;
    cm_huffman_lane lanes[LANES] = {{src, size, 0, dst, n}};
    int count = 1;
    if (n > CM_HUFFMAN_SMALL) {
        size_t quarter = (n + 3) / 4, at = 0;
        count = LANES;
        for (int j = 0; j < LANES - 1; j++) {
            uint32_t bytes;
            size_t step = cm_varint_get(src + at, size - at, &bytes);
            if (!step) return cm_fail(fault, CM_CORRUPT, at, "no size of a sub-stream");
            lanes[j].size = bytes;
            at += step;
        }
        for (int j = 0; j < LANES; j++) {
            if (j == LANES - 1) lanes[j].size = size - at;
            if (lanes[j].size > size - at)
                return cm_fail(fault, CM_TRUNCATED, size, "a sub-stream is longer than its chunk");
            lanes[j].start = src + at;
            lanes[j].dst = dst + (size_t)j * quarter * item;
            lanes[j].left = j < LANES - 1 ? quarter : n - 3 * quarter;
            at += lanes[j].size;
        }
        cm_kernel.huffman_lanes(lanes, src + size, item == 1 ? t->several : t->single, item);
    }
    for (int j = 0; j < count; j++) {
        cm_status status = item == 1 ? finish(&lanes[j], t->single, 1, fault)
                                     : finish(&lanes[j], t->single, 2, fault);
        if (status != CM_OK) {
            fault->at += (size_t)(lanes[j].start - src);
            return status;
        }
    }
    return CM_OK;
}

cm_status cm_huffman_open(const uint8_t *src, size_t size, size_t at, size_t count, unsigned item,
                          cm_huffman *code, cm_fault *fault) {
    code->chunks = (cm_chunks){.count = count};
    if (!code->alphabet && count)
        return cm_fail(fault, CM_CORRUPT, 0, "an empty alphabet for some symbols");
    if (at && code->alphabet && !count) /* a table of others may be left unused */
        return cm_fail(fault, CM_CORRUPT, 0, "an alphabet for no symbol");
    if (item == 1 && code->alphabet > 256)
        return cm_fail(fault, CM_CORRUPT, 0, "its symbols do not fit eight bits");
    if (code->used <= 1 || !count)
        return at == size ? CM_OK : cm_fail(fault, CM_CORRUPT, at, "bytes after its end");
    /* Every symbol takes at least min_bits: tells most impossible counts at once. */
    size_t start = at + (count > CM_CHUNKS_SMALL);
    if (start <= size && count / 8 > (size - start) / code->min_bits)
        return cm_fail(fault, CM_TRUNCATED, size, "too short for its count");
    return cm_chunks_open(src, size, at, count, 0, &code->chunks, fault);
}

cm_status cm_huffman_decode(const cm_huffman *code, const uint8_t *src, size_t size, unsigned item,
                            int threads, void *dst, cm_fault *fault) {
    size_t count = code->chunks.count;
    uint8_t *out = dst;
    if (code->used <= 1 || !count) {
        for (size_t i = 0; i < count; i++) put(out, i, item, code->alphabet - 1);
        return CM_OK;
    }
    tables t;
    fill_single(code, t.single);
    if (item == 1 && count > CM_HUFFMAN_SMALL) fill_several(t.single, t.several);
    return cm_chunks_decode(&code->chunks, src, size, item, threads, decode_chunk, &t, out, fault);
}
