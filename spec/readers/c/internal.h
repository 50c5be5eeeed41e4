/* What the chapters share. Functions that can fail return a status after they have filled in the error. */
#ifndef CMODEL_INTERNAL_H
#define CMODEL_INTERNAL_H

#include "cmodel_reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sums of Product forms are float64: x87 registers would round them twice. */
#include <float.h>
#if FLT_EVAL_METHOD == 2
#error "Compile with SSE2 arithmetic: -msse2 -mfpmath=sse"
#endif

#if defined(__GNUC__)
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#else
#define PRINTF_LIKE(text, first)
#endif

/* Leave the function with the status of what went wrong. */
#define TRY(call)                                                                                          \
    do {                                                                                                   \
        cmodel_status try_status = (call);                                                                 \
        if (try_status != CMODEL_OK)                                                                       \
            return try_status;                                                                             \
    } while (0)

#define LARGEST_SIZE (UINT64_C(1) << 53)

typedef struct {
    const uint8_t *data;
    size_t size;
} bytes;

typedef struct {
    uint32_t after[8][256]; /* [k][b]: the byte b, followed by k bytes of zero */
} crc_tables;

struct section;

typedef struct {
    cmodel_error *error;
    const crc_tables *crc;
    uint64_t max_memory;
    struct section *sections; /* of the file, once the section table is read */
} context;

/* 1. Conventions (conventions.c, inflate.c, dictionary.c) */

void set_error(const context *c, cmodel_status status, const char *format, ...) PRINTF_LIKE(3, 4);
/* Fill in the error and give its status: a macro, so that compilers see that it is not CMODEL_OK. */
#define fail(c, status, ...) (set_error(c, status, __VA_ARGS__), (status))

uint16_t load16(const uint8_t *data);
uint32_t load32(const uint8_t *data);
uint64_t load64(const uint8_t *data);

void crc_make(crc_tables *tables);
/* Whether the CRC-32 is the one stated. In the fuzzer's build it always is, so that changes get further. */
bool crc_matches(const crc_tables *tables, bytes data, uint32_t stated);
bool crc_matches_both(const crc_tables *tables, bytes data, bytes more, uint32_t stated);
/* `values` are `count` float32 in the byte order of the machine. */
uint32_t crc_of_values(const crc_tables *tables, const void *values, uint64_t count);

/* false where the product is above LARGEST_SIZE; both factors are at most that. */
bool multiply(uint64_t a, uint64_t b, uint64_t *product);

/* Take from the front of `input`; false where there are not enough bytes or the varint is not allowed.
 * A plain varint has at most 10 bytes; a shortest one has no needless byte and is at most `largest`. */
bool take_bytes(bytes *input, uint64_t size, bytes *taken);
bool take_u8(bytes *input, uint8_t *value);
bool take_varint(bytes *input, uint64_t *value);
bool take_shortest(bytes *input, uint64_t largest, uint64_t *value);

/* Bits, LSB-first. Beyond the end there are zeros: `bits_over` tells. */
typedef struct {
    bytes input;
    size_t next; /* byte that comes into `held` next */
    uint64_t held;
    unsigned count; /* bits in `held` */
    uint64_t overdrawn; /* zeros that came into `held` from beyond the end */
} bit_reader;

bit_reader bits_of(bytes input);
void bits_fill(bit_reader *reader); /* at least 32 bits are held */
uint32_t bits_take(bit_reader *reader, unsigned count); /* up to 24 */
bool bits_over(const bit_reader *reader); /* more was taken than there is */
/* Whether all bytes are taken, but for fewer than 8 bits, which are zero. */
bool bits_at_end(const bit_reader *reader);
/* Go to the next whole byte and return the bytes from there on. */
bytes bits_rest(const bit_reader *reader);

/* A NULL means the limit or the end of memory, and the error is filled in. `size` is at least 1 byte. */
void *allocate(const context *c, uint64_t count, size_t item);
/* Give the array `*items` room for `used + 1` items, within the memory limit and 2^20 items. */
cmodel_status grow(const context *c, void *items, size_t *room, size_t used, size_t item);

enum { PRESET_SIZE = 4084 };
extern const uint8_t preset_dictionary[PRESET_SIZE]; /* section 2.3 */

/* Decode raw DEFLATE, with the preset dictionary or without, that has exactly `size` bytes decoded. */
cmodel_status inflate_exactly(const context *c, bytes input, bool preset, uint8_t *output, size_t size);

/* 2. The file (file.c) */

typedef struct section {
    unsigned type;
    unsigned flags;
    uint32_t crc;
    uint64_t decoded_size;
    bytes stored;
    bool checked;
} section;

typedef struct {
    section *sections;
    size_t count;
} section_table;

enum { SECTION_MANIFEST = 1, SECTION_DATA = 2, SECTION_NOTES = 3, SECTION_LABELS = 4 };
enum { SECTION_DEFLATED = 1, SECTION_PRESET = 2, SECTION_RESERVED = 4, SECTION_ANCILLARY = 8 };

