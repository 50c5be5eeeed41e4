/* Chapter 5, the values: every form into float32. Values are handled as bit patterns, so that those which
 * are only copied keep their bits, NaNs too. */
#include "internal.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#define SIGN 0x80000000u

static uint32_t get(const void *values, uint64_t index) {
    uint32_t bits;
    memcpy(&bits, (const uint8_t *)values + 4 * index, 4);
    return bits;
}

static void put(void *values, uint64_t index, uint32_t bits) {
    memcpy((uint8_t *)values + 4 * index, &bits, 4);
}

static float as_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static uint32_t as_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static cmodel_status bad_values(const context *c, const char *what) {
    return fail(c, CMODEL_BAD_STREAM, "%s", what);
}

/* Decode a form within a form into memory that the caller frees. */
static cmodel_status decode_inner(const context *c, const tensor_entry *tensor, const form *form, void **values) {
    *values = allocate(c, form->elements, 4);
    if (*values == NULL)
        return CMODEL_LIMIT_MEMORY;
    return decode_form(c, tensor, form, *values);
}

/* ---- 5.1 Dense ---- */

static uint32_t widen_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3FF;
    if (exponent == 31)
        return sign | 0x7F800000u | fraction << 13;
    if (exponent != 0)
        return sign | (exponent + 112) << 23 | fraction << 13;
    if (fraction == 0)
        return sign;
    for (exponent = 113; (fraction & 0x400) == 0; exponent--)
        fraction <<= 1;
    return sign | exponent << 23 | (fraction & 0x3FF) << 13;
}

static cmodel_status decode_dense(const context *c, const form *form, void *output) {
    const uint8_t *words = form->stream.data;
    unsigned type = form->variant & 3, size = type == 0 ? 4 : 2;
    if (form->variant & 4)
        TRY(planes_decode(c, form->stream, form->elements, size, output));
    for (uint64_t i = 0; i < form->elements; i++) {
        uint32_t word = form->variant & 4 ? get(output, i) : size == 4 ? load32(words + 4 * i) : load16(words + 2 * i);
        put(output, i, type == 0 ? word : type == 1 ? widen_half((uint16_t)word) : word << 16);
    }
    return CMODEL_OK;
}

/* ---- 5.2 Codebook ---- */

static cmodel_status pick_entries(const context *c, const form *form, const void *entries, integers *indices,
                                  void *output) {
    uint64_t run = form->elements / form->groups, at = 0;
    for (uint64_t group = 0; group < form->groups && at < form->elements; group++)
        for (uint64_t i = 0; i < run; i++) {
            uint32_t index;
            TRY(integers_next(indices, &index));
            if (index >= form->entries)
                return bad_values(c, "an index beyond the entries of its codebook");
            put(output, at++, get(entries, group * form->entries + index));
        }
    return CMODEL_OK;
}

static cmodel_status decode_codebook(const context *c, const tensor_entry *tensor, const form *form, void *output) {
    void *entries;
    integers *indices = NULL;
    cmodel_status status = decode_inner(c, tensor, form->inner, &entries);
    if (status == CMODEL_OK)
        status = integers_open(c, &form->integers, &indices);
    if (status == CMODEL_OK)
        status = pick_entries(c, form, entries, indices, output);
    integers_close(indices);
    free(entries);
    return status;
}

/* ---- 5.3 Linear ---- */

static cmodel_status read_zero(const context *c, const form *form, integers *low, integers *high, int64_t *zero) {
    uint32_t lower, upper;
    *zero = 0;
    if ((form->variant & 8) == 0)
        return CMODEL_OK;
    TRY(integers_next(low, &lower));
    TRY(integers_next(high, &upper));
    *zero = form->base + (int64_t)lower + 65536 * (int64_t)upper;
    if (*zero > 1 << 23 || *zero < -(1 << 23))
        return bad_values(c, "a zero point above 2^23");
    return CMODEL_OK;
}

