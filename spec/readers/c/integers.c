/* Chapter 6: streams of integers, and what Huffman and rANS streams share: the layout of their chunks. */
#include "internal.h"

#include <stdlib.h>

static cmodel_status bad_integers(const context *c, const char *what) {
    return fail(c, CMODEL_BAD_STREAM, "%s", what);
}

/* ---- Chunks (sections 7.3 and 8.2) ---- */

/* Whether the chunks fill the payload to its last byte. */
static cmodel_status check_jumps(const integers *s) {
    uint64_t all = 0;
    for (size_t at = 0; at < s->jumps.size; at += 8)
        all += load32(s->jumps.data + at);
    return all == s->payload.size ? CMODEL_OK
                                  : bad_integers(s->c, "the sizes in a jump table are not those of the chunks");
}

static cmodel_status read_chunks(integers *s, bytes input) {
    uint8_t head;
    if (s->left > CHUNK_SMALL) {
        if (!take_u8(&input, &head))
            return bad_integers(s->c, "a stream ends before its chunks");
        s->chunk_log = head & 31;
        s->wide = s->source.coder == RANS && head >> 7;
        if (s->chunk_log < 12 || s->chunk_log > 20 || (head & ~(s->wide ? 0x9Fu : 0x1Fu)) != 0)
            return bad_integers(s->c, "the size of the chunks of a stream");
        uint64_t chunks = ((s->left - 1) >> s->chunk_log) + 1;
        if (chunks > 1 && !take_bytes(&input, 8 * chunks, &s->jumps))
            return bad_integers(s->c, "a stream ends within its jump table");
    }
    s->payload = input;
    return s->jumps.size > 0 ? check_jumps(s) : CMODEL_OK;
}

static cmodel_status next_chunk(integers *s, size_t count) {
    bytes chunk = s->payload, entry;
    if (take_bytes(&s->jumps, 8, &entry)) {
        take_bytes(&s->payload, load32(entry.data), &chunk);
        if (!crc_matches(s->c->crc, chunk, load32(entry.data + 4)))
            return fail(s->c, CMODEL_CHECKSUM, "the CRC-32 of a chunk does not match");
    }
    return s->source.coder == HUFFMAN ? huffman_chunk(s, chunk, s->block, count)
                                      : rans_chunk(s, chunk, s->block, count);
}

/* ---- Streams ---- */

static cmodel_status read_table(integers *s, bytes *input, unsigned bits, uint64_t count) {
    return s->source.coder == HUFFMAN ? huffman_read_table(s, input, bits, count == 0)
                                      : rans_read_table(s, input, bits, count == 0);
}

static cmodel_status share_table(integers *s) {
    table_owner owner = s->source.owner;
    TRY(check_section(s->c, owner.section));
    TRY(read_table(s, &owner.stream, owner.bits, owner.count));
    if (s->symbols == 0 && s->left > 0)
        return bad_integers(s->c, "a shared table without symbols");
    if (s->source.bits == 8 && s->symbols > 256)
        return bad_integers(s->c, "a shared table of symbols above 255 for integers of 8 bits");
    return CMODEL_OK;
}

static cmodel_status open_coded(integers *s) {
    bytes input = s->source.stream;
    TRY(s->source.shares ? share_table(s) : read_table(s, &input, s->source.bits, s->left));
    if (s->left == 0 || s->constant)
        return input.size == 0 ? CMODEL_OK : bad_integers(s->c, "bytes follow the end of a stream");
    return read_chunks(s, input);
}

/* Packed integers of `width` bits that fill `packed`. */
static cmodel_status open_packed(integers *s, bytes packed, unsigned width) {
    unsigned used = (unsigned)(s->left % 8 * width % 8);
    if (used != 0 && packed.data[packed.size - 1] >> used != 0)
        return bad_integers(s->c, "the padding of packed integers is not zero");
    s->source.width = width;
    s->constant = width == 0;
    s->bits = bits_of(packed);
    return CMODEL_OK;
}

