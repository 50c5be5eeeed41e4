/* A very small test runner: CHECK inside tests, RUN for each, and a closing line. */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int passed, failed, wrong;

#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            if (!wrong++) printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
        }                                                                         \
    } while (0)

#define RUN(test)                                  \
    do {                                           \
        wrong = 0;                                 \
        test();                                    \
        if (wrong) {                               \
            failed++;                              \
            printf("%s failed\n", #test);          \
        } else {                                   \
            passed++;                              \
        }                                          \
    } while (0)

static inline int finish(void) {
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}

/* xorshift64*: the same numbers on every run. */
static uint64_t state = 88172645463325252u;

static inline uint64_t next_random(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717u;
}

static inline size_t below(size_t limit) { return (size_t)(next_random() >> 11) % limit; }

/* Exactly `size` bytes, so that the sanitizer sees every step over the end. */
static inline void *room(size_t size) {
    void *p = malloc(size ? size : 1);
    if (!p) abort();
    return p;
}

/* Symbols that lean towards the middle of the alphabet, in a buffer of their own. */
static inline void *some_symbols(size_t count, unsigned item, size_t alphabet) {
    void *symbols = room(count * item);
    for (size_t i = 0; i < count; i++) {
        size_t value = (below(alphabet) + below(alphabet) + below(alphabet)) / 3;
        if (item == 1) ((uint8_t *)symbols)[i] = (uint8_t)value;
        else ((uint16_t *)symbols)[i] = (uint16_t)value;
    }
    return symbols;
}

/* For tests of kernels with variants; needs cm_simd.h. */
#define EACH_LEVEL(level)                                                              \
    for (int level = 0; level < CM_SIMD_LEVELS; level++)                               \
        if (cm_simd_use_engine((cm_simd)level) == CM_OK)

#endif