cmodel_status read_file(const context *c, bytes file, section_table *table);
/* Check the CRC-32 of a section where that has not been done. */
cmodel_status check_section(const context *c, size_t index);
/* Decode a section of text that is deflated into memory that the caller frees. */
cmodel_status inflate_section(const context *c, const section *section, uint8_t **text);

/* 3. The manifest (manifest.c) */

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, GROUP = 3, GROUP_END = 4, FIXED32 = 5 };

typedef struct {
    uint32_t number;
    unsigned wire;
    uint64_t value; /* of a number, its bits; or the size of BYTES */
    bytes data; /* of wire type BYTES, else empty */
} field;

/* Take the next field of a message that is itself `depth` deep. */
cmodel_status next_field(const context *c, bytes *input, unsigned depth, field *field);

typedef struct {
    bytes name;
    uint32_t number; /* 2 and up where a layer before has the name: its key is name#number */
    uint32_t last;   /* last number given to a layer of this name; 1 at first */
    size_t parameters; /* first of its named parameters */
} layer;

typedef struct {
    bytes name;
    uint64_t blob;
    size_t layer;
    size_t owner; /* index of the first parameter of this name in the network */
} named_parameter;

typedef struct {
    bytes whole; /* the message */
    uint8_t *text; /* what was deflated; NULL where the manifest is not */
    layer *layers;
    size_t layer_count, layer_room;
    named_parameter *parameters;
    size_t parameter_count, parameter_room;
    uint32_t unknown_layer; /* the largest that has unknown fields, counted from 1 */
    bool has_directory, has_mean_values;
    bytes directory;
} manifest;

cmodel_status read_manifest(const context *c, const section *section, manifest *manifest);
void free_manifest(manifest *manifest);

/* 4. The tensor directory (names.c, directory.c) */

/* A set of names, each with the index of who has it: a balanced tree, so that no choice of names makes it
 * slow. A name is a byte string, followed by # and the number where that is not 0. */
typedef struct {
    bytes name;
    uint32_t number;
    uint32_t item, left, right, level;
} name_node;

typedef struct {
    name_node *nodes; /* node 0 is the empty tree */
    size_t count, room;
    uint32_t root;
} name_tree;

#define NO_ITEM UINT32_MAX

cmodel_status names_start(const context *c, name_tree *tree);
uint32_t names_find(const name_tree *tree, bytes name, uint32_t number);
cmodel_status names_add(const context *c, name_tree *tree, bytes name, uint32_t number, uint32_t item);
size_t name_suffix(uint32_t number, char suffix[16]);

cmodel_status name_layers(const context *c, manifest *manifest);

/* A stream of integers with a table of its own, which streams after it may share. */
typedef struct {
    bytes stream;
    uint64_t count;
    unsigned bits;
    size_t section;
} table_owner;

/* Where the reading of the directory has got to. */
typedef struct {
    bytes entry; /* what is left of the directory */
    bytes data;  /* what is left of the section */
    size_t section;
    size_t owners[2]; /* tables so far: Huffman, rANS */
} place;

typedef struct {
    uint64_t layer;
    uint64_t blob;
    uint32_t crc;
    place place; /* of its shape */
} tensor_place;

typedef struct {
    tensor_place *tensors;
    size_t count, room;
    table_owner *owners[2];
    size_t owner_count[2], owner_room[2];
} directory;

/* 5. Forms (forms.c, decode.c) */

enum { PACKED, HUFFMAN, RANS, SPLIT, CONTEXT };

typedef struct {
    unsigned coder, width, bits;
    uint64_t count;
    bytes stream;
    bool shares; /* the table of another stream */
    table_owner owner;
} integer_stream;

typedef struct form {
    cmodel_form kind;
    unsigned variant;
    uint64_t elements;
    struct form *inner;
    bytes stream; /* words, byte planes, a bitmap or a mask */
    integer_stream integers;
    uint64_t groups, entries;                                  /* Codebook, Linear, Product, Trellis */
    int64_t lowest, base;                                      /* Linear, Trellis */
    integer_stream low, high;
    uint64_t rows, columns, height, width, count;              /* Sparse */
    unsigned gap_bits;
    unsigned axes[CMODEL_MAX_RANK];                            /* Product */
    uint64_t stages, blocks, dimension, depth;
    struct form *rotation;
    uint64_t buckets;                                          /* Hashed */
    uint32_t seed;
} form;

typedef struct {
    unsigned rank;
    uint64_t shape[CMODEL_MAX_RANK];
    uint64_t elements;
    uint64_t inner_elements; /* of the forms within the form, and the codes of a product; at most 2^62 */
    form forms[4];          /* the tensor's own is the first; no grammar gives more */
    unsigned form_count;
} tensor_entry;

/* Read an entry and allot the streams: `place` moves on. Tables that come for the first time are added to
 * the owners in the directory. */
