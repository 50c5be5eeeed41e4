/* How coded symbols are cut into chunks, the same for every entropy coder.
 *
 *     [u8 chunk_log2 and flags where count > 4096,
 *      {u32 size, u32 crc} per chunk where there are several], chunks
 */
#ifndef CM_CHUNKS_H
#define CM_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

#include "cm_fault.h"

#define CM_CHUNKS_MIN_LOG2 12
#define CM_CHUNKS_MAX_LOG2 20
/* Up to this many symbols there is no chunk size. */
#define CM_CHUNKS_SMALL 4096

typedef struct {
    size_t count;    /* symbols */
    size_t chunks;
    unsigned log2;   /* symbols of a chunk but the last */
    unsigned flags;  /* upper bits of the chunk size's byte */
    size_t jumps;    /* offset of the jump table */
    size_t payload;  /* offset of the first chunk */
} cm_chunks;

/* Reads and checks what lies between `at` and the chunks, and that these fill the rest. `flags` are
 * those that may be set. */
cm_status cm_chunks_open(const uint8_t *src, size_t size, size_t at, size_t count, unsigned flags,
                         cm_chunks *chunks, cm_fault *fault);

/* Decodes n symbols of `item` bytes from the `size` bytes of a chunk. */
typedef cm_status (*cm_chunk_decode)(const void *coder, const uint8_t *src, size_t size,
                                     unsigned item, size_t n, uint8_t *dst, cm_fault *fault);

/* Decodes all chunks to `dst` on several threads; of several faults it reports the first. */
cm_status cm_chunks_decode(const cm_chunks *chunks, const uint8_t *src, size_t size, unsigned item,
                           int threads, cm_chunk_decode decode, const void *coder, uint8_t *dst,
                           cm_fault *fault);

/* Encodes n symbols from index `first` on to `dst`; returns the bytes. */
typedef size_t (*cm_chunk_encode)(const void *coder, const void *symbols, size_t first, size_t n,
                                  unsigned item, uint8_t *dst);

/* Writes chunk size, jump table and chunks; returns the bytes. */
size_t cm_chunks_encode(const void *symbols, size_t count, unsigned item, unsigned chunk_log2,
                        unsigned flags, cm_chunk_encode encode, const void *coder, uint8_t *dst);

#endif
