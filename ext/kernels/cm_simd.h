/* Which instructions the kernels use, and the table of the kernels that have variants.
 *
 * The static library is linked into every compiled module, so every module has a table of its own
 * and fills it at import by cm_simd_use with the level that cmodel._simd chose. All variants of a
 * kernel give the same bits, except those of the engine. */
#ifndef CM_SIMD_H
#define CM_SIMD_H

#include <stddef.h>
#include <stdint.h>

#include "cm_context.h"
#include "cm_engine.h"
#include "cm_rdo.h"
#include "cm_status.h"
#include "cm_vectors.h"

typedef enum { CM_SIMD_SCALAR, CM_SIMD_AVX2, CM_SIMD_AVX512, CM_SIMD_NEON, CM_SIMD_LEVELS } cm_simd;

struct cm_huffman_lane;
struct cm_rans_slots;
struct cm_rans_lanes;

typedef struct {
    uint32_t (*crc32)(uint32_t crc, const uint8_t *data, size_t size);
    /* Decodes what is safe of four lanes at once and moves them on; see cm_huffman_decode.c. */
    void (*huffman_lanes)(struct cm_huffman_lane *lanes, const uint8_t *end, const uint32_t *table,
                          unsigned item);
    /* Decodes what is safe of the 32 lanes of a chunk; see cm_rans_decode.c. */
    void (*rans_lanes)(const struct cm_rans_slots *slots, struct cm_rans_lanes *lanes,
                       unsigned item);
    /* index[i] = number of thresholds below values[i]. */
    void (*assign8)(const float *values, size_t n, const float *thresholds, size_t k, uint8_t *out);
    void (*assign16)(const float *values, size_t n, const float *thresholds, size_t k,
                     uint16_t *out);
    /* See cm_rdo.h. */
    void (*rdo_window)(const cm_rdo_code *code, const cm_rdo_window *window, uint8_t *state,
                       int16_t *indices, float *errors, void *space);
    /* Codes a row of `item`-byte integers, or reads it; returns what is wrong, or NULL. */
    cm_context_code_row *context_encode_row, *context_decode_row;
    cm_nearest_kernel *nearest; /* see cm_vectors.h */
    const cm_engine *engine;    /* set by cm_simd_use_engine alone */
} cm_kernels;

extern cm_kernels cm_kernel;

const char *cm_simd_name(cm_simd level);

/* Whether this machine (and this build) has the level. */
int cm_simd_available(cm_simd level);

/* The best level of this machine. */
cm_simd cm_simd_best(void);

/* Fills cm_kernel; CM_ARGUMENT where the level is not available. */
cm_status cm_simd_use(cm_simd level);

/* The same with the engine's kernels: 400 KB, which a module that does not compute is not linked
 * with. */
cm_status cm_simd_use_engine(cm_simd level);

#endif
