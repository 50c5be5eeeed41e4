/* Raw DEFLATE (RFC 1951) into memory of known size, with the preset dictionary before it or with nothing. */
#include "internal.h"

#include <string.h>

enum { LONGEST_CODE = 15 };

/* A canonical code: how many codes each length has, and the symbols by length and value. */
typedef struct {
    uint16_t count[LONGEST_CODE + 1];
    uint16_t symbol[288];
} code;

typedef struct {
    bit_reader bits;
    uint8_t *output;
    size_t size, done;
    size_t before; /* bytes of the preset dictionary that may be referred to: all or none */
} inflater;

/* false where the lengths give more codes than there are, or fewer (which is allowed to a code of one
 * symbol of length 1, and to one of none). */
static bool make_code(code *made, const uint8_t *lengths, unsigned symbols) {
    unsigned at[LONGEST_CODE + 2] = {0};
    int left = 1;
    memset(made->count, 0, sizeof made->count);
    for (unsigned i = 0; i < symbols; i++)
        made->count[lengths[i]]++;
    for (int length = 1; length <= LONGEST_CODE; length++) {
        left = 2 * left - made->count[length];
        if (left < 0)
            return false;
        at[length + 1] = at[length] + made->count[length];
    }
    for (unsigned i = 0; i < symbols; i++)
        if (lengths[i] != 0)
            made->symbol[at[lengths[i]]++] = (uint16_t)i;
    unsigned used = symbols - made->count[0];
    return left == 0 || used == 0 || (used == 1 && made->count[1] == 1);
}

/* The next symbol, or -1 where there is no such code or the input ends. */
static int read_symbol(inflater *f, const code *from) {
    int value = 0, first = 0, index = 0;
    if (f->bits.count < LONGEST_CODE)
        bits_fill(&f->bits);
    for (int length = 1; length <= LONGEST_CODE; length++) {
        value |= (int)bits_take(&f->bits, 1);
        int count = from->count[length];
        if (value - first < count)
            return bits_over(&f->bits) ? -1 : from->symbol[index + value - first];
        index += count;
        first = 2 * (first + count);
        value *= 2;
    }
    return -1;
}

static bool copy_stored(inflater *f) {
    bytes rest = bits_rest(&f->bits), stored;
    if (bits_over(&f->bits) || rest.size < 4)
        return false;
    unsigned size = load16(rest.data), inverse = load16(rest.data + 2);
    rest.data += 4;
    rest.size -= 4;
    if (size != (~inverse & 0xFFFF) || size > f->size - f->done || !take_bytes(&rest, size, &stored))
        return false;
    if (size > 0)
        memcpy(f->output + f->done, stored.data, size);
    f->done += size;
    f->bits = bits_of(rest);
    return true;
}

static bool copy_coded(inflater *f, const code *literals, const code *distances) {
    static const uint16_t length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                             31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t length_bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                            2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t distance_base[30] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,
                                               33,  49,  65,  97,  129, 193,  257,  385,  513,  769,
                                               1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    for (;;) {
        int symbol = read_symbol(f, literals);
        if (symbol < 0 || symbol > 285)
            return false;
        if (symbol == 256)
            return true;
        if (symbol < 256) {
            if (f->done == f->size)
                return false;
            f->output[f->done++] = (uint8_t)symbol;
            continue;
        }
        size_t length = length_base[symbol - 257] + bits_take(&f->bits, length_bits[symbol - 257]);
        symbol = read_symbol(f, distances);
        if (symbol < 0 || symbol > 29)
            return false;
        unsigned more = symbol < 4 ? 0 : (unsigned)symbol / 2 - 1;
        size_t distance = distance_base[symbol] + bits_take(&f->bits, more);
        if (bits_over(&f->bits) || distance > f->before + f->done || length > f->size - f->done)
            return false;
        for (; length > 0; length--, f->done++)
            f->output[f->done] = distance > f->done ? preset_dictionary[PRESET_SIZE + f->done - distance]
                                                    : f->output[f->done - distance];
    }
}

static bool read_codes(inflater *f, code *literals, code *distances) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[286 + 30] = {0};
    unsigned literal_count = 257 + bits_take(&f->bits, 5);
    unsigned distance_count = 1 + bits_take(&f->bits, 5);
    unsigned length_count = 4 + bits_take(&f->bits, 4);
    unsigned all = literal_count + distance_count;
    if (literal_count > 286 || distance_count > 30)
        return false;
    for (unsigned i = 0; i < length_count; i++)
        lengths[order[i]] = (uint8_t)bits_take(&f->bits, 3);
    if (!make_code(literals, lengths, 19) || literals->count[0] == 19)
        return false;
    memset(lengths, 0, 19);
    for (unsigned i = 0; i < all;) {
        int symbol = read_symbol(f, literals);
        if (symbol < 0)
            return false;
        if (symbol < 16) {
            lengths[i++] = (uint8_t)symbol;
            continue;
        }
        if (symbol == 16 && i == 0)
            return false;
        uint8_t repeated = symbol == 16 ? lengths[i - 1] : 0;
        unsigned times = symbol == 16   ? 3 + bits_take(&f->bits, 2)
                         : symbol == 17 ? 3 + bits_take(&f->bits, 3)
                                        : 11 + bits_take(&f->bits, 7);
        if (times > all - i)
            return false;
        memset(lengths + i, repeated, times);
        i += times;
    }
    return !bits_over(&f->bits) && lengths[256] != 0 && make_code(literals, lengths, literal_count) &&
           make_code(distances, lengths + literal_count, distance_count);
}

static void fixed_codes(code *literals, code *distances) {
    uint8_t lengths[288];
    memset(lengths, 8, 144);
    memset(lengths + 144, 9, 112);
    memset(lengths + 256, 7, 24);
    memset(lengths + 280, 8, 8);
    make_code(literals, lengths, 288);
    memset(lengths, 5, 32);
    make_code(distances, lengths, 32);
}

static bool inflate_block(inflater *f, bool *last) {
    code literals, distances;
    *last = bits_take(&f->bits, 1);
    switch (bits_take(&f->bits, 2)) {
    case 0:
        return copy_stored(f);
    case 1:
        fixed_codes(&literals, &distances);
        return copy_coded(f, &literals, &distances);
    case 2:
        return read_codes(f, &literals, &distances) && copy_coded(f, &literals, &distances);
    default:
        return false;
    }
}

cmodel_status inflate_exactly(const context *c, bytes input, bool preset, uint8_t *output, size_t size) {
    inflater f = {bits_of(input), output, size, 0, preset ? PRESET_SIZE : 0};
    bool last = false;
    while (!last)
        if (!inflate_block(&f, &last))
            return fail(c, CMODEL_BAD_MANIFEST, "what is deflated is damaged or longer than stated");
    if (f.done != size)
        return fail(c, CMODEL_BAD_MANIFEST, "what is deflated is shorter than stated");
    if (bits_rest(&f.bits).size > 0)
        return fail(c, CMODEL_BAD_MANIFEST, "bytes follow what is deflated");
    return CMODEL_OK;
}
