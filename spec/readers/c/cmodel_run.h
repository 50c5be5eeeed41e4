/* Runs the network of a container on one image: a small set of layers in float32, for boards too.
 *
 * Convolution, InnerProduct, Pooling (MAX, AVE), ReLU, Softmax, Concat, Eltwise (SUM), Dropout, Split and
 * Flatten are known; a network with another one is refused by the layer's name. Nothing is allocated once
 * the network is loaded, and the file may be closed then. Errors are those of the reader.
 *
 *     cmodel_net *net;
 *     if (cmodel_net_plan(file, 64 << 20, &net, &error) != CMODEL_OK) ...
 *     if (cmodel_net_load(net, file, NULL, NULL, &error) != CMODEL_OK) ...
 *     cmodel_close(file);
 *     cmodel_net_prepare(net, pixels, 28, 28, 1);
 *     const float *scores = cmodel_net_run(net);
 */
#ifndef CMODEL_RUN_H
#define CMODEL_RUN_H

#include "cmodel_reader.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CMODEL_NET_RANK 8

typedef struct cmodel_net cmodel_net;

typedef struct {
    unsigned rank;
    size_t extents[CMODEL_NET_RANK]; /* the first is 1 for an image: images run one at a time */
    size_t elements;
} cmodel_shape;

typedef struct {
    cmodel_shape input;
    cmodel_shape output;  /* of the last layer */
    size_t weight_bytes;  /* parameters and mean image as float32 */
    size_t arena_bytes;   /* blobs, those that live at different times in one place */
    uint64_t operations;  /* multiplications and comparisons of one run: bounds its time */
} cmodel_net_info;

/* Read the network of an open file, work out its shapes and plan its memory. `max_memory` bounds the
 * bytes of weights and arena together. A layer or setting that is not known is a CMODEL_UNKNOWN_FEATURE,
 * one that does not fit its input or its weights a CMODEL_BAD_MANIFEST. */
cmodel_status cmodel_net_plan(const cmodel *file, uint64_t max_memory, cmodel_net **net, cmodel_error *error);
void cmodel_net_describe(const cmodel_net *net, cmodel_net_info *info);

/* Decode the weights of the file that was planned. `weights` and `arena` are memory of the caller that is
 * aligned for float, has the bytes that the plan says and stays until the net is freed; NULL allocates. */
cmodel_status cmodel_net_load(cmodel_net *net, cmodel *file, void *weights, void *arena, cmodel_error *error);
void cmodel_net_free(cmodel_net *net);

/* Where the input goes before each run, in the order of its shape: a run writes over it. NULL before
 * cmodel_net_load. */
float *cmodel_net_input(cmodel_net *net);

/* Make the input of an image of 8-bit values, pixel by pixel: gray, or with 3 channels red, green, blue.
 * Applies the file's crop, order of channels, mean and scale, but does not resize: where the file states a
 * size, the image must have it. false where the image does not fit. */
bool cmodel_net_prepare(cmodel_net *net, const uint8_t *pixels, size_t height, size_t width, unsigned channels);

/* Run the network and return its output, which stays until the next input. NULL before cmodel_net_load. */
const float *cmodel_net_run(cmodel_net *net);

#ifdef __cplusplus
}
#endif

#endif
