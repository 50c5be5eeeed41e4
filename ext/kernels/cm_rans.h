/* rANS with static frequencies of 12 bits; the streams are laid out in spec/cmodel-format.md.
 *
 *     table: varint A, head, what the head says
 *     payload: chunks (cm_chunks.h), with the flag CM_RANS_WIDE for 32 lanes
 *
 * A stream has both, or the payload alone where its table is that of another stream. */
#ifndef CM_RANS_H
#define CM_RANS_H

#include <stddef.h>
#include <stdint.h>

#include "cm_chunks.h"
#include "cm_fault.h"
#include "cm_symbols.h"

#define CM_RANS_BITS 12
#define CM_RANS_TOTAL 4096
#define CM_RANS_ALPHABET CM_SYMBOLS
#define CM_RANS_LANES 32
#define CM_RANS_WIDE 128u
/* A, head, and at most 48 bits a symbol: a number of unused ones and a Rice code. */
#define CM_RANS_TABLE_BYTES (4 + 6 * CM_RANS_ALPHABET)

/* Frequencies, and where the payload of a stream with them lies. */
typedef struct {
    uint16_t frequency[CM_RANS_ALPHABET]; /* sum 4096, 0 where unused */
    uint32_t alphabet;                    /* highest used symbol + 1 */
    uint32_t used;                        /* number of used symbols */
    cm_chunks chunks;
} cm_rans;

/* How a table says its frequencies; `head` tells which of the others are of meaning. */
typedef struct {
    uint32_t alphabet;
    uint8_t head;
    uint16_t levels[CM_RANS_ALPHABET]; /* listed: floating-point weights */
    uint8_t used[CM_RANS_ALPHABET];
    uint32_t centre;                   /* parametric */
    uint8_t slope, bend;
} cm_rans_table;

/* The frequencies and the table that together take the fewest bits for the symbols counted. */
cm_status cm_rans_build(const uint64_t histogram[CM_RANS_ALPHABET], cm_rans_table *table,
                        cm_rans *model);

/* Writes a table to `dst` (CM_RANS_TABLE_BYTES); returns the bytes. */
size_t cm_rans_table_put(const cm_rans_table *table, uint8_t *dst);

/* Reads and checks a table; `*used` is set to its bytes. */
cm_status cm_rans_table_get(const uint8_t *src, size_t size, cm_rans *model, size_t *used,
                            cm_fault *fault);

/* Bits of the symbols counted, in 1/65536; UINT64_MAX where one has no frequency. */
uint64_t cm_rans_cost(const cm_rans *model, const uint64_t histogram[CM_RANS_ALPHABET]);

/* Most bytes that cm_rans_encode may need (working space included). */
size_t cm_rans_bound(size_t count, unsigned chunk_log2);

/* Writes a payload and returns its size; every symbol must have a frequency. `wide` is for speed:
 * it costs 96 bytes a chunk. */
size_t cm_rans_encode(const cm_rans *model, const void *symbols, size_t count, unsigned item,
                      unsigned chunk_log2, int wide, uint8_t *dst);

/* Reads and checks what lies before the chunks of a payload that begins at `at` (0: its table lies
 * elsewhere), before anything of size `count` is allocated. */
cm_status cm_rans_open(const uint8_t *src, size_t size, size_t at, size_t count, unsigned item,
                       cm_rans *model, cm_fault *fault);

/* Decodes an opened payload to `dst` (count * item bytes). */
cm_status cm_rans_decode(const cm_rans *model, const uint8_t *src, size_t size, unsigned item,
                         int threads, void *dst, cm_fault *fault);

/* What each of the 4096 slots stands for. */
typedef struct cm_rans_slots {
    /* Symbols of a byte: symbol | frequency << 8 | (slot - start) << 20.
     * Others: frequency | (slot - start) << 16. */
    uint32_t entry[CM_RANS_TOTAL];
    uint16_t symbol[CM_RANS_TOTAL + 2]; /* symbols of 16 bits; room for reading words of 32 */
} cm_rans_slots;

/* A chunk of 32 lanes while it is decoded. */
typedef struct cm_rans_lanes {
    uint32_t x[CM_RANS_LANES];
    const uint8_t *words, *end;
    uint8_t *dst;
    size_t rounds; /* of 32 symbols to go */
} cm_rans_lanes;

void cm_rans_prepare(void);
/* Decode rounds while there are 32 words for one, and move everything on. */
void cm_rans_lanes_scalar(const cm_rans_slots *slots, cm_rans_lanes *lanes, unsigned item);
#if defined(__x86_64__)
void cm_rans_lanes_avx2(const cm_rans_slots *slots, cm_rans_lanes *lanes, unsigned item);
void cm_rans_lanes_avx512(const cm_rans_slots *slots, cm_rans_lanes *lanes, unsigned item);
#endif

#endif
