/* The walk through Caffe's NetParameter: inputs, and the layers that run at test time. */
#include "run_internal.h"

#include <stdlib.h>
#include <string.h>

enum { NETWORK = 1, LAYER = 2, MESSAGE = 3, INNER = 4 }; /* how deep messages stand in the manifest */

static bool is_named(bytes name, const char *text) {
    return name.size == strlen(text) && memcmp(name.data, text, name.size) == 0;
}

static bool same(bytes a, bytes b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

cmodel_status refuse_layer(const context *c, const layer_fields *layer, cmodel_status status, const char *why) {
    char shown[64];
    size_t size = layer->name.size < sizeof shown - 1 ? layer->name.size : sizeof shown - 1;
    for (size_t i = 0; i < size; i++)
        shown[i] = layer->name.data[i] >= 0x20 && layer->name.data[i] < 0x7F ? (char)layer->name.data[i] : '?';
    shown[size] = 0;
    return fail(c, status, "layer \"%s\": %s", shown, why);
}

/* ---- Numbers ---- */

static void add_setting(setting *settings, uint32_t number, uint64_t value) {
    if (number >= MOST_SETTINGS)
        return;
    setting *one = &settings[number];
    one->last = (uint32_t)value;
    if (one->count++ == 0)
        one->first = one->last;
}

/* Fields of numbers, packed ones too where bit `number` of `packed` is set. */
static cmodel_status read_settings(const context *c, bytes input, uint32_t packed, setting *settings) {
    while (input.size > 0) {
        field field;
        TRY(next_field(c, &input, MESSAGE, &field));
        if (field.wire == VARINT || field.wire == FIXED32)
            add_setting(settings, field.number, field.value);
        else if (field.wire == BYTES && field.number < 32 && packed >> field.number & 1)
            while (field.data.size > 0) {
                uint64_t value;
                if (!take_varint(&field.data, &value))
                    return fail(c, CMODEL_BAD_MANIFEST, "the network has packed numbers that do not end");
                add_setting(settings, field.number, value);
            }
    }
    return CMODEL_OK;
}

static cmodel_status add_extent(const context *c, cmodel_shape *shape, uint64_t extent) {
    if (shape->rank == CMODEL_NET_RANK)
        return fail(c, CMODEL_UNKNOWN_FEATURE, "the input has more than %d axes", CMODEL_NET_RANK);
    shape->extents[shape->rank++] = extent > SIZE_MAX ? 0 : (size_t)extent; /* 0 is refused later */
    return CMODEL_OK;
}

/* A BlobShape. */
static cmodel_status read_shape(const context *c, bytes input, cmodel_shape *shape) {
    while (input.size > 0) {
        field field;
        TRY(next_field(c, &input, INNER, &field));
        if (field.number != 1)
            continue;
        if (field.wire == VARINT)
            TRY(add_extent(c, shape, field.value));
        else if (field.wire == BYTES)
            while (field.data.size > 0) {
                uint64_t extent;
                if (!take_varint(&field.data, &extent))
                    return fail(c, CMODEL_BAD_MANIFEST, "the shape of the input does not end");
                TRY(add_extent(c, shape, extent));
            }
    }
    return CMODEL_OK;
}

/* ---- Layers ---- */

/* Whether a NetStateRule holds in the phase TEST, at level 0 and without stages. */
static cmodel_status read_rule(const context *c, bytes input, bool *holds) {
    *holds = true;
    while (input.size > 0) {
        field field;
        TRY(next_field(c, &input, MESSAGE, &field));
        int32_t number = field.wire == VARINT ? (int32_t)(uint32_t)field.value : 0;
        if ((field.number == 1 && field.wire == VARINT && number != 1) || (field.number == 2 && number > 0) ||
            (field.number == 3 && number < 0) || field.number == 4)
            *holds = false;
    }
    return CMODEL_OK;
}

/* The message that says how a layer of a type computes, and which of its fields may be packed. */
static const struct {
    const char *type;
    uint32_t number, packed;
} messages[] = {
    {"Convolution", 106, 1u << 3 | 1u << 4 | 1u << 6 | 1u << 18},
    {"InnerProduct", 117, 0},
    {"Pooling", 121, 0},
    {"ReLU", 123, 0},
    {"Softmax", 125, 0},
    {"Concat", 104, 0},
    {"Eltwise", 110, 1u << 2},
    {"Flatten", 135, 0},
};

static cmodel_status read_own_message(const context *c, bytes input, layer_fields *layer) {
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        if (!is_named(layer->type, messages[i].type))
            continue;
        while (input.size > 0) {
            field field;
            TRY(next_field(c, &input, LAYER, &field));
            if (field.number == messages[i].number && field.wire == BYTES)
                TRY(read_settings(c, field.data, messages[i].packed, layer->settings));
        }
    }
    return CMODEL_OK;
}

/* The newest blob of a name, or NONE. */
static size_t find_blob(const cmodel_net *net, bytes name) {
    for (size_t i = net->blob_count; i > 0; i--)
        if (same(net->blobs[i - 1].name, name))
            return i - 1;
    return NONE;
}