static cmodel_status scale_integers(const context *c, const form *form, const void *scales, integers *low,
                                    integers *high, integers *stream, void *output) {
    static const int64_t highest[4] = {127, 255, 32767, 65535};
    uint64_t run = form->elements / form->groups, at = 0;
    int64_t most = highest[form->variant & 3];
    for (uint64_t group = 0; group < form->groups; group++) {
        float scale = as_float(get(scales, group));
        int64_t zero;
        TRY(read_zero(c, form, low, high, &zero));
        if (!(scale >= -FLT_MAX && scale <= FLT_MAX))
            return bad_values(c, "a scale that is not finite");
        for (uint64_t i = 0; i < run; i++) {
            uint32_t value;
            TRY(integers_next(stream, &value));
            int64_t integer = form->lowest + (int64_t)value;
            if (integer > most)
                return bad_values(c, "an integer that is not of its type");
            float product = scale * (float)(integer - zero);
            put(output, at++, product == 0 ? 0 : as_bits(product));
        }
    }
    return CMODEL_OK;
}

static cmodel_status decode_linear(const context *c, const tensor_entry *tensor, const form *form, void *output) {
    void *scales;
    integers *low = NULL, *high = NULL, *stream = NULL;
    cmodel_status status = decode_inner(c, tensor, form->inner, &scales);
    if (status == CMODEL_OK && form->variant & 8)
        status = integers_open(c, &form->low, &low);
    if (status == CMODEL_OK && form->variant & 8)
        status = integers_open(c, &form->high, &high);
    if (status == CMODEL_OK)
        status = integers_open(c, &form->integers, &stream);
    if (status == CMODEL_OK)
        status = scale_integers(c, form, scales, low, high, stream, output);
    integers_close(low);
    integers_close(high);
    integers_close(stream);
    free(scales);
    return status;
}

/* ---- 5.4 Sparse ---- */

static cmodel_status read_gaps(const context *c, const form *form, integers *symbols, uint8_t *bitmap) {
    uint32_t more = (1u << form->gap_bits) - 1;
    uint64_t grid = form->rows * form->columns, next = 0, found = 0, count = form->integers.count;
    uint32_t symbol = 0;
    for (uint64_t i = 0; i < count; i++) {
        TRY(integers_next(symbols, &symbol));
        if (symbol > more)
            return bad_values(c, "a symbol beyond those of a relative index");
        next += symbol;
        if (symbol == more)
            continue;
        if (next >= grid)
            return bad_values(c, "a position beyond the end of the tensor");
        bitmap[next / 8] |= (uint8_t)(1u << next % 8);
        next++;
        found++;
    }
    if (found != form->count || (count > 0 && symbol == more))
        return bad_values(c, "a relative index of another number of positions");
    return CMODEL_OK;
}

static cmodel_status read_bitmap(const context *c, const form *form, uint8_t *bitmap) {
    uint64_t grid = form->rows * form->columns, found = 0;
    if (form->stream.size > 0)
        memcpy(bitmap, form->stream.data, form->stream.size);
    for (size_t i = 0; i < form->stream.size; i++)
        for (unsigned bits = bitmap[i]; bits != 0; bits &= bits - 1)
            found++;
    if (grid % 8 != 0 && bitmap[grid / 8] >> grid % 8 != 0)
        return bad_values(c, "the padding of a bitmap is not zero");
    if (found != form->count)
        return bad_values(c, "a bitmap of another number of positions");
    return CMODEL_OK;
}

static cmodel_status read_positions(const context *c, const form *form, uint8_t *bitmap) {
    integers *symbols;
    if (form->variant >> 1 == 1)
        return read_bitmap(c, form, bitmap);
    if (form->variant >> 1 == 2)
        return mask_decode(c, form->stream, form->rows, form->columns, form->count, bitmap);
    TRY(integers_open(c, &form->integers, &symbols));
    cmodel_status status = read_gaps(c, form, symbols, bitmap);
    integers_close(symbols);
    return status;
}

static void place_blocks(const form *form, const uint8_t *bitmap, const void *values, void *output) {
    uint64_t size = (form->rows * form->columns + 7) / 8, next = 0, row_size = form->columns * form->width;
    for (uint64_t byte = 0; byte < size; byte++)
        for (unsigned bit = 0; bitmap[byte] >> bit != 0; bit++) {
            if ((bitmap[byte] >> bit & 1) == 0)
                continue;
            uint64_t block = 8 * byte + bit;
            uint64_t first = block / form->columns * form->height * row_size + block % form->columns * form->width;
            for (uint64_t y = 0; y < form->height; y++)
                for (uint64_t x = 0; x < form->width; x++)
                    put(output, first + y * row_size + x, get(values, next++));
        }
}

