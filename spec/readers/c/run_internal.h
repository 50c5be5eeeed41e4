/* What the files of the runtime share: see cmodel_run.h. */
#ifndef CMODEL_RUN_INTERNAL_H
#define CMODEL_RUN_INTERNAL_H

#include "cmodel_run.h"
#include "internal.h"

/* Bounds of what a file may ask for: planning takes the square of them. */
enum { MOST_STEPS = 1024, MOST_BLOBS = 4096, MOST_WINDOW = 65535, MOST_SETTINGS = 20 };

#define NONE SIZE_MAX

typedef enum { CONVOLUTION, INNER_PRODUCT, MAX_POOLING, AVERAGE_POOLING, RELU, SOFTMAX, CONCAT, SUM } operation;

/* A blob as one layer makes it: a layer that writes a blob of the same name makes another one. */
typedef struct {
    bytes name;
    cmodel_shape shape;
    size_t maker;     /* step; NONE for the input */
    size_t last_read; /* step, or a view's place among the steps */
    size_t view_of;   /* the blob whose values it has, or NONE */
    size_t storage;
} blob;

/* A piece of the arena, in floats, and the steps in which it is needed. */
typedef struct {
    size_t elements, offset, first, last;
} storage;

typedef struct {
    size_t kernel[2], stride[2], pad[2], dilation[2]; /* height, width */
} window;

typedef struct {
    operation kind;
    bool in_place; /* where its first bottom is not needed afterwards */
    size_t first_bottom, bottom_count; /* in the net's list */
    size_t top;
    size_t tensors[2]; /* weights and bias, or NONE */
    window window;
    size_t groups;
    size_t axis;
    bool transposed;
    float slope;
} step;

/* How an image becomes the input. */
typedef struct {
    size_t resize[2], crop[2]; /* 0 where not stated */
    unsigned order;
    float *scales, *means;     /* one a channel; NULL where not stated */
    size_t mean_tensor;        /* or NONE */
    size_t mean_size[2];       /* of the mean image */
} preparation;

enum { ORDER_UNSPECIFIED, ORDER_BGR, ORDER_RGB, ORDER_GRAY };

struct cmodel_net {
    uint64_t max_memory;
    blob *blobs;
    size_t blob_count, blob_room;
    step *steps;
    size_t step_count, step_room;
    size_t *bottoms;
    size_t bottom_count, bottom_room;
    storage *storages;
    size_t storage_count;
    size_t input, output; /* blobs; NONE before they are known */
    size_t layer_count;
    preparation preparation;
    size_t *offsets; /* of each tensor of the file among the weights; NONE where it is not used */
    size_t tensor_count, weight_elements, arena_elements;
    uint64_t operations;
    float *weights, *arena;
    void *own_weights, *own_arena;
};

/* The fields of a layer's own message, by number. */
typedef struct {
    uint32_t first, last; /* value of the first and last occurrence, of a float its bits */
    size_t count;
} setting;

typedef struct {
    bytes name, type;
    bytes bottoms, tops; /* the layer, where its names of blobs are */
    setting settings[MOST_SETTINGS];
    size_t index; /* in the network */
} layer_fields;

/* Give the error of a layer, with its name. */
cmodel_status refuse_layer(const context *c, const layer_fields *layer, cmodel_status status, const char *why);

/* run_network.c: the layers of a network, one by one, as they are run at test time. */
cmodel_status read_layers(const context *c, const cmodel *file, cmodel_net *net);

/* run_layers.c: what a layer computes and in which shape. Adds steps and blobs to the net. */
cmodel_status add_layer(const context *c, const cmodel *file, cmodel_net *net, const layer_fields *layer,
                        const size_t *bottoms, size_t bottom_count, const bytes *tops, size_t top_count);
cmodel_status add_input(const context *c, cmodel_net *net, bytes name, const cmodel_shape *shape);
cmodel_status add_tensor(const context *c, const cmodel *file, cmodel_net *net, size_t tensor, uint64_t elements);

/* run_memory.c: where the blobs lie. */
cmodel_status plan_memory(const context *c, cmodel_net *net);

/* run_kernels.c */
void run_step(const cmodel_net *net, const step *step);

/* run_image.c */
cmodel_status read_preparation(const context *c, const cmodel *file, cmodel_net *net);

static inline float *blob_data(const cmodel_net *net, size_t index) {
    return net->arena + net->storages[net->blobs[index].storage].offset;
}

static inline const float *tensor_data(const cmodel_net *net, size_t tensor) {
    return tensor == NONE ? NULL : net->weights + net->offsets[tensor];
}

/* Elements from axis `from` to before `to`. */
static inline size_t elements_between(const cmodel_shape *shape, size_t from, size_t to) {
    size_t elements = 1;
    for (size_t i = from; i < to; i++)
        elements *= shape->extents[i];
    return elements;
}

#endif
