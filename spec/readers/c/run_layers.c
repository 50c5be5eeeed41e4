/* What each type of layer computes, and in which shape: fields are checked here, so that the kernels need
 * not look at them again. */
#include "run_internal.h"

#include <string.h>

/* What a layer is added with. */
typedef struct {
    const context *c;
    const cmodel *file;
    cmodel_net *net;
    const layer_fields *layer;
    const size_t *bottoms;
    size_t bottom_count;
    const bytes *tops;
    size_t top_count;
} call;

static cmodel_status unknown(const call *call, const char *what) {
    return refuse_layer(call->c, call->layer, CMODEL_UNKNOWN_FEATURE, what);
}

static cmodel_status unfit(const call *call, const char *what) {
    return refuse_layer(call->c, call->layer, CMODEL_BAD_MANIFEST, what);
}

static const cmodel_shape *shape_of(const call *call, size_t bottom) {
    return &call->net->blobs[call->bottoms[bottom]].shape;
}

static uint32_t number(const call *call, unsigned field, uint32_t usual) {
    const setting *setting = &call->layer->settings[field];
    return setting->count > 0 ? setting->last : usual;
}

/* An axis that may be counted from the end. */
static cmodel_status read_axis(const call *call, unsigned field, int32_t usual, size_t rank, size_t *axis) {
    int64_t stated = (int32_t)number(call, field, (uint32_t)usual);
    if (stated < 0)
        stated += (int64_t)rank;
    if (stated < 0 || stated >= (int64_t)rank)
        return unfit(call, "its input does not have the axis");
    *axis = (size_t)stated;
    return CMODEL_OK;
}

/* ---- Blobs, tensors and steps ---- */

/* Count the elements of a shape, within what the net may take. */
static cmodel_status count_elements(const context *c, const cmodel_net *net, cmodel_shape *shape) {
    uint64_t elements = 1, most = net->max_memory / sizeof(float);
    if (most > SIZE_MAX / 16)
        most = SIZE_MAX / 16;
    for (unsigned i = 0; i < shape->rank; i++) {
        if (shape->extents[i] == 0)
            return fail(c, CMODEL_BAD_MANIFEST, "a blob has an extent of 0, or none that is known");
        if (shape->extents[i] > most / elements)
            return fail(c, CMODEL_LIMIT_MEMORY, "a blob takes more than %llu bytes",
                        (unsigned long long)(most * sizeof(float)));
        elements *= shape->extents[i];
    }
    shape->elements = (size_t)elements;
    return CMODEL_OK;
}

static cmodel_status add_blob(const context *c, cmodel_net *net, bytes name, const cmodel_shape *shape, size_t maker,
                              size_t view_of) {
    blob made = {name, *shape, maker, 0, view_of, NONE};
    TRY(count_elements(c, net, &made.shape));
    if (net->blob_count == MOST_BLOBS)
        return fail(c, CMODEL_LIMIT_MEMORY, "the network has more than %d blobs", MOST_BLOBS);
    TRY(grow(c, &net->blobs, &net->blob_room, net->blob_count, sizeof *net->blobs));
    net->output = net->blob_count;
    net->blobs[net->blob_count++] = made;
    return CMODEL_OK;
}

cmodel_status add_input(const context *c, cmodel_net *net, bytes name, const cmodel_shape *shape) {
    cmodel_shape one = *shape;
    if (net->input != NONE)
        return fail(c, CMODEL_UNKNOWN_FEATURE, "the network has more than one input");
    if (one.rank == 0)
        return fail(c, CMODEL_UNKNOWN_FEATURE, "the network does not state the shape of its input");
    one.extents[0] = 1;
    net->input = net->blob_count;
    return add_blob(c, net, name, &one, NONE, NONE);
}

cmodel_status add_tensor(const context *c, const cmodel *file, cmodel_net *net, size_t tensor, uint64_t elements) {
    cmodel_tensor described;
    if (net->offsets[tensor] != NONE)
        return CMODEL_OK;
    cmodel_describe(file, tensor, &described);
    if (described.part_count != 1)
        return fail(c, CMODEL_UNKNOWN_FEATURE, "tensor %zu is held rotated", tensor);
    if (elements > (SIZE_MAX / 16 - net->weight_elements) ||
        elements > net->max_memory / sizeof(float) - net->weight_elements)
        return fail(c, CMODEL_LIMIT_MEMORY, "the weights take more than %llu bytes",
                    (unsigned long long)net->max_memory);
    net->offsets[tensor] = net->weight_elements;
    net->weight_elements += (size_t)elements;
    return CMODEL_OK;
}

