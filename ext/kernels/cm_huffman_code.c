/* Code lengths: their optimum, and their compact form. */
#include <stdlib.h>

#include "cm_bytes.h"
#include "cm_huffman.h"

/* Values of a nibble above the lengths 0..11. */
enum { REPEAT_SHORT = 12, ZEROS_SHORT = 13, REPEAT_LONG = 14, ZEROS_LONG = 15 };
enum { SHORT_RUN = 3, LONG_RUN = SHORT_RUN + 16, MAX_RUN = LONG_RUN + 255 };

typedef struct {
    uint64_t weight;
    uint32_t symbol;
} leaf;

static int by_weight(const void *a, const void *b) {
    const leaf *x = a, *y = b;
    if (x->weight != y->weight) return x->weight < y->weight ? -1 : 1;
    return x->symbol > y->symbol ? -1 : 1;
}

typedef struct {
    leaf leaves[CM_HUFFMAN_ALPHABET];
    uint64_t items[2][2 * CM_HUFFMAN_ALPHABET];
    uint8_t is_leaf[CM_HUFFMAN_BITS][2 * CM_HUFFMAN_ALPHABET];
} workspace;

/* Package-merge: each level holds the leaves and the pairs of the level below, by weight. */
static void package_merge(workspace *w, uint32_t n, uint8_t *lengths) {
    size_t size = n;
    for (uint32_t i = 0; i < n; i++) w->items[0][i] = w->leaves[i].weight;
    memset(w->is_leaf[0], 1, n);
    for (int level = 1; level < CM_HUFFMAN_BITS; level++) {
        const uint64_t *below = w->items[(level - 1) & 1];
        uint64_t *items = w->items[level & 1];
        size_t pairs = size / 2, pair = 0, next = 0;
        for (size = 0; size < n + pairs; size++) {
            uint64_t both = pair < pairs ? below[2 * pair] + below[2 * pair + 1] : UINT64_MAX;
            int is_leaf = next < n && w->leaves[next].weight <= both;
            w->is_leaf[level][size] = (uint8_t)is_leaf;
            items[size] = is_leaf ? w->leaves[next++].weight : both;
            pair += !is_leaf;
        }
    }
    /* The cheapest 2n-2 items of the top level; a pair stands for two items below. */
    size_t take = 2 * (size_t)n - 2;
    for (int level = CM_HUFFMAN_BITS - 1; level >= 0 && take; level--) {
        size_t leaves = 0;
        for (size_t i = 0; i < take; i++) leaves += w->is_leaf[level][i];
        for (size_t i = 0; i < leaves; i++) lengths[w->leaves[i].symbol]++;
        take = 2 * (take - leaves);
    }
}

static void summarise(cm_huffman *code) {
    code->used = 0;
    code->min_bits = CM_HUFFMAN_BITS;
    code->max_bits = 0;
    for (uint32_t s = 0; s < code->alphabet; s++) {
        unsigned length = code->lengths[s];
        if (!length) continue;
        code->used++;
        if (length < code->min_bits) code->min_bits = length;
        if (length > code->max_bits) code->max_bits = length;
    }
}

cm_status cm_huffman_build(const uint64_t histogram[CM_HUFFMAN_ALPHABET], cm_huffman *code) {
    memset(code, 0, sizeof *code);
    workspace *w = malloc(sizeof *w);
    if (!w) return CM_MEMORY;
    uint32_t n = 0;
    for (uint32_t s = 0; s < CM_HUFFMAN_ALPHABET; s++) {
        if (!histogram[s]) continue;
        w->leaves[n++] = (leaf){histogram[s], s};
        code->alphabet = s + 1;
    }
    if (n == 1) {
        code->lengths[code->alphabet - 1] = 1;
    } else if (n > 1) {
        qsort(w->leaves, n, sizeof *w->leaves, by_weight);
        package_merge(w, n, code->lengths);
    }
    free(w);
    summarise(code);
    return CM_OK;
}

typedef struct {
    uint8_t *dst;
    size_t nibbles;
} nibble_writer;

static void put_nibble(nibble_writer *w, unsigned value) {
    if (w->nibbles & 1) w->dst[w->nibbles / 2] |= (uint8_t)(value << 4);
    else w->dst[w->nibbles / 2] = (uint8_t)value;
    w->nibbles++;
}

static void put_run(nibble_writer *w, unsigned length, size_t run) {
    if (run < SHORT_RUN) {
        while (run--) put_nibble(w, length);
    } else if (run < LONG_RUN) {
        put_nibble(w, length ? REPEAT_SHORT : ZEROS_SHORT);
        put_nibble(w, (unsigned)(run - SHORT_RUN));
    } else {
        put_nibble(w, length ? REPEAT_LONG : ZEROS_LONG);
        put_nibble(w, (unsigned)(run - LONG_RUN) & 15);
        put_nibble(w, (unsigned)(run - LONG_RUN) >> 4);
    }
}

