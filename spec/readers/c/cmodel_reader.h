/* A reader of the cmodel container format, written from spec/cmodel-format.md alone.
 *
 * C11, no dependencies, no global state. A file is opened from memory, its tensors are listed, and each
 * is decoded into a buffer of the caller. Every error has one of the names of the specification.
 *
 *     cmodel_error error;
 *     cmodel *file;
 *     if (cmodel_open(data, size, CMODEL_DEFAULT_MEMORY, &file, &error) != CMODEL_OK) ...
 *     for (size_t i = 0; i < cmodel_tensor_count(file); i++) {
 *         cmodel_tensor tensor;
 *         cmodel_describe(file, i, &tensor);
 *         float *values = malloc(tensor.parts[0].elements * sizeof *values);
 *         if (cmodel_decode(file, i, 0, values, tensor.parts[0].elements, &error) != CMODEL_OK) ...
 *     }
 *     cmodel_close(file);
 */
#ifndef CMODEL_READER_H
#define CMODEL_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CMODEL_DEFAULT_MEMORY (UINT64_C(4) << 30)
#define CMODEL_MAX_RANK 32

typedef enum {
    CMODEL_OK,
    CMODEL_BAD_SIGNATURE,
    CMODEL_BAD_VERSION,
    CMODEL_BAD_HEADER,
    CMODEL_TRUNCATED,
    CMODEL_TRAILING_DATA,
    CMODEL_CHECKSUM,
    CMODEL_BAD_MANIFEST,
    CMODEL_BAD_STREAM,
    CMODEL_UNKNOWN_FEATURE,
    CMODEL_LIMIT_MEMORY
} cmodel_status;

typedef struct {
    cmodel_status status;
    char message[200]; /* one sentence in ASCII */
} cmodel_error;

typedef enum {
    CMODEL_DENSE,
    CMODEL_CODEBOOK,
    CMODEL_LINEAR,
    CMODEL_SPARSE,
    CMODEL_PRODUCT,
    CMODEL_HASHED,
    CMODEL_TRELLIS
} cmodel_form;

/* What is decoded at once: a whole tensor, or its blocks or its rotation where it is rotated. */
typedef struct {
    const char *name; /* "", "blocks" or "rotation" */
    unsigned rank;
    uint64_t shape[CMODEL_MAX_RANK];
    uint64_t elements;
} cmodel_part;

typedef struct {
    unsigned rank;
    uint64_t shape[CMODEL_MAX_RANK];
    uint64_t elements;
    cmodel_form form;
    uint32_t crc32; /* of part 0, as little-endian float32 */
    unsigned part_count; /* 1, or 2 for a rotated tensor */
    cmodel_part parts[2];
} cmodel_tensor;

typedef struct cmodel cmodel;

/* The normative name of a status, for instance "bad-stream"; "ok" for CMODEL_OK. */
const char *cmodel_status_name(cmodel_status status);

/* Open a file that lies in memory, which must stay until it is closed. `max_memory` bounds the decoded
 * float32 bytes of all tensors together, those of all forms within forms, and the lists of layers and of
 * tensors, which have at most 2^20 items each. Checks header, section table and manifest. */
cmodel_status cmodel_open(const void *data, size_t size, uint64_t max_memory, cmodel **file,
                          cmodel_error *error);
void cmodel_close(cmodel *file);

/* Check the CRC-32 of every section, and that notes and labels can be inflated. cmodel_decode checks the
 * sections that it needs. */
cmodel_status cmodel_check_sections(cmodel *file, cmodel_error *error);

size_t cmodel_tensor_count(const cmodel *file);
void cmodel_describe(const cmodel *file, size_t index, cmodel_tensor *tensor);

/* Write the name of a tensor in UTF-8 without an end mark, at most `room` bytes of it, and return its
 * whole length. A name may hold any character, NUL included. */
size_t cmodel_name(const cmodel *file, size_t index, char *name, size_t room);

/* The manifest: a message of Protocol Buffers, not deflated, that stays until the file is closed. */
const void *cmodel_manifest(const cmodel *file, size_t *size);

/* The tensor of a blob of a layer, counted from 0 in the network; a shared one is found at its owner. The
 * layer after the last has the mean image as blob 0. false where there is none. */
bool cmodel_find(const cmodel *file, uint64_t layer, uint64_t blob, size_t *index);

/* Decode a part into `values`, which has room for `capacity` elements: at least those of the part, else
 * CMODEL_LIMIT_MEMORY. Checks the CRC-32s of the section and of the decoded tensor. One thread at a time
 * may use a file. */
cmodel_status cmodel_decode(cmodel *file, size_t index, unsigned part, float *values, uint64_t capacity,
                            cmodel_error *error);

/* CRC-32 of float32 values as little-endian bytes. */
uint32_t cmodel_crc32(const cmodel *file, const float *values, uint64_t count);

#ifdef __cplusplus
}
#endif

#endif