/* Blobs 0 and 1 of a layer: weights, and a bias where `biased`. */
static cmodel_status add_weights(const call *call, uint64_t weights, uint64_t biases, bool biased, step *step) {
    uint64_t expected[2] = {weights, biases};
    for (unsigned i = 0; i < (biased ? 2 : 1); i++) {
        cmodel_tensor described;
        size_t tensor;
        if (!cmodel_find(call->file, call->layer->index, i, &tensor))
            return unfit(call, i == 0 ? "it has no weights" : "it has no bias");
        cmodel_describe(call->file, tensor, &described);
        if (described.elements != expected[i])
            return unfit(call, i == 0 ? "its weights do not fit its input" : "its bias does not fit its output");
        TRY(add_tensor(call->c, call->file, call->net, tensor, described.elements));
        step->tensors[i] = tensor;
    }
    return CMODEL_OK;
}

/* Add a step that makes one blob of that shape; `work` operations for each of its elements. */
static cmodel_status add_step(const call *call, step *step, const cmodel_shape *top, uint64_t work) {
    cmodel_net *net = call->net;
    if (call->top_count != 1)
        return unknown(call, "it does not have one output");
    if (net->step_count == MOST_STEPS)
        return fail(call->c, CMODEL_LIMIT_MEMORY, "the network has more than %d layers", MOST_STEPS);
    step->first_bottom = net->bottom_count;
    step->bottom_count = call->bottom_count;
    step->top = net->blob_count;
    for (size_t i = 0; i < call->bottom_count; i++) {
        TRY(grow(call->c, &net->bottoms, &net->bottom_room, net->bottom_count, sizeof *net->bottoms));
        net->bottoms[net->bottom_count++] = call->bottoms[i];
        net->blobs[call->bottoms[i]].last_read = net->step_count;
    }
    TRY(add_blob(call->c, net, call->tops[0], top, net->step_count, NONE));
    uint64_t elements = net->blobs[net->output].shape.elements;
    if (work > (UINT64_MAX - net->operations) / elements)
        return fail(call->c, CMODEL_LIMIT_MEMORY, "the network takes more than 2^64 operations");
    net->operations += work * elements;
    TRY(grow(call->c, &net->steps, &net->step_room, net->step_count, sizeof *net->steps));
    net->steps[net->step_count++] = *step;
    return CMODEL_OK;
}

/* Every top is the bottom's values under another name, and perhaps in another shape. */
static cmodel_status add_views(const call *call, const cmodel_shape *shape) {
    cmodel_shape copy = *shape; /* the list of blobs moves */
    if (call->top_count == 0)
        return unfit(call, "it has no output");
    call->net->blobs[call->bottoms[0]].last_read = call->net->step_count;
    for (size_t i = 0; i < call->top_count; i++)
        TRY(add_blob(call->c, call->net, call->tops[i], &copy, NONE, call->bottoms[0]));
    return CMODEL_OK;
}

/* ---- Windows ---- */

/* Height and width of a setting: two fields where one of them is stated, else one that is repeated. */
static cmodel_status read_pair(const call *call, unsigned both, unsigned height, uint32_t usual, uint32_t least,
                               size_t pair[2]) {
    const setting *settings = call->layer->settings, *one = &settings[both];
    bool apart = height > 0 && (settings[height].count > 0 || settings[height + 1].count > 0);
    if (one->count > 2)
        return unknown(call, "it goes over more than height and width");
    if (apart && one->count > 0)
        return unfit(call, "a size is stated twice");
    pair[0] = apart ? settings[height].last : one->count > 0 ? one->first : usual;
    pair[1] = apart ? settings[height + 1].last : one->count > 0 ? one->last : usual;
    for (int i = 0; i < 2; i++) {
        if (pair[i] < least)
            return unfit(call, "a kernel, stride or dilation is 0");
        if (pair[i] > MOST_WINDOW)
            return unknown(call, "a kernel, stride, pad or dilation is above 65,535");
    }
    return CMODEL_OK;
}