size_t cm_huffman_table_put(const cm_huffman *code, uint8_t *dst) {
    size_t start = cm_varint_put(dst, code->alphabet);
    nibble_writer w = {dst + start, 0};
    for (uint32_t s = 0; s < code->alphabet;) {
        unsigned length = code->lengths[s];
        size_t run = 1;
        while (s + run < code->alphabet && code->lengths[s + run] == length) run++;
        s += (uint32_t)run;
        if (length) {
            put_nibble(&w, length);
            run--;
        }
        while (run) {
            size_t part = run < MAX_RUN ? run : MAX_RUN;
            put_run(&w, length, part);
            run -= part;
        }
    }
    return start + (w.nibbles + 1) / 2;
}

typedef struct {
    const uint8_t *src;
    size_t nibbles, size; /* read, and there are */
} nibble_reader;

/* The next nibble, or -1 at the end. */
static int get_nibble(nibble_reader *r) {
    if (r->nibbles >= r->size) return -1;
    int byte = r->src[r->nibbles / 2];
    return r->nibbles++ & 1 ? byte >> 4 : byte & 15;
}

cm_status cm_huffman_table_get(const uint8_t *src, size_t size, cm_huffman *code, size_t *used,
                               cm_fault *fault) {
    memset(code, 0, sizeof *code);
    size_t start = cm_varint_get(src, size, &code->alphabet);
    if (!start) return cm_fail(fault, size ? CM_CORRUPT : CM_TRUNCATED, 0, "no alphabet size");
    if (code->alphabet > CM_HUFFMAN_ALPHABET)
        return cm_fail(fault, CM_CORRUPT, 0, "alphabet of over 2048 symbols");
    /* No longer than the alphabet allows, so that the product below cannot overflow. */
    size_t room = size - start < CM_HUFFMAN_ALPHABET ? size - start : CM_HUFFMAN_ALPHABET;
    nibble_reader r = {src + start, 0, 2 * room};
    uint32_t kraft = 0;
    for (uint32_t s = 0; s < code->alphabet;) {
        size_t at = start + r.nibbles / 2;
        int value = get_nibble(&r), length = value, run = 1;
        if (value > CM_HUFFMAN_BITS) {
            int low = get_nibble(&r), high = value >= REPEAT_LONG ? get_nibble(&r) : 0;
            if (low < 0 || high < 0) value = -1;
            run = (value >= REPEAT_LONG ? LONG_RUN : SHORT_RUN) + low + 16 * high;
            int repeat = value == REPEAT_SHORT || value == REPEAT_LONG;
            if (repeat && !s) return cm_fail(fault, CM_CORRUPT, at, "repeats no code length");
            length = repeat ? code->lengths[s - 1] : 0;
        }
        if (value < 0) return cm_fail(fault, CM_TRUNCATED, size, "ends inside the code lengths");
        if ((uint32_t)run > code->alphabet - s)
            return cm_fail(fault, CM_CORRUPT, at, "more code lengths than symbols");
        memset(code->lengths + s, length, (size_t)run);
        s += (uint32_t)run;
        if (length) kraft += (uint32_t)run << (CM_HUFFMAN_BITS - length);
    }
    *used = start + (r.nibbles + 1) / 2;
    if (r.nibbles & 1 && get_nibble(&r))
        return cm_fail(fault, CM_CORRUPT, *used - 1, "padding after the code lengths is not zero");
    if (code->alphabet && !code->lengths[code->alphabet - 1])
        return cm_fail(fault, CM_CORRUPT, start, "the last symbol has no code");
    summarise(code);
    if (code->used == 1 && code->max_bits != 1)
        return cm_fail(fault, CM_CORRUPT, start, "the only symbol's code length is not 1");
    if (code->used > 1 && kraft != 1u << CM_HUFFMAN_BITS)
        return cm_fail(fault, CM_CORRUPT, start, "the code lengths are no complete code");
    return CM_OK;
}

void cm_huffman_codes(const cm_huffman *code, uint16_t codes[CM_HUFFMAN_ALPHABET]) {
    unsigned next[CM_HUFFMAN_BITS + 2] = {0};
    for (uint32_t s = 0; s < code->alphabet; s++) next[code->lengths[s] + 1] += code->lengths[s] > 0;
    for (int b = 2; b <= CM_HUFFMAN_BITS; b++) next[b] = (next[b] + next[b - 1]) << 1;
    for (uint32_t s = 0; s < code->alphabet; s++) {
        unsigned length = code->lengths[s], reversed = 0;
        if (!length) continue;
        unsigned value = next[length]++;
        for (unsigned b = 0; b < length; b++) reversed |= (value >> b & 1) << (length - 1 - b);
        codes[s] = (uint16_t)reversed;
    }
}
