/* Canonical Huffman codes of at most 11 bits; the streams are laid out in spec/cmodel-format.md.
 *
 *     table: varint A, code lengths of symbols 0..A-1 as nibbles
 *     payload: chunks (cm_chunks.h)
 *
 * A stream has both, or the payload alone where its table is that of another stream.
 */
#ifndef CM_HUFFMAN_H
#define CM_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>

#include "cm_chunks.h"
#include "cm_fault.h"
#include "cm_symbols.h"

#define CM_HUFFMAN_BITS 11
#define CM_HUFFMAN_ALPHABET CM_SYMBOLS
/* A chunk of up to this many symbols is one sub-stream. */
#define CM_HUFFMAN_SMALL CM_CHUNKS_SMALL
#define CM_HUFFMAN_TABLE_BYTES (CM_HUFFMAN_ALPHABET / 2 + 2)

/* A code, and where the payload of a stream in it lies. */
typedef struct {
    uint8_t lengths[CM_HUFFMAN_ALPHABET];
    uint32_t alphabet;  /* highest used symbol + 1 */
    uint32_t used;      /* number of used symbols */
    unsigned min_bits;  /* shortest and longest code */
    unsigned max_bits;
    cm_chunks chunks;
} cm_huffman;

/* Optimal lengths of at most 11 bits; of equal counts the smaller symbol gets the shorter code. */
cm_status cm_huffman_build(const uint64_t histogram[CM_HUFFMAN_ALPHABET], cm_huffman *code);

/* Writes alphabet and lengths to `dst` (CM_HUFFMAN_TABLE_BYTES); returns the bytes. */
size_t cm_huffman_table_put(const cm_huffman *code, uint8_t *dst);

/* Reads and checks alphabet and lengths; `*used` is set to their bytes. */
cm_status cm_huffman_table_get(const uint8_t *src, size_t size, cm_huffman *code, size_t *used,
                               cm_fault *fault);

/* Codes with their bits reversed, as they are written least significant bit first. */
void cm_huffman_codes(const cm_huffman *code, uint16_t codes[CM_HUFFMAN_ALPHABET]);

/* Most bytes that cm_huffman_encode may need (working space included). */
size_t cm_huffman_bound(const cm_huffman *code, const uint64_t histogram[CM_HUFFMAN_ALPHABET],
                        size_t count, unsigned chunk_log2);

/* Writes a payload of at most cm_huffman_bound bytes and returns its size; every symbol must have a
 * code. */
size_t cm_huffman_encode(const cm_huffman *code, const void *symbols, size_t count, unsigned item,
                         unsigned chunk_log2, uint8_t *dst);

/* Reads and checks what lies before the chunks of a payload that begins at `at`, before anything of
 * size `count` is allocated. `code` is what cm_huffman_table_get read. */
cm_status cm_huffman_open(const uint8_t *src, size_t size, size_t at, size_t count, unsigned item,
                          cm_huffman *code, cm_fault *fault);

/* Decodes an opened payload to `dst` (count * item bytes). */
cm_status cm_huffman_decode(const cm_huffman *code, const uint8_t *src, size_t size, unsigned item,
                            int threads, void *dst, cm_fault *fault);

/* One of the four sub-streams of a chunk while it is decoded. */
typedef struct cm_huffman_lane {
    const uint8_t *start; /* first byte */
    size_t size;          /* bytes */
    size_t bit;           /* bits consumed */
    uint8_t *dst;         /* next symbol's place */
    size_t left;          /* symbols to go */
} cm_huffman_lane;

void cm_huffman_lanes_scalar(cm_huffman_lane *lanes, const uint8_t *end, const uint32_t *table,
                             unsigned item);
#if defined(__x86_64__)
void cm_huffman_lanes_avx2(cm_huffman_lane *lanes, const uint8_t *end, const uint32_t *table,
                           unsigned item);
#endif

#endif