/* Bounds are 2^16 for windows and SIZE_MAX / 16 for extents, so that nothing here overflows. */
static cmodel_status convolution(const call *call) {
    const cmodel_shape *bottom = shape_of(call, 0);
    step step = {.kind = CONVOLUTION, .tensors = {NONE, NONE}};
    window *window = &step.window;
    size_t axis = 0, outputs = number(call, 1, 0), groups = number(call, 5, 1), biased = number(call, 2, 1);
    if (bottom->rank != 4)
        return unknown(call, "its input is not images x channels x height x width");
    TRY(read_axis(call, 16, 1, bottom->rank, &axis));
    if (axis != 1)
        return unknown(call, "its channels are not on axis 1");
    TRY(read_pair(call, 4, 11, 0, 1, window->kernel));
    TRY(read_pair(call, 6, 13, 1, 1, window->stride));
    TRY(read_pair(call, 3, 9, 0, 0, window->pad));
    TRY(read_pair(call, 18, 0, 1, 1, window->dilation));
    if (groups == 0 || outputs == 0 || bottom->extents[1] % groups != 0 || outputs % groups != 0)
        return unfit(call, "its groups do not divide its channels");
    step.groups = groups;
    cmodel_shape top = {4, {1, outputs, 0, 0}, 0};
    for (int i = 0; i < 2; i++) {
        int64_t extent = ((int64_t)window->kernel[i] - 1) * (int64_t)window->dilation[i] + 1;
        int64_t room = (int64_t)bottom->extents[2 + i] + 2 * (int64_t)window->pad[i] - extent;
        if (room < 0)
            return unfit(call, "its kernel is larger than its input");
        top.extents[2 + i] = (size_t)(room / (int64_t)window->stride[i] + 1);
    }
    uint64_t depth, weights;
    if (!multiply(bottom->extents[1] / groups, (uint64_t)window->kernel[0] * window->kernel[1], &depth) ||
        !multiply(outputs, depth, &weights))
        return unfit(call, "its weights do not fit its input");
    TRY(add_weights(call, weights, outputs, biased != 0, &step));
    return add_step(call, &step, &top, depth);
}

static cmodel_status pooling(const call *call) {
    const cmodel_shape *bottom = shape_of(call, 0);
    uint32_t method = number(call, 1, 0);
    step step = {.kind = method == 0 ? MAX_POOLING : AVERAGE_POOLING, .tensors = {NONE, NONE}};
    window *window = &step.window;
    if (bottom->rank != 4)
        return unknown(call, "its input is not images x channels x height x width");
    if (method > 1)
        return unknown(call, "it pools neither MAX nor AVE");
    TRY(read_pair(call, 3, 7, 1, 1, window->stride));
    TRY(read_pair(call, 4, 9, 0, 0, window->pad));
    if (number(call, 12, 0) != 0) {
        const setting *settings = call->layer->settings;
        if (settings[2].count + settings[5].count + settings[6].count > 0 || window->stride[0] * window->stride[1] != 1 ||
            window->pad[0] + window->pad[1] > 0)
            return unfit(call, "global pooling takes no kernel size, stride or pad");
        memcpy(window->kernel, &bottom->extents[2], sizeof window->kernel);
    } else {
        TRY(read_pair(call, 2, 5, 0, 1, window->kernel));
    }
    cmodel_shape top = {4, {1, bottom->extents[1], 0, 0}, 0};
    bool padded = window->pad[0] + window->pad[1] > 0;
    uint64_t area = 1;
    for (int i = 0; i < 2; i++) {
        int64_t size = (int64_t)bottom->extents[2 + i], kernel = (int64_t)window->kernel[i];
        int64_t stride = (int64_t)window->stride[i], pad = (int64_t)window->pad[i], room = size + 2 * pad - kernel;
        if (pad >= kernel)
            return unfit(call, "its pad is not smaller than its kernel");
        if (room < 0 && room <= -stride)
            return unfit(call, "its kernel is larger than its input");
        int64_t count = number(call, 13, 0) == 1 ? (room < 0 ? -1 : room / stride) + 1
                        : room < 0               ? 1
                                                 : (room + stride - 1) / stride + 1;
        /* Any pad makes Caffe drop a last window that begins in it. */
        if (padded && (count - 1) * stride >= size + pad)
            count--;
        if (count < 1)
            return unfit(call, "its kernel is larger than its input");
        if ((count - 1) * stride - pad >= size)
            return unknown(call, "a window lies beside its input");
        top.extents[2 + i] = (size_t)count;
        area *= (uint64_t)(kernel < size ? kernel : size);
    }
    return add_step(call, &step, &top, area);
}

/* ---- The others ---- */

static cmodel_status inner_product(const call *call) {
    const cmodel_shape *bottom = shape_of(call, 0);
    step step = {.kind = INNER_PRODUCT, .tensors = {NONE, NONE}, .transposed = number(call, 6, 0) != 0};
    size_t outputs = number(call, 1, 0);
    TRY(read_axis(call, 5, 1, bottom->rank, &step.axis));
    cmodel_shape top = *bottom;
    top.rank = (unsigned)step.axis + 1;
    top.extents[step.axis] = outputs;
    uint64_t depth = elements_between(bottom, step.axis, bottom->rank), weights;
    if (outputs == 0 || !multiply(outputs, depth, &weights))
        return unfit(call, "its weights do not fit its input");
    TRY(add_weights(call, weights, outputs, number(call, 2, 1) != 0, &step));
    return add_step(call, &step, &top, depth);
}