enum { BOTTOM = 3, TOP = 4, INCLUDE = 8, EXCLUDE = 9, INPUT_PARAM = 143, MOST_NAMES = 64 };

/* An Input layer: its top, and the shape of input_param. */
static cmodel_status read_input_layer(const context *c, bytes input, cmodel_net *net, const bytes *tops, size_t count) {
    cmodel_shape shape = {0, {0}, 0};
    while (input.size > 0) {
        field field;
        TRY(next_field(c, &input, LAYER, &field));
        if (field.number != INPUT_PARAM || field.wire != BYTES)
            continue;
        for (bytes param = field.data; param.size > 0;) {
            TRY(next_field(c, &param, MESSAGE, &field));
            if (field.number == 1 && field.wire == BYTES)
                TRY(read_shape(c, field.data, &shape));
        }
    }
    for (size_t i = 0; i < count; i++)
        TRY(add_input(c, net, tops[i], &shape));
    return CMODEL_OK;
}

static cmodel_status read_one_layer(const context *c, const cmodel *file, bytes input, size_t index, cmodel_net *net) {
    layer_fields layer;
    bytes names[2][MOST_NAMES]; /* bottoms, tops */
    size_t counts[2] = {0, 0}, bottoms[MOST_NAMES];
    bool included = false, excluded = false, has_include = false;
    memset(&layer, 0, sizeof layer);
    layer.index = index;
    for (bytes rest = input; rest.size > 0;) {
        field field;
        bool holds;
        TRY(next_field(c, &rest, LAYER, &field));
        if (field.wire != BYTES)
            continue;
        if (field.number == 1) {
            layer.name = field.data;
        } else if (field.number == 2) {
            layer.type = field.data;
        } else if (field.number == BOTTOM || field.number == TOP) {
            size_t side = field.number - BOTTOM;
            if (counts[side] == MOST_NAMES)
                return refuse_layer(c, &layer, CMODEL_UNKNOWN_FEATURE, "more than 64 blobs");
            names[side][counts[side]++] = field.data;
        } else if (field.number == INCLUDE || field.number == EXCLUDE) {
            TRY(read_rule(c, field.data, &holds));
            has_include |= field.number == INCLUDE;
            *(field.number == INCLUDE ? &included : &excluded) |= holds;
        }
    }
    if (has_include ? !included : excluded)
        return CMODEL_OK;
    if (is_named(layer.type, "Input"))
        return read_input_layer(c, input, net, names[1], counts[1]);
    for (size_t i = 0; i < counts[0]; i++) {
        bottoms[i] = find_blob(net, names[0][i]);
        if (bottoms[i] == NONE)
            return refuse_layer(c, &layer, CMODEL_BAD_MANIFEST, "no layer before it makes what it reads");
    }
    TRY(read_own_message(c, input, &layer));
    return add_layer(c, file, net, &layer, bottoms, counts[0], names[1], counts[1]);
}

/* ---- The network ---- */

/* Inputs that stand in the network itself: `input` with `input_shape` or four numbers `input_dim`. */
static cmodel_status read_inputs(const context *c, bytes input, cmodel_net *net) {
    cmodel_shape shape = {0, {0}, 0}, legacy = {0, {0}, 0};
    bytes name = {NULL, 0};
    size_t count = 0;
    while (input.size > 0) {
        field field;
        TRY(next_field(c, &input, NETWORK, &field));
        if (field.number == 3 && field.wire == BYTES) {
            name = field.data;
            count++;
        } else if (field.number == 4 && field.wire == VARINT) {
            TRY(add_extent(c, &legacy, field.value));
        } else if (field.number == 8 && field.wire == BYTES) {
            TRY(read_shape(c, field.data, &shape));
        }
    }
    if (count == 0)
        return CMODEL_OK;
    if (count > 1)
        return fail(c, CMODEL_UNKNOWN_FEATURE, "the network has %zu inputs instead of 1", count);
    return add_input(c, net, name, shape.rank > 0 ? &shape : &legacy);
}

cmodel_status read_layers(const context *c, const cmodel *file, cmodel_net *net) {
    bytes manifest;
    manifest.data = cmodel_manifest(file, &manifest.size);
    for (int inputs = 1; inputs >= 0; inputs--)
        for (bytes rest = manifest; rest.size > 0;) {
            field field;
            TRY(next_field(c, &rest, 0, &field));
            if (field.number != 1 || field.wire != BYTES)
                continue;
            bytes network = field.data;
            if (inputs)
                TRY(read_inputs(c, network, net));
            while (!inputs && network.size > 0) {
                TRY(next_field(c, &network, NETWORK, &field));
                if (field.number == 100 && field.wire == BYTES)
                    TRY(read_one_layer(c, file, field.data, net->layer_count++, net));
            }
        }
    if (net->input == NONE)
        return fail(c, CMODEL_UNKNOWN_FEATURE, "the network has no input");
    return CMODEL_OK;
}
