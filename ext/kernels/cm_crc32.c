#include "cm_crc32.h"

#include "cm_bytes.h"
#include "cm_simd.h"

static uint32_t tables[8][256];

void cm_crc32_prepare(void) {
    for (uint32_t v = 0; v < 256; v++) {
        uint32_t crc = v;
        for (int b = 0; b < 8; b++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        tables[0][v] = crc;
    }
    for (int t = 1; t < 8; t++)
        for (int v = 0; v < 256; v++)
            tables[t][v] = tables[t - 1][v] >> 8 ^ tables[0][tables[t - 1][v] & 255];
}

uint32_t cm_crc32_update_scalar(uint32_t crc, const uint8_t *data, size_t size) {
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word = cm_load64(data) ^ crc;
        crc = 0;
        for (int i = 0; i < 8; i++) crc ^= tables[7 - i][word >> 8 * i & 255];
    }
    for (; size; data++, size--) crc = crc >> 8 ^ tables[0][(crc ^ *data) & 255];
    return crc;
}

uint32_t cm_crc32(const uint8_t *data, size_t size) {
    return ~cm_kernel.crc32(~(uint32_t)0, data, size);
}
