/* CRC-32 as zlib and PNG have it (reflected polynomial 0xEDB88320). */
#ifndef CM_CRC32_H
#define CM_CRC32_H

#include <stddef.h>
#include <stdint.h>

uint32_t cm_crc32(const uint8_t *data, size_t size);

/* Variants, for the dispatch table; `crc` is the state, inverted. */
void cm_crc32_prepare(void);
uint32_t cm_crc32_update_scalar(uint32_t crc, const uint8_t *data, size_t size);
#if defined(__x86_64__)
uint32_t cm_crc32_update_avx2(uint32_t crc, const uint8_t *data, size_t size);
#endif

#endif
