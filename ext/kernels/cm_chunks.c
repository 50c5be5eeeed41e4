#include "cm_chunks.h"

#include <stdlib.h>

#include "cm_bytes.h"
#include "cm_crc32.h"
#include "cm_parallel.h"

#define LOG2_MASK 31u

cm_status cm_chunks_open(const uint8_t *src, size_t size, size_t at, size_t count, unsigned flags,
                         cm_chunks *chunks, cm_fault *fault) {
    *chunks = (cm_chunks){.count = count, .chunks = 1};
    if (count > CM_CHUNKS_SMALL) {
        if (at >= size) return cm_fail(fault, CM_TRUNCATED, size, "no chunk size");
        chunks->log2 = src[at] & LOG2_MASK;
        chunks->flags = src[at] & ~LOG2_MASK;
        if (chunks->log2 < CM_CHUNKS_MIN_LOG2 || chunks->log2 > CM_CHUNKS_MAX_LOG2 ||
            chunks->flags & ~flags)
            return cm_fail(fault, CM_CORRUPT, at, "chunk size out of range");
        at++;
        chunks->chunks = ((count - 1) >> chunks->log2) + 1;
    }
    chunks->jumps = at;
    if (chunks->chunks > 1) {
        if (chunks->chunks > (size - at) / 8)
            return cm_fail(fault, CM_TRUNCATED, size, "too short for its count");
        at += 8 * chunks->chunks;
        size_t rest = size - at;
        for (size_t i = 0; i < chunks->chunks; i++) {
            uint32_t bytes = cm_load32(src + chunks->jumps + 8 * i);
            if (bytes > rest)
                return cm_fail(fault, CM_TRUNCATED, chunks->jumps + 8 * i,
                               "a chunk lies behind the end");
            rest -= bytes;
        }
        if (rest) return cm_fail(fault, CM_CORRUPT, size - rest, "bytes after the last chunk");
    }
    chunks->payload = at;
    return CM_OK;
}

cm_status cm_chunks_decode(const cm_chunks *chunks, const uint8_t *src, size_t size, unsigned item,
                           int threads, cm_chunk_decode decode, const void *coder, uint8_t *dst,
                           cm_fault *fault) {
    if (chunks->chunks == 1) {
        cm_status status = decode(coder, src + chunks->payload, size - chunks->payload, item,
                                  chunks->count, dst, fault);
        fault->at += chunks->payload;
        return status;
    }
    size_t *offsets = malloc(chunks->chunks * sizeof *offsets);
    if (!offsets) return cm_fail(fault, CM_MEMORY, 0, "no memory");
    const uint8_t *jump = src + chunks->jumps;
    size_t at = chunks->payload, step = (size_t)1 << chunks->log2;
    for (size_t i = 0; i < chunks->chunks; at += cm_load32(jump + 8 * i++)) offsets[i] = at;
    cm_status result = CM_OK;
    ptrdiff_t failed = (ptrdiff_t)chunks->chunks;
    if ((size_t)threads > chunks->chunks) threads = (int)chunks->chunks;
    CM_PARALLEL_FOR(threads)
    for (ptrdiff_t i = 0; i < (ptrdiff_t)chunks->chunks; i++) {
        const uint8_t *chunk = src + offsets[i];
        size_t bytes = cm_load32(jump + 8 * i), first = (size_t)i * step;
        size_t n = chunks->count - first < step ? chunks->count - first : step;
        cm_fault mine = {0, NULL};
        cm_status status;
        if (cm_crc32(chunk, bytes) != cm_load32(jump + 8 * i + 4))
            status = cm_fail(&mine, CM_CHECKSUM, 0, "a chunk's CRC-32 does not match");
        else
            status = decode(coder, chunk, bytes, item, n, dst + first * item, &mine);
        if (status != CM_OK) {
            CM_CRITICAL
            if (i < failed) { /* the same fault on any number of threads */
                failed = i;
                result = cm_fail(fault, status, offsets[i] + mine.at, mine.what);
            }
        }
    }
    free(offsets);
    return result;
}

size_t cm_chunks_encode(const void *symbols, size_t count, unsigned item, unsigned chunk_log2,
                        unsigned flags, cm_chunk_encode encode, const void *coder, uint8_t *dst) {
    uint8_t *out = dst;
    size_t step = count;
    if (count > CM_CHUNKS_SMALL) {
        *out++ = (uint8_t)(chunk_log2 | flags);
        step = (size_t)1 << chunk_log2;
    }
    uint8_t *jump = out;
    if (count > step) out += 8 * ((count + step - 1) / step);
    for (size_t first = 0; first < count; first += step) {
        size_t n = count - first < step ? count - first : step;
        size_t bytes = encode(coder, symbols, first, n, item, out);
        if (count > step) {
            cm_store32(jump, (uint32_t)bytes);
            cm_store32(jump + 4, cm_crc32(out, bytes));
            jump += 8;
        }
        out += bytes;
    }
    return (size_t)(out - dst);
}