static cmodel_status open_split(integers *s) {
    bytes input = s->source.stream, low;
    integer_stream high = {0};
    uint64_t size;
    uint8_t head;
    if (!take_u8(&input, &head) || (head & 0x70) != 0 || (head & 15) == 0)
        return bad_integers(s->c, "the head of a split stream");
    if (!multiply(s->left, head & 15, &size) || !take_bytes(&input, (size + 7) / 8, &low))
        return bad_integers(s->c, "a split stream ends within its low part");
    TRY(open_packed(s, low, head & 15));
    high.coder = head >> 7 ? RANS : HUFFMAN;
    high.bits = 16;
    high.count = s->left;
    high.stream = input;
    return integers_open(s->c, &high, &s->high);
}

static cmodel_status open_contexts(integers *s) {
    if (s->left > 0)
        return contexts_open(s->c, s->source.stream, s->left, s->source.bits, &s->contexts);
    return s->source.stream.size == 0 ? CMODEL_OK
                                      : bad_integers(s->c, "a context stream of no integers is not empty");
}

static cmodel_status open_stream(integers *s) {
    s->chunk_log = 12; /* the size of the blocks where there are no larger chunks */
    if (s->source.coder == PACKED)
        TRY(open_packed(s, s->source.stream, s->source.width));
    else if (s->source.coder == CONTEXT)
        TRY(open_contexts(s));
    else
        TRY(s->source.coder == SPLIT ? open_split(s) : open_coded(s));
    s->block_size = (size_t)1 << s->chunk_log;
    if (s->block_size > s->left)
        s->block_size = (size_t)s->left;
    s->block = allocate(s->c, s->block_size, sizeof *s->block);
    if (s->block == NULL)
        return CMODEL_LIMIT_MEMORY;
    if (s->constant)
        for (size_t i = 0; i < s->block_size; i++)
            s->block[i] = s->value;
    return CMODEL_OK;
}

cmodel_status integers_open(const context *c, const integer_stream *source, integers **opened) {
    integers *s = *opened = allocate(c, 1, sizeof *s);
    if (s == NULL)
        return CMODEL_LIMIT_MEMORY;
    s->c = c;
    s->source = *source;
    s->left = source->count;
    cmodel_status status = open_stream(s);
    if (status != CMODEL_OK) {
        integers_close(s);
        *opened = NULL;
    }
    return status;
}

void integers_close(integers *stream) {
    if (stream != NULL) {
        integers_close(stream->high);
        contexts_close(stream->contexts);
        free(stream->block);
    }
    free(stream);
}

static cmodel_status next_split(integers *s, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint32_t high, low = bits_take(&s->bits, s->source.width);
        TRY(integers_next(s->high, &high));
        if (high > 0xFFFFu >> s->source.width)
            return bad_integers(s->c, "an integer of a split stream is above 65,535");
        s->block[i] = (uint16_t)(high << s->source.width | low);
    }
    return CMODEL_OK;
}

cmodel_status integers_refill(integers *s) {
    size_t count = s->left < s->block_size ? (size_t)s->left : s->block_size;
    if (count == 0)
        return bad_integers(s->c, "a stream has fewer integers than are asked for");
    if (s->constant) {
        /* The block is filled already. */
    } else if (s->source.coder == PACKED) {
        for (size_t i = 0; i < count; i++)
            s->block[i] = (uint16_t)bits_take(&s->bits, s->source.width);
    } else if (s->source.coder == SPLIT) {
        TRY(next_split(s, count));
    } else if (s->source.coder == CONTEXT) {
        TRY(contexts_next(s->contexts, s->block, count));
    } else {
        TRY(next_chunk(s, count));
    }
    s->left -= count;
    s->block_count = count;
    s->block_next = 0;
    return CMODEL_OK;
}
