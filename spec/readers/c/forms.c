/* Chapters 4 to 6, the grammar: shapes and forms in the directory, and the streams that they name. */
#include "internal.h"

#include <string.h>

#define MOST_ELEMENTS (UINT64_C(1) << 40)
#define MOST_ENTRIES 65536u

enum { MOST_ZERO = 1 << 23, MOST_STAGES = 256, MOST_GAP_BITS = 8, TRELLIS_STATES = 8 };

/* Forms that may stand in a place. */
enum {
    DENSE_ONLY = 1 << CMODEL_DENSE,
    DENSE_LINEAR = DENSE_ONLY | 1 << CMODEL_LINEAR,
    VALUES = DENSE_LINEAR | 1 << CMODEL_CODEBOOK,
    ANY = 127
};

typedef struct {
    const context *c;
    directory *directory;
    place *place;
    tensor_entry *tensor;
} reader;

static cmodel_status contradicts(const reader *r, const char *what) {
    return fail(r->c, CMODEL_BAD_MANIFEST, "tensor directory: %s", what);
}

static cmodel_status read_number(const reader *r, uint64_t *value) {
    if (!take_shortest(&r->place->entry, LARGEST_SIZE, value))
        return contradicts(r, "it ends early, or a varint in it is too large or too long");
    return CMODEL_OK;
}

static cmodel_status read_range(const reader *r, uint64_t least, uint64_t most, uint64_t *value, const char *what) {
    TRY(read_number(r, value));
    if (*value < least || *value > most)
        return contradicts(r, what);
    return CMODEL_OK;
}

static cmodel_status read_zigzag(const reader *r, int64_t *value) {
    uint64_t z;
    TRY(read_number(r, &z));
    *value = z % 2 == 0 ? (int64_t)(z / 2) : -(int64_t)((z + 1) / 2);
    return CMODEL_OK;
}

static cmodel_status read_u32(const reader *r, uint32_t *value) {
    bytes four;
    if (!take_bytes(&r->place->entry, 4, &four))
        return contradicts(r, "it ends early");
    *value = load32(four.data);
    return CMODEL_OK;
}

static cmodel_status product_of(const reader *r, uint64_t a, uint64_t b, uint64_t *result) {
    if (!multiply(a, b, result))
        return contradicts(r, "a number of elements above 2^53");
    return CMODEL_OK;
}

/* ---- Streams (chapter 6) ---- */

static cmodel_status allot(const reader *r, uint64_t size, bytes *stream) {
    if (!take_bytes(&r->place->data, size, stream))
        return contradicts(r, "a stream goes beyond the end of its section");
    return CMODEL_OK;
}

/* Take the table from the stream that is `back` tables before. */
static cmodel_status refer_to_table(const reader *r, uint64_t back, integer_stream *stream) {
    unsigned list = stream->coder - HUFFMAN;
    if (back > r->place->owners[list])
        return contradicts(r, "a table is shared from farther back than there are tables");
    stream->shares = true;
    stream->owner = r->directory->owners[list][r->place->owners[list] - (size_t)back];
    return CMODEL_OK;
}

static cmodel_status own_table(const reader *r, const integer_stream *stream) {
    directory *d = r->directory;
    unsigned list = stream->coder - HUFFMAN;
    if (r->place->owners[list] == d->owner_count[list]) {
        table_owner owner = {stream->stream, stream->count, stream->bits, r->place->section};
        TRY(grow(r->c, &d->owners[list], &d->owner_room[list], d->owner_count[list], sizeof owner));
        d->owners[list][d->owner_count[list]++] = owner;
    }
    r->place->owners[list]++;
    return CMODEL_OK;
}