cmodel_status read_entry(const context *c, directory *directory, place *place, tensor_entry *tensor);

/* The tensor that is stored for a blob of a layer; false where there is none. */
bool find_tensor(const directory *directory, uint64_t layer, uint64_t blob, size_t *index);

cmodel_status read_directory(const context *c, const manifest *manifest, const section_table *table,
                             directory *directory);

/* 5.7: the state after s and an integer that is even or odd. */
static inline unsigned trellis_next(unsigned s, bool odd) {
    static const uint8_t next[8][2] = {{0, 2}, {5, 7}, {1, 3}, {6, 4}, {2, 0}, {4, 6}, {3, 1}, {7, 5}};
    return next[s][odd];
}

/* The multiple of the scale that the integer k means in the state s. */
static inline int32_t trellis_level(unsigned s, int32_t k) {
    return 2 * k - (int32_t)(s & 1) * ((k > 0) - (k < 0));
}

/* `output` has room for the elements of the form, as float32 bit patterns in the machine's byte order. */
cmodel_status decode_form(const context *c, const tensor_entry *tensor, const form *form, void *output);

/* 6. Streams (integers.c, planes.c) */

#define CHUNK_SMALL 4096u

typedef struct {
    uint16_t symbol[2048];
    uint8_t length[2048];
} huffman_table;

typedef struct {
    uint16_t symbol[4096];
    uint16_t frequency[2048];
    uint16_t first[2048];
} rans_table;

typedef struct context_decoder context_decoder;

/* A stream of integers, decoded a block at a time: memory does not grow with their number. */
typedef struct integers {
    const context *c;
    integer_stream source;
    uint64_t left;           /* not yet decoded */
    unsigned symbols;        /* of the table: the highest + 1 */
    bool constant;           /* every integer is `value` */
    uint16_t value;
    bit_reader bits;         /* packed, and the low part where the stream is split */
    struct integers *high;   /* split */
    context_decoder *contexts;
    bool wide;               /* rANS */
    unsigned chunk_log;
    bytes jumps, payload;    /* of the chunks to come */
    uint16_t *block;
    size_t block_size, block_count, block_next;
    union {
        huffman_table huffman;
        rans_table rans;
    } table;
} integers;

/* Open for reading from the first integer on. `*opened` is NULL where it fails. */
cmodel_status integers_open(const context *c, const integer_stream *source, integers **opened);
void integers_close(integers *stream);
cmodel_status integers_refill(integers *stream);

static inline cmodel_status integers_next(integers *stream, uint32_t *value) {
    if (stream->block_next == stream->block_count)
        TRY(integers_refill(stream));
    *value = stream->block[stream->block_next++];
    return CMODEL_OK;
}

/* Decode `count` words of 2 or 4 bytes in byte planes into `words`, each as a uint32_t. */
cmodel_status planes_decode(const context *c, bytes stream, uint64_t count, unsigned size, void *words);

/* 7. Huffman streams (huffman.c), 8. rANS streams (rans.c): the table at the front of `input`, as that of a
 * stream of integers of 8 or 16 bits, which is empty or not. Then each chunk. */

cmodel_status huffman_read_table(integers *stream, bytes *input, unsigned bits, bool empty);
cmodel_status huffman_chunk(const integers *stream, bytes chunk, uint16_t *output, size_t count);
cmodel_status rans_read_table(integers *stream, bytes *input, unsigned bits, bool empty);
cmodel_status rans_chunk(const integers *stream, bytes chunk, uint16_t *output, size_t count);

/* 9.1 The range decoder, and functions of the models (range.c) */

typedef struct {
    bytes code_bytes;
    uint64_t position;
    uint32_t range, code;
    bool over; /* more code bytes are needed than there are */
} range_decoder;

/* false where the code begins beyond the range. */
bool range_start(range_decoder *d, bytes code_bytes);
/* A bit that is 1 with a probability of 1 to 65,535 in 1/65,536. */
unsigned range_bit(range_decoder *d, uint32_t probability);
bool range_at_end(const range_decoder *d);

int64_t lg(uint64_t v); /* 256 log2 v, v >= 1 */
uint32_t squash(int64_t x);

/* The floor of a division by a power of two. */
static inline int64_t shift_down(int64_t value, unsigned count) {
    return value >= 0 ? value >> count : ~(~value >> count);
}

/* 9. Mask streams (mask.c): set the bits of a bitmap of rows x columns bits that is all zero. */

cmodel_status mask_decode(const context *c, bytes stream, uint64_t rows, uint64_t columns, uint64_t count,
                          uint8_t *bitmap);

/* 10. Context streams (contexts.c): `count` > 0 integers of 8 or 16 bits, the next ones at each call. */

cmodel_status contexts_open(const context *c, bytes stream, uint64_t count, unsigned bits,
                            context_decoder **opened);
void contexts_close(context_decoder *decoder);
cmodel_status contexts_next(context_decoder *decoder, uint16_t *output, size_t count);

#endif
