/* The examples of the specification's section 10.3, decoded by the C reader's own function. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition);    \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

/* Decode up to 16 integers of 8 bits, where `most` bytes of memory are allowed. */
static cmodel_status decode(const uint8_t *stream, size_t size, size_t count, uint64_t most, uint16_t *output) {
    cmodel_error error;
    context c = {&error, NULL, most, NULL};
    context_decoder *decoder;
    cmodel_status status = contexts_open(&c, (bytes){stream, size}, count, 8, &decoder);
    if (status == CMODEL_OK)
        status = contexts_next(decoder, output, count);
    contexts_close(decoder);
    return status;
}

int main(void) {
    static const uint8_t plain[9] = {0x00, 0x02, 0x02, 0x8D, 0x22, 0xE4, 0x9D, 0x6F, 0x00};
    static const uint8_t trellis[5] = {0x01, 0x01, 0x02, 0x79, 0x04};
    static const uint16_t integers[6] = {2, 1, 2, 2, 3, 12}, row[4] = {3, 2, 1, 4};
    static const uint8_t changes[][2] = {{0, 4}, {0, 2}, {1, 0}, {1, 4}, {2, 0}};
    static const int32_t levels[4] = {2, 0, -1, 3};
    uint16_t output[16];
    CHECK(decode(plain, 8, 6, 48, output) == CMODEL_OK);
    CHECK(memcmp(output, integers, sizeof integers) == 0);
    CHECK(decode(trellis, 5, 4, 64, output) == CMODEL_OK);
    CHECK(memcmp(output, row, sizeof row) == 0);
    CHECK(decode(plain, 8, 6, 47, output) == CMODEL_LIMIT_MEMORY);
    CHECK(decode(plain, 9, 6, 48, output) == CMODEL_BAD_STREAM);
    for (size_t size = 0; size <= 3; size++)
        CHECK(decode(plain, size, 6, 48, output) == CMODEL_BAD_STREAM);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint8_t changed[8];
        memcpy(changed, plain, 8);
        changed[changes[i][0]] = changes[i][1];
        CHECK(decode(changed, 8, 6, 96, output) == CMODEL_BAD_STREAM);
    }
    for (unsigned i = 0, state = 0; i < 4; i++) {
        int32_t k = (int32_t)row[i] - 2;
        CHECK(trellis_level(state, k) == levels[i]);
        state = trellis_next(state, k % 2 != 0);
    }
    return 0;
}