static cmodel_status decode_sparse(const context *c, const tensor_entry *tensor, const form *form, void *output) {
    void *values = NULL;
    uint8_t *bitmap = allocate(c, (form->rows * form->columns + 7) / 8, 1);
    if (bitmap == NULL)
        return CMODEL_LIMIT_MEMORY;
    cmodel_status status = read_positions(c, form, bitmap);
    if (status == CMODEL_OK)
        status = decode_inner(c, tensor, form->inner, &values);
    if (status == CMODEL_OK) {
        for (uint64_t i = 0; i < form->elements; i++)
            put(output, i, 0);
        place_blocks(form, bitmap, values, output);
    }
    free(values);
    free(bitmap);
    return status;
}

/* ---- 5.5 Product ---- */

/* Walks the elements of a tensor in C order of its axes in another order. */
typedef struct {
    unsigned rank;
    uint64_t at, index[CMODEL_MAX_RANK], extent[CMODEL_MAX_RANK], stride[CMODEL_MAX_RANK];
} walk;

static walk walk_of(const tensor_entry *tensor, const form *form) {
    walk w = {0};
    uint64_t strides[CMODEL_MAX_RANK], stride = 1;
    /* The blocks of a rotated form are listed as they are. */
    w.rank = form->variant & 2 ? 0 : tensor->rank;
    for (unsigned i = w.rank; i-- > 0; stride *= tensor->shape[i])
        strides[i] = stride;
    for (unsigned i = 0; i < w.rank; i++) {
        w.extent[i] = tensor->shape[form->axes[i]];
        w.stride[i] = strides[form->axes[i]];
    }
    return w;
}

static uint64_t walk_next(walk *w) {
    uint64_t at = w->at;
    if (w->rank == 0)
        w->at++;
    for (unsigned i = w->rank; i-- > 0;) {
        w->at += w->stride[i];
        if (++w->index[i] < w->extent[i])
            break;
        w->at -= w->stride[i] * w->extent[i];
        w->index[i] = 0;
    }
    return at;
}

static cmodel_status next_code(const context *c, const form *form, integers *codes, uint64_t stage, uint64_t block,
                               uint64_t *first) {
    uint32_t code;
    TRY(integers_next(codes, &code));
    if (code >= form->entries)
        return bad_values(c, "a code beyond the entries of its codebook");
    uint64_t book = stage * form->groups + (form->groups == 1 ? 0 : block);
    *first = (book * form->entries + code) * form->dimension;
    return CMODEL_OK;
}

/* One stage only copies. */
static cmodel_status copy_stage(const context *c, const tensor_entry *tensor, const form *form, const void *books,
                                integers *codes, void *output) {
    walk w = walk_of(tensor, form);
    for (uint64_t row = 0; row < form->rows; row++)
        for (uint64_t block = 0; block < form->blocks; block++) {
            uint64_t first = 0;
            TRY(next_code(c, form, codes, 0, block, &first));
            for (uint64_t k = 0; k < form->dimension; k++)
                put(output, walk_next(&w), get(books, first + k));
        }
    return CMODEL_OK;
}

static cmodel_status sum_stages(const context *c, const tensor_entry *tensor, const form *form, const void *books,
                                integers *codes, double *sums, void *output) {
    for (uint64_t stage = 0; stage < form->stages; stage++) {
        double *sum = sums;
        for (uint64_t row = 0; row < form->rows; row++)
            for (uint64_t block = 0; block < form->blocks; block++) {
                uint64_t first = 0;
                TRY(next_code(c, form, codes, stage, block, &first));
                for (uint64_t k = 0; k < form->dimension; k++, sum++) {
                    double value = as_float(get(books, first + k));
                    *sum = stage == 0 ? value : *sum + value;
                }
            }
    }
    walk w = walk_of(tensor, form);
    for (uint64_t i = 0; i < form->elements; i++)
        put(output, walk_next(&w), as_bits((float)sums[i]));
    return CMODEL_OK;
}

static cmodel_status decode_stages(const context *c, const tensor_entry *tensor, const form *form, const void *books,
                                   integers *codes, void *output) {
    if (form->stages == 1)
        return copy_stage(c, tensor, form, books, codes, output);
    double *sums = allocate(c, form->elements, sizeof *sums);
    if (sums == NULL)
        return CMODEL_LIMIT_MEMORY;
    cmodel_status status = sum_stages(c, tensor, form, books, codes, sums, output);
    free(sums);
    return status;
}