static cmodel_status read_integers(const reader *r, uint64_t count, unsigned bits, integer_stream *stream) {
    uint64_t head, size, argument;
    TRY(read_number(r, &head));
    memset(stream, 0, sizeof *stream);
    stream->coder = (unsigned)(head & 7);
    stream->bits = bits;
    stream->count = count;
    argument = head >> 3;
    if (stream->coder > CONTEXT)
        return fail(r->c, CMODEL_UNKNOWN_FEATURE, "coder %u of integers", stream->coder);
    if (stream->coder == PACKED) {
        if (argument > bits)
            return contradicts(r, "the width of packed integers");
        stream->width = (unsigned)argument;
        TRY(product_of(r, count, argument, &size));
        return allot(r, (size + 7) / 8, &stream->stream);
    }
    if (stream->coder == SPLIT && bits != 16)
        return fail(r->c, CMODEL_UNKNOWN_FEATURE, "a split stream of integers of 8 bits");
    if (stream->coder >= SPLIT && argument != 0)
        return fail(r->c, CMODEL_UNKNOWN_FEATURE, "a variant of the coder %u of integers", stream->coder);
    TRY(read_number(r, &size));
    TRY(allot(r, size, &stream->stream));
    if (stream->coder >= SPLIT)
        return CMODEL_OK;
    return argument > 0 ? refer_to_table(r, argument, stream) : own_table(r, stream);
}

static unsigned index_bits(uint64_t entries) {
    return entries <= 256 ? 8 : 16;
}

/* ---- Forms (chapter 5) ---- */

static cmodel_status read_form(const reader *r, uint64_t elements, unsigned allowed, form **made);

static cmodel_status read_inner(const reader *r, uint64_t elements, unsigned allowed, form **made) {
    r->tensor->inner_elements += elements;
    return read_form(r, elements, allowed, made);
}

static cmodel_status read_groups(const reader *r, bool stated, form *form) {
    form->groups = 1;
    if (!stated)
        return CMODEL_OK;
    TRY(read_range(r, 1, LARGEST_SIZE, &form->groups, "no groups"));
    if (form->elements % form->groups != 0)
        return contradicts(r, "the groups do not divide the elements");
    return CMODEL_OK;
}

static cmodel_status read_dense(const reader *r, form *form) {
    uint64_t size = form->elements * ((form->variant & 3) == 0 ? 4 : 2);
    if (form->variant & 4)
        TRY(read_number(r, &size));
    return allot(r, size, &form->stream);
}

static cmodel_status read_codebook(const reader *r, form *form) {
    uint64_t all;
    TRY(read_groups(r, form->variant & 1, form));
    TRY(read_range(r, 1, MOST_ENTRIES, &form->entries, "the entries of a codebook"));
    TRY(product_of(r, form->groups, form->entries, &all));
    TRY(read_inner(r, all, DENSE_LINEAR, &form->inner));
    return read_integers(r, form->elements, index_bits(form->entries), &form->integers);
}

static cmodel_status read_linear(const reader *r, form *form) {
    static const int64_t lowest[4] = {-128, 0, -32768, 0}, highest[4] = {127, 255, 32767, 65535};
    unsigned type = form->variant & 3;
    TRY(read_groups(r, form->variant & 4, form));
    TRY(read_zigzag(r, &form->lowest));
    if (form->lowest < lowest[type] || form->lowest > highest[type])
        return contradicts(r, "the lowest integer is not of its type");
    TRY(read_inner(r, form->groups, DENSE_ONLY, &form->inner));
    if (form->variant & 8) {
        TRY(read_zigzag(r, &form->base));
        TRY(read_integers(r, form->groups, 16, &form->low));
        TRY(read_integers(r, form->groups, 16, &form->high));
    }
    return read_integers(r, form->elements, type < 2 ? 8 : 16, &form->integers);
}