/* What works on each element alone may write over its input, and does where Caffe does. */
static cmodel_status relu(const call *call) {
    step step = {.kind = RELU, .tensors = {NONE, NONE}, .in_place = true};
    uint32_t bits = number(call, 1, 0);
    memcpy(&step.slope, &bits, sizeof bits);
    cmodel_shape top = *shape_of(call, 0);
    return add_step(call, &step, &top, 1);
}

static cmodel_status softmax(const call *call) {
    step step = {.kind = SOFTMAX, .tensors = {NONE, NONE}, .in_place = true};
    TRY(read_axis(call, 2, 1, shape_of(call, 0)->rank, &step.axis));
    cmodel_shape top = *shape_of(call, 0);
    return add_step(call, &step, &top, 3);
}

static cmodel_status eltwise(const call *call) {
    step step = {.kind = SUM, .tensors = {NONE, NONE}, .in_place = true};
    cmodel_shape top = *shape_of(call, 0);
    if (number(call, 1, 1) != 1 || call->layer->settings[2].count > 0)
        return unknown(call, "it is not a sum without coefficients");
    for (size_t i = 1; i < call->bottom_count; i++) {
        const cmodel_shape *other = shape_of(call, i);
        if (other->rank != top.rank || memcmp(other->extents, top.extents, top.rank * sizeof *top.extents) != 0)
            return unfit(call, "its inputs do not have one shape");
    }
    return add_step(call, &step, &top, call->bottom_count);
}

static cmodel_status concat(const call *call) {
    step step = {.kind = CONCAT, .tensors = {NONE, NONE}};
    cmodel_shape top = *shape_of(call, 0);
    unsigned field = call->layer->settings[1].count > 0 ? 1 : 2; /* concat_dim is older */
    TRY(read_axis(call, field, 1, top.rank, &step.axis));
    for (size_t i = 1; i < call->bottom_count; i++) {
        const cmodel_shape *other = shape_of(call, i);
        for (size_t k = 0; k < top.rank; k++)
            if (other->rank != top.rank || (k != step.axis && other->extents[k] != top.extents[k]))
                return unfit(call, "its inputs do not fit together");
        if (other->extents[step.axis] > SIZE_MAX / 16 - top.extents[step.axis])
            return fail(call->c, CMODEL_LIMIT_MEMORY, "a blob is too large for this machine");
        top.extents[step.axis] += other->extents[step.axis];
    }
    return add_step(call, &step, &top, 1);
}

static cmodel_status same_values(const call *call) {
    return add_views(call, shape_of(call, 0));
}

static cmodel_status flatten(const call *call) {
    const cmodel_shape *bottom = shape_of(call, 0);
    size_t first = 0, last = 0;
    TRY(read_axis(call, 1, 1, bottom->rank, &first));
    TRY(read_axis(call, 2, -1, bottom->rank, &last));
    if (last < first)
        return unfit(call, "its axes end before they begin");
    cmodel_shape top = *bottom;
    top.extents[first] = elements_between(bottom, first, last + 1);
    for (size_t i = last + 1; i < bottom->rank; i++)
        top.extents[first + i - last] = bottom->extents[i];
    top.rank = (unsigned)(bottom->rank - (last - first));
    return add_views(call, &top);
}

static const struct {
    const char *type;
    cmodel_status (*add)(const call *call);
    bool several; /* bottoms */
} types[] = {
    {"Convolution", convolution, false}, {"InnerProduct", inner_product, false}, {"Pooling", pooling, false},
    {"ReLU", relu, false},               {"Softmax", softmax, false},            {"Concat", concat, true},
    {"Eltwise", eltwise, true},          {"Dropout", same_values, false},        {"Split", same_values, false},
    {"Flatten", flatten, false},
};

cmodel_status add_layer(const context *c, const cmodel *file, cmodel_net *net, const layer_fields *layer,
                        const size_t *bottoms, size_t bottom_count, const bytes *tops, size_t top_count) {
    call call = {c, file, net, layer, bottoms, bottom_count, tops, top_count};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t size = strlen(types[i].type);
        if (layer->type.size != size || memcmp(layer->type.data, types[i].type, size) != 0)
            continue;
        if (bottom_count == 0 || (bottom_count > 1 && !types[i].several))
            return unknown(&call, bottom_count == 0 ? "it has no input" : "it has several inputs");
        return types[i].add(&call);
    }
    char why[64];
    size_t size = 0;
    static const char start[] = "this runtime does not have the type ";
    memcpy(why, start, sizeof start);
    for (size = sizeof start - 1; size < sizeof why - 1 && size - (sizeof start - 1) < layer->type.size; size++) {
        uint8_t byte = layer->type.data[size - (sizeof start - 1)];
        why[size] = byte >= 0x20 && byte < 0x7F ? (char)byte : '?';
    }
    why[size] = 0;
    return unknown(&call, why);
}