static cmodel_status decode_product(const context *c, const tensor_entry *tensor, const form *form, void *output) {
    void *books;
    integers *codes = NULL;
    cmodel_status status = decode_inner(c, tensor, form->inner, &books);
    if (status == CMODEL_OK)
        status = integers_open(c, &form->integers, &codes);
    if (status == CMODEL_OK)
        status = decode_stages(c, tensor, form, books, codes, output);
    integers_close(codes);
    free(books);
    return status;
}

/* ---- 5.6 Hashed ---- */

static uint32_t mix(uint32_t x) {
    x ^= x >> 16;
    x *= UINT32_C(0x85EBCA6B);
    x ^= x >> 13;
    x *= UINT32_C(0xC2B2AE35);
    return x ^ x >> 16;
}

static cmodel_status decode_hashed(const context *c, const tensor_entry *tensor, const form *form, void *output) {
    void *buckets;
    cmodel_status status = decode_inner(c, tensor, form->inner, &buckets);
    uint32_t start = mix(form->seed + UINT32_C(0x9E3779B1));
    for (uint64_t i = 0; status == CMODEL_OK && i < form->elements; i++) {
        uint32_t hash = mix((uint32_t)i ^ start), bits = get(buckets, hash % form->buckets);
        if (form->variant & 1) {
            bits ^= mix(hash ^ UINT32_C(0x9E3779B1)) & SIGN;
            bits = bits == SIGN ? 0 : bits;
        }
        put(output, i, bits);
    }
    free(buckets);
    return status;
}

/* ---- 5.7 Trellis ---- */

static cmodel_status walk_trellis(const context *c, const tensor_entry *tensor, const form *form,
                                  const void *scales, integers *stream, void *output) {
    uint64_t run = form->elements / form->groups, at = 0;
    uint64_t columns = tensor->rank == 0 || tensor->shape[0] == 0 ? form->elements
                                                                  : form->elements / tensor->shape[0];
    uint64_t column = 0;
    unsigned state = 0;
    int32_t most = form->variant & 1 ? 32767 : 127;
    for (uint64_t group = 0; group < form->groups; group++) {
        float scale = as_float(get(scales, group));
        if (!(scale >= -FLT_MAX && scale <= FLT_MAX))
            return bad_values(c, "a scale that is not finite");
        for (uint64_t i = 0; i < run; i++) {
            uint32_t value;
            TRY(integers_next(stream, &value));
            int32_t integer = (int32_t)form->lowest + (int32_t)value;
            if (integer > most)
                return bad_values(c, "an integer that is not of its type");
            float product = scale * (float)trellis_level(state, integer);
            put(output, at++, product == 0 ? 0 : as_bits(product));
            state = trellis_next(state, integer % 2 != 0);
            if (++column == columns)
                column = state = 0;
        }
    }
    return CMODEL_OK;
}

static cmodel_status decode_trellis(const context *c, const tensor_entry *tensor, const form *form, void *output) {
    void *scales;
    integers *stream = NULL;
    cmodel_status status = decode_inner(c, tensor, form->inner, &scales);
    if (status == CMODEL_OK)
        status = integers_open(c, &form->integers, &stream);
    if (status == CMODEL_OK)
        status = walk_trellis(c, tensor, form, scales, stream, output);
    integers_close(stream);
    free(scales);
    return status;
}

cmodel_status decode_form(const context *c, const tensor_entry *tensor, const form *form, void *output) {
    switch (form->kind) {
    case CMODEL_DENSE:
        return decode_dense(c, form, output);
    case CMODEL_CODEBOOK:
        return decode_codebook(c, tensor, form, output);
    case CMODEL_LINEAR:
        return decode_linear(c, tensor, form, output);
    case CMODEL_SPARSE:
        return decode_sparse(c, tensor, form, output);
    case CMODEL_PRODUCT:
        return decode_product(c, tensor, form, output);
    case CMODEL_HASHED:
        return decode_hashed(c, tensor, form, output);
    default:
        return decode_trellis(c, tensor, form, output);
    }
}