static cmodel_status read_sparse_grid(const reader *r, form *form) {
    const tensor_entry *tensor = r->tensor;
    form->rows = tensor->rank > 0 ? tensor->shape[0] : 1;
    form->columns = 1;
    for (unsigned i = 1; i < tensor->rank; i++)
        TRY(product_of(r, form->columns, tensor->shape[i], &form->columns));
    form->height = form->width = 1;
    if (form->variant & 1) {
        TRY(read_range(r, 1, LARGEST_SIZE, &form->height, "blocks of no rows"));
        TRY(read_range(r, 1, LARGEST_SIZE, &form->width, "blocks of no columns"));
        if (form->rows % form->height != 0 || form->columns % form->width != 0)
            return contradicts(r, "the blocks do not divide the matrix");
        if (form->height == 1 && form->width == 1)
            return contradicts(r, "blocks of one element are not stated");
    }
    form->rows /= form->height; /* from here on those of the grid */
    form->columns /= form->width;
    return CMODEL_OK;
}

static cmodel_status read_sparse(const reader *r, form *form) {
    uint64_t grid, size;
    TRY(read_sparse_grid(r, form));
    TRY(product_of(r, form->rows, form->columns, &grid));
    TRY(read_range(r, 0, grid, &form->count, "more stored blocks than there are"));
    if (form->variant >> 1 == 0) {
        uint64_t gap_bits, symbols;
        TRY(read_range(r, 1, MOST_GAP_BITS, &gap_bits, "the bits of a relative index"));
        form->gap_bits = (unsigned)gap_bits;
        TRY(read_number(r, &symbols));
        TRY(read_integers(r, symbols, 8, &form->integers));
        /* Each symbol that ends no gap goes 2^bits - 1 blocks on. */
        if (symbols < form->count || symbols - form->count > grid / ((1u << gap_bits) - 1))
            return contradicts(r, "the symbols of a relative index are too few or too many");
    } else {
        size = (grid + 7) / 8;
        if (form->variant >> 1 == 2) {
            TRY(read_number(r, &size));
            if (grid > UINT32_MAX)
                return contradicts(r, "a mask stream for 2^32 or more blocks");
        }
        TRY(allot(r, size, &form->stream));
    }
    return read_inner(r, form->count * form->height * form->width, VALUES, &form->inner);
}

static cmodel_status read_axes(const reader *r, form *form) {
    uint32_t seen = 0;
    for (unsigned i = 0; i < r->tensor->rank; i++) {
        uint64_t axis = i;
        if (form->variant & 1)
            TRY(read_range(r, 0, r->tensor->rank - 1, &axis, "an axis that the tensor does not have"));
        if (seen >> axis & 1)
            return contradicts(r, "an axis comes twice");
        seen |= UINT32_C(1) << axis;
        form->axes[i] = (unsigned)axis;
    }
    return CMODEL_OK;
}

static cmodel_status read_product(const reader *r, form *form) {
    uint64_t all = 0, codes = 0;
    TRY(read_axes(r, form));
    TRY(read_range(r, 1, MOST_STAGES, &form->stages, "the stages of a product"));
    TRY(read_range(r, 1, LARGEST_SIZE, &form->blocks, "a product of no blocks"));
    TRY(read_range(r, 1, MOST_ENTRIES, &form->entries, "the entries of a codebook"));
    TRY(read_range(r, 1, LARGEST_SIZE, &form->dimension, "blocks of no dimension"));
    TRY(product_of(r, form->blocks, form->dimension, &form->depth));
    if (form->elements % form->depth != 0)
        return contradicts(r, "the rows of a product do not divide the elements");
    form->rows = form->elements / form->depth;
    form->groups = form->variant & 4 ? 1 : form->blocks;
    TRY(product_of(r, form->stages, form->groups, &all));
    TRY(product_of(r, all, form->entries, &all));
    TRY(product_of(r, all, form->dimension, &all));
    TRY(read_inner(r, all, DENSE_LINEAR, &form->inner));
    TRY(product_of(r, form->stages * form->rows, form->blocks, &codes));
    r->tensor->inner_elements += codes;
    TRY(read_integers(r, codes, index_bits(form->entries), &form->integers));
    if (form->variant & 2) {
        TRY(product_of(r, form->depth, form->depth, &all));
        TRY(read_inner(r, all, DENSE_ONLY, &form->rotation));
    }
    return CMODEL_OK;
}

