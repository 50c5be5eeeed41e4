/* Weights looked up in a table of 16 entries that is held in registers, for one level (cm_vec.h).
 *
 * Dense indices come in blocks of 32, four bits each, 16 bytes. Byte b has two of them: with
 * s = b / 4 * 8 + b % 4, that of weight s in its lower half, that of weight s + 4 in its upper one.
 * So the vectors of AVX2 come out in the order of the weights. */
#define TABLE_BLOCK 32

#if CM_LEVEL == 512
typedef __m512 table;
INLINE TARGET table load_table(const float *p) { return _mm512_loadu_ps(p); }
/* Weights at LANES bytes. */
INLINE TARGET V look_up(const table *t, const uint8_t *at) {
    __m128i i = _mm_loadu_si128((const __m128i *)(const void *)at);
    return _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(i), *t);
}
INLINE TARGET void look_up_block(const table *t, const uint8_t *at, V *weights) {
    __m512i i = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)at));
    V low = _mm512_permutexvar_ps(i, *t);
    V high = _mm512_permutexvar_ps(_mm512_srli_epi32(i, 4), *t);
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    weights[0] = _mm512_permutex2var_ps(low, first, high);
    weights[1] = _mm512_permutex2var_ps(low, _mm512_add_epi32(first, _mm512_set1_epi32(8)), high);
}
#elif CM_LEVEL == 2
typedef struct {
    __m256 low, high;
    __m256i bytes[4]; /* byte 0 of all entries, byte 1, ... */
} table;
INLINE TARGET table load_table(const float *p) {
    table t = {.low = _mm256_loadu_ps(p), .high = _mm256_loadu_ps(p + 8)};
    uint8_t bytes[4][16];
    for (int i = 0; i < 16; i++) {
        uint32_t word;
        memcpy(&word, p + i, sizeof word);
        for (int b = 0; b < 4; b++) bytes[b][i] = (uint8_t)(word >> 8 * b);
    }
    for (int b = 0; b < 4; b++)
        t.bytes[b] = _mm256_broadcastsi128_si256(
            _mm_loadu_si128((const __m128i *)(const void *)bytes[b]));
    return t;
}
INLINE TARGET V look_up(const table *t, const uint8_t *at) {
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)at);
    __m256i i = _mm256_cvtepu8_epi32(bytes);
    /* The bit that tells the halves apart becomes the sign, which the choice goes by. */
    __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(i, 28));
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(t->low, i),
                            _mm256_permutevar8x32_ps(t->high, i), upper);
}
INLINE TARGET void look_up_block(const table *t, const uint8_t *at, V *weights) {
    __m128i both = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m256i i = _mm256_inserti128_si256(_mm256_castsi128_si256(both), _mm_srli_epi16(both, 4), 1);
    i = _mm256_and_si256(i, _mm256_set1_epi8(15));
    __m256i b[4];
    UNROLL for (int j = 0; j < 4; j++) b[j] = _mm256_shuffle_epi8(t->bytes[j], i);
    __m256i halves[2][2] = {
        {_mm256_unpacklo_epi8(b[0], b[1]), _mm256_unpacklo_epi8(b[2], b[3])},
        {_mm256_unpackhi_epi8(b[0], b[1]), _mm256_unpackhi_epi8(b[2], b[3])},
    };
    UNROLL for (int h = 0; h < 2; h++) {
        weights[2 * h] =
            _mm256_castsi256_ps(_mm256_unpacklo_epi16(halves[h][0], halves[h][1]));
        weights[2 * h + 1] =
            _mm256_castsi256_ps(_mm256_unpackhi_epi16(halves[h][0], halves[h][1]));
    }
}
#else
typedef const float *table;
INLINE table load_table(const float *p) { return p; }
INLINE V look_up(const table *t, const uint8_t *at) {
    return (V){(*t)[at[0]], (*t)[at[1]], (*t)[at[2]], (*t)[at[3]]};
}
INLINE void look_up_block(const table *t, const uint8_t *at, V *weights) {
    for (int v = 0; v < TABLE_BLOCK / LANES; v++, at += v % 2 ? 0 : 4) {
        const int shift = v % 2 * 4;
        for (int i = 0; i < 4; i++) weights[v][i] = (*t)[at[i] >> shift & 15];
    }
}
#endif
