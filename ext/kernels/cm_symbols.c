#include "cm_symbols.h"

#include "cm_bytes.h"

cm_status cm_symbols_count(const void *symbols, size_t count, unsigned item,
                           uint64_t histogram[CM_SYMBOLS], cm_fault *fault) {
    memset(histogram, 0, CM_SYMBOLS * sizeof *histogram);
    if (item == 1) {
        const uint8_t *s = symbols;
        uint64_t parts[4][256] = {{0}}; /* several, so that equal neighbours do not wait */
        size_t i = 0;
        for (; i + 8 <= count; i += 8) {
            uint64_t word = cm_load64(s + i);
            for (int j = 0; j < 8; j++) parts[j & 3][word >> 8 * j & 255]++;
        }
        for (; i < count; i++) parts[0][s[i]]++;
        for (int v = 0; v < 256; v++)
            histogram[v] = parts[0][v] + parts[1][v] + parts[2][v] + parts[3][v];
    } else {
        const uint16_t *s = symbols;
        for (size_t i = 0; i < count; i++) {
            if (s[i] >= CM_SYMBOLS)
                return cm_fail(fault, CM_ARGUMENT, i, "symbol over 2047");
            histogram[s[i]]++;
        }
    }
    return CM_OK;
}
