/* Chapter 7: Huffman streams. */
#include "internal.h"

enum { LONGEST = 11, HUFFMAN_SYMBOLS = 2048, SLOTS = 1 << LONGEST };

static cmodel_status bad_code(const integers *s, const char *what) {
    return fail(s->c, CMODEL_BAD_STREAM, "Huffman stream: %s", what);
}

/* ---- 7.1 The table ---- */

typedef struct {
    bytes input;
    bool half; /* the low nibble of the first byte is taken */
    bool over;
} nibble_reader;

static unsigned next_nibble(nibble_reader *n) {
    uint8_t byte;
    if (n->input.size == 0) {
        n->over = true;
        return 0;
    }
    if (!n->half) {
        n->half = true;
        return n->input.data[0] & 15;
    }
    n->half = false;
    take_u8(&n->input, &byte);
    return byte >> 4;
}

static cmodel_status read_lengths(const integers *s, bytes *input, unsigned symbols, uint8_t *lengths) {
    nibble_reader n = {*input, false, false};
    for (unsigned at = 0; at < symbols;) {
        unsigned nibble = next_nibble(&n), times = 1;
        uint8_t length = (uint8_t)nibble;
        if (nibble > LONGEST) {
            if (at == 0 && nibble % 2 == 0)
                return bad_code(s, "a repeated length comes first");
            length = nibble % 2 == 0 ? lengths[at - 1] : 0;
            times = next_nibble(&n);
            if (nibble >= 14)
                times = 16 + times + 16 * next_nibble(&n);
            times += 3;
        }
        if (n.over)
            return bad_code(s, "it ends within its table");
        if (times > symbols - at)
            return bad_code(s, "a run goes beyond the last symbol");
        for (; times > 0; times--)
            lengths[at++] = length;
    }
    if (lengths[symbols - 1] == 0)
        return bad_code(s, "the last symbol does not occur");
    if (n.half && next_nibble(&n) != 0)
        return bad_code(s, "the unused nibble of the table is not 0");
    *input = n.input;
    return CMODEL_OK;
}

/* ---- 7.2 The codes ---- */

static unsigned reversed(unsigned code, unsigned length) {
    unsigned result = 0;
    for (; length > 0; length--, code >>= 1)
        result = result << 1 | (code & 1);
    return result;
}

/* For each string of 11 bits, first bit lowest, the symbol that it begins with. */
static void fill_slots(huffman_table *table, const uint8_t *lengths, unsigned symbols) {
    unsigned code = 0;
    for (unsigned length = 1; length <= LONGEST; length++, code <<= 1)
        for (unsigned symbol = 0; symbol < symbols; symbol++) {
            if (lengths[symbol] != length)
                continue;
            for (unsigned slot = reversed(code, length); slot < SLOTS; slot += 1u << length) {
                table->symbol[slot] = (uint16_t)symbol;
                table->length[slot] = (uint8_t)length;
            }
            code++;
        }
}

cmodel_status huffman_read_table(integers *s, bytes *input, unsigned bits, bool empty) {
    uint8_t lengths[HUFFMAN_SYMBOLS];
    uint64_t symbols;
    unsigned used = 0, sum = 0;
    if (!take_shortest(input, bits == 8 ? 256 : HUFFMAN_SYMBOLS, &symbols))
        return bad_code(s, "the number of symbols");
    if ((symbols == 0) != empty)
        return bad_code(s, "symbols without integers, or integers without symbols");
    s->symbols = (unsigned)symbols;
    if (symbols == 0)
        return CMODEL_OK;
    TRY(read_lengths(s, input, (unsigned)symbols, lengths));
    for (unsigned i = 0; i < symbols; i++)
        if (lengths[i] != 0) {
            used++;
            sum += SLOTS >> lengths[i];
        }
    if (used == 1) {
        if (lengths[symbols - 1] != 1)
            return bad_code(s, "the length of the only symbol is not 1");
        s->constant = true;
        s->value = (uint16_t)(symbols - 1);
        return CMODEL_OK;
    }
    if (sum != SLOTS)
        return bad_code(s, "the code is not complete");
    fill_slots(&s->table.huffman, lengths, (unsigned)symbols);
    return CMODEL_OK;
}

/* ---- 7.3 The payload ---- */

static cmodel_status read_substream(const integers *s, bytes input, uint16_t *output, size_t count) {
    const huffman_table *table = &s->table.huffman;
    bit_reader bits = bits_of(input);
    for (size_t i = 0; i < count; i++) {
        if (bits.count < LONGEST)
            bits_fill(&bits);
        unsigned slot = (unsigned)(bits.held & (SLOTS - 1)), length = table->length[slot];
        output[i] = table->symbol[slot];
        bits.held >>= length;
        bits.count -= length;
    }
    if (!bits_at_end(&bits))
        return bad_code(s, "its bits are not exactly those of its integers");
    return CMODEL_OK;
}

cmodel_status huffman_chunk(const integers *s, bytes chunk, uint16_t *output, size_t count) {
    if (count <= CHUNK_SMALL)
        return read_substream(s, chunk, output, count);
    size_t quarter = (count + 3) / 4, done = 0;
    uint64_t sizes[3];
    for (int j = 0; j < 3; j++)
        if (!take_shortest(&chunk, UINT32_MAX, &sizes[j]))
            return bad_code(s, "the sizes of sub-streams");
    for (int j = 0; j < 4; j++) {
        bytes part = chunk;
        if (j < 3 && !take_bytes(&chunk, sizes[j], &part))
            return bad_code(s, "a sub-stream goes beyond the end of its chunk");
        size_t some = j < 3 ? quarter : count - done;
        TRY(read_substream(s, part, output + done, some));
        done += some;
    }
    return CMODEL_OK;
}
