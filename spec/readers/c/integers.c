/* Chapter 6: streams of integers, and what Huffman and rANS streams share: the layout of their chunks. */
#include "internal.h"

#include <stdlib.h>

enum { PACKED, HUFFMAN, RANS };

static cmodel_status bad(const context *c, const char *what) {
    return fail(c, CMODEL_BAD_STREAM, "%s", what);
}

/* ---- Chunks (sections 7.3 and 8.2) ---- */

static cmodel_status read_chunks(integers *s, bytes input) {
    uint8_t head;
    if (s->left > CHUNK_SMALL) {
        if (!take_u8(&input, &head))
            return bad(s->c, "a stream ends before its chunks");
        s->chunk_log = head & 31;
        s->wide = s->source.coder == RANS && head >> 7;
        if (s->chunk_log < 12 || s->chunk_log > 20 || (head & ~(s->wide ? 0x9Fu : 0x1Fu)) != 0)
            return bad(s->c, "the size of the chunks of a stream");
        uint64_t chunks = ((s->left - 1) >> s->chunk_log) + 1;
        if (chunks > 1 && !take_bytes(&input, 8 * chunks, &s->jumps))
            return bad(s->c, "a stream ends within its jump table");
    }
    s->payload = input;
    return CMODEL_OK;
}

static cmodel_status next_chunk(integers *s, size_t count) {
    bytes chunk = s->payload, entry;
    if (take_bytes(&s->jumps, 8, &entry)) {
        if (!take_bytes(&s->payload, load32(entry.data), &chunk))
            return bad(s->c, "a chunk goes beyond the end of its stream");
        if (!crc_matches(s->c->crc, chunk, load32(entry.data + 4)))
            return fail(s->c, CMODEL_CHECKSUM, "the CRC-32 of a chunk does not match");
        if (s->left == count && s->payload.size > 0)
            return bad(s->c, "bytes follow the last chunk of a stream");
    }
    return s->source.coder == HUFFMAN ? huffman_chunk(s, chunk, s->block, count)
                                      : rans_chunk(s, chunk, s->block, count);
}

/* ---- Streams ---- */

static cmodel_status open_coded(integers *s) {
    bytes input = s->source.stream;
    TRY(s->source.coder == HUFFMAN ? huffman_read_table(s, &input) : rans_read_table(s, &input));
    if (s->left == 0 || s->constant)
        return input.size == 0 ? CMODEL_OK : bad(s->c, "bytes follow the end of a stream");
    return read_chunks(s, input);
}

static cmodel_status open_packed(integers *s) {
    const integer_stream *source = &s->source;
    unsigned used = (unsigned)(source->count % 8 * source->width % 8);
    if (source->width == 0)
        s->constant = true;
    if (used != 0 && source->stream.data[source->stream.size - 1] >> used != 0)
        return bad(s->c, "the padding of packed integers is not zero");
    s->bits = bits_of(source->stream);
    return CMODEL_OK;
}

static cmodel_status open(integers *s) {
    s->chunk_log = 12; /* the size of the blocks where there are no larger chunks */
    TRY(s->source.coder == PACKED ? open_packed(s) : open_coded(s));
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
    cmodel_status status = open(s);
    if (status != CMODEL_OK) {
        integers_close(s);
        *opened = NULL;
    }
    return status;
}

void integers_close(integers *stream) {
    if (stream != NULL)
        free(stream->block);
    free(stream);
}

cmodel_status integers_refill(integers *s) {
    size_t count = s->left < s->block_size ? (size_t)s->left : s->block_size;
    if (count == 0)
        return bad(s->c, "a stream has fewer integers than are asked for");
    if (s->constant) {
        /* The block is filled already. */
    } else if (s->source.coder == PACKED) {
        for (size_t i = 0; i < count; i++)
            s->block[i] = (uint16_t)bits_take(&s->bits, s->source.width);
    } else {
        TRY(next_chunk(s, count));
    }
    s->left -= count;
    s->block_count = count;
    s->block_next = 0;
    return CMODEL_OK;
}