static cmodel_status read_hashed(const reader *r, form *form) {
    TRY(read_range(r, 1, LARGEST_SIZE, &form->buckets, "a hashed form of no buckets"));
    TRY(read_u32(r, &form->seed));
    return read_inner(r, form->buckets, VALUES, &form->inner);
}

static cmodel_status read_trellis(const reader *r, form *form) {
    uint64_t states;
    bool wide = form->variant & 1;
    TRY(read_groups(r, form->variant & 2, form));
    TRY(read_number(r, &states));
    if (states != TRELLIS_STATES)
        return fail(r->c, CMODEL_UNKNOWN_FEATURE, "a trellis of %llu states", (unsigned long long)states);
    TRY(read_zigzag(r, &form->lowest));
    if (form->lowest < (wide ? -32768 : -128) || form->lowest > 0)
        return contradicts(r, "the lowest integer of a trellis is not of its type, or above 0");
    TRY(read_inner(r, form->groups, DENSE_ONLY, &form->inner));
    return read_integers(r, form->elements, wide ? 16 : 8, &form->integers);
}

/* Goes as deep as the grammar: Sparse or Hashed, Codebook, Linear, Dense. */
static cmodel_status read_form(const reader *r, uint64_t elements, unsigned allowed, form **made) {
    static const unsigned variants[7] = {6, 1, 15, 5, 7, 1, 3};
    uint8_t kind;
    if (!take_u8(&r->place->entry, &kind))
        return contradicts(r, "it ends early");
    if ((kind & 15) > CMODEL_TRELLIS || kind >> 4 > variants[kind & 15] || kind == 0x30)
        return fail(r->c, CMODEL_UNKNOWN_FEATURE, "form %u, variant %u", kind & 15u, kind >> 4);
    if ((allowed >> (kind & 15) & 1) == 0)
        return contradicts(r, "a form within a form where it may not stand");
    form *form = &r->tensor->forms[r->tensor->form_count++];
    *made = form;
    form->kind = (cmodel_form)(kind & 15);
    form->variant = kind >> 4;
    form->elements = elements;
    switch (form->kind) {
    case CMODEL_DENSE:
        return read_dense(r, form);
    case CMODEL_CODEBOOK:
        return read_codebook(r, form);
    case CMODEL_LINEAR:
        return read_linear(r, form);
    case CMODEL_SPARSE:
        return read_sparse(r, form);
    case CMODEL_PRODUCT:
        return read_product(r, form);
    case CMODEL_HASHED:
        return read_hashed(r, form);
    default:
        return read_trellis(r, form);
    }
}

static cmodel_status read_extents(const reader *r, tensor_entry *tensor) {
    uint64_t rank;
    bool empty = false;
    TRY(read_range(r, 0, CMODEL_MAX_RANK, &rank, "more than 32 dimensions"));
    tensor->rank = (unsigned)rank;
    tensor->elements = 1;
    for (unsigned i = 0; i < rank; i++) {
        TRY(read_number(r, &tensor->shape[i]));
        empty = empty || tensor->shape[i] == 0;
    }
    for (unsigned i = 0; i < rank && !empty; i++)
        TRY(product_of(r, tensor->elements, tensor->shape[i], &tensor->elements));
    if (empty)
        tensor->elements = 0;
    if (tensor->elements > MOST_ELEMENTS)
        return contradicts(r, "a tensor of more than 2^40 elements");
    return CMODEL_OK;
}

cmodel_status read_entry(const context *c, directory *directory, place *place, tensor_entry *tensor) {
    reader r = {c, directory, place, tensor};
    form *made;
    memset(tensor, 0, sizeof *tensor);
    TRY(read_extents(&r, tensor));
    return read_form(&r, tensor->elements, ANY, &made);
}
