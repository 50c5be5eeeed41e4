/* Chapter 3: the manifest, read from the wire format of Protocol Buffers: layers, their names and the
 * names of their parameters, the tensor directory, required features. Other fields are skipped. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 100 };

static cmodel_status broken(const context *c, const char *what) {
    return fail(c, CMODEL_BAD_MANIFEST, "the manifest does not parse: %s", what);
}

static cmodel_status read_tag(const context *c, bytes *input, field *field) {
    uint64_t tag;
    if (!take_varint(input, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
        return broken(c, "a bad tag");
    field->number = (uint32_t)(tag >> 3);
    field->wire = (unsigned)(tag & 7);
    return CMODEL_OK;
}

static cmodel_status read_value(const context *c, bytes *input, field *field) {
    bytes word;
    bool good;
    field->data.data = NULL;
    field->data.size = 0;
    switch (field->wire) {
    case VARINT:
        good = take_varint(input, &field->value);
        break;
    case FIXED64:
        good = take_bytes(input, 8, &word);
        if (good)
            field->value = load64(word.data);
        break;
    case FIXED32:
        good = take_bytes(input, 4, &word);
        if (good)
            field->value = load32(word.data);
        break;
    case BYTES:
        good = take_varint(input, &field->value) && take_bytes(input, field->value, &field->data);
        break;
    default:
        good = false;
    }
    return good ? CMODEL_OK : broken(c, "a field that does not end, or of an unknown wire type");
}

/* Skip what follows the start of a group, up to its end. */
static cmodel_status skip_group(const context *c, bytes *input, uint32_t number, unsigned depth) {
    uint32_t open[DEEPEST + 1];
    unsigned opened = 0;
    open[opened++] = number;
    while (opened > 0) {
        field inner;
        if (depth + opened > DEEPEST)
            return broken(c, "messages within messages more than 100 deep");
        TRY(read_tag(c, input, &inner));
        if (inner.wire == GROUP)
            open[opened++] = inner.number;
        else if (inner.wire != GROUP_END)
            TRY(read_value(c, input, &inner));
        else if (open[--opened] != inner.number)
            return broken(c, "the end of another group");
    }
    return CMODEL_OK;
}

cmodel_status next_field(const context *c, bytes *input, unsigned depth, field *field) {
    TRY(read_tag(c, input, field));
    if (field->wire != GROUP)
        return read_value(c, input, field);
    field->data.size = 0;
    return skip_group(c, input, field->number, depth);
}

static bool is_utf8(bytes text) {
    for (size_t i = 0; i < text.size;) {
        uint8_t lead = text.data[i++];
        unsigned more = lead < 0x80 ? 0 : lead >= 0xC2 && lead < 0xE0 ? 1 : lead >= 0xE0 && lead < 0xF0 ? 2
                        : lead >= 0xF0 && lead < 0xF5 ? 3 : 4;
        if (more > 3 || more > text.size - i)
            return false;
        uint32_t point = more == 0 ? lead : lead & (0x3Fu >> more);
        for (unsigned k = 0; k < more; k++, i++) {
            if ((text.data[i] & 0xC0) != 0x80)
                return false;
            point = point << 6 | (text.data[i] & 0x3Fu);
        }
        if ((more == 2 && (point < 0x800 || (point >= 0xD800 && point < 0xE000))) ||
            (more == 3 && (point < 0x10000 || point > 0x10FFFF)))
            return false;
    }
    return true;
}

static cmodel_status read_text(const context *c, const field *field, bytes *text) {
    if (!is_utf8(field->data))
        return broken(c, "a name is not UTF-8");
    *text = field->data;
    return CMODEL_OK;
}

static cmodel_status read_parameter(const context *c, bytes input, manifest *manifest, uint64_t blob) {
    bytes name = {NULL, 0};
    while (input.size > 0) {
        field field;
        TRY(next_field(c, &input, 3, &field));
        if (field.number == 1 && field.wire == BYTES)
            TRY(read_text(c, &field, &name));
    }
    if (name.size == 0)
        return CMODEL_OK;
    TRY(grow(c, &manifest->parameters, &manifest->parameter_room, manifest->parameter_count,
             sizeof *manifest->parameters));
    named_parameter *parameter = &manifest->parameters[manifest->parameter_count++];
    parameter->name = name;
    parameter->blob = blob;
    parameter->layer = manifest->layer_count;
    parameter->owner = 0;
    return CMODEL_OK;
}

static cmodel_status read_layer(const context *c, bytes input, manifest *manifest) {
    layer read = {{NULL, 0}, 0, 1, manifest->parameter_count};
    uint64_t parameters = 0;
    while (input.size > 0) {
        field field;
        TRY(next_field(c, &input, 2, &field));
        if (field.wire != BYTES)
            continue;
        if (field.number == 1)
            TRY(read_text(c, &field, &read.name));
        else if (field.number == 6)
            TRY(read_parameter(c, field.data, manifest, parameters++));
        else if (field.number == 7)
            return fail(c, CMODEL_BAD_MANIFEST, "layer %zu of the network has blobs", manifest->layer_count);
    }
    TRY(grow(c, &manifest->layers, &manifest->layer_room, manifest->layer_count, sizeof *manifest->layers));
    manifest->layers[manifest->layer_count++] = read;
    return CMODEL_OK;
}

static cmodel_status read_network(const context *c, bytes input, manifest *manifest) {
    while (input.size > 0) {
        field field;
        TRY(next_field(c, &input, 1, &field));
        if (field.number == 100 && field.wire == BYTES)
            TRY(read_layer(c, field.data, manifest));
        else if (field.number == 2 && field.wire == BYTES)
            return fail(c, CMODEL_BAD_MANIFEST, "the network has layers of the layout V0 or V1");
    }
    return CMODEL_OK;
}

static cmodel_status read_transform(const context *c, bytes input, manifest *manifest) {
    while (input.size > 0) {
        field field;
        TRY(next_field(c, &input, 1, &field));
        bool doubles = field.number == 5 || field.number == 6;
        if (doubles && field.wire == BYTES && field.data.size % 8 != 0)
            return broken(c, "packed doubles of a size that 8 does not divide");
        if (field.number == 6 && (field.wire == FIXED64 || field.data.size > 0))
            manifest->has_mean_values = true;
    }
    return CMODEL_OK;
}

/* Of a field that our schema lacks only its layer is looked at: 1 + its index, 0 for the network. */
static cmodel_status read_unknown(const context *c, bytes input, manifest *manifest) {
    uint32_t of_layer = 0;
    while (input.size > 0) {
        field field;
        TRY(next_field(c, &input, 1, &field));
        if (field.number == 1 && field.wire == VARINT)
            of_layer = (uint32_t)field.value;
    }
    if (of_layer > manifest->unknown_layer)
        manifest->unknown_layer = of_layer;
    return CMODEL_OK;
}

static cmodel_status refuse_required(const context *c, bytes name) {
    char shown[64];
    size_t size = name.size < sizeof shown - 1 ? name.size : sizeof shown - 1;
    for (size_t i = 0; i < size; i++)
        shown[i] = name.data[i] >= 0x20 && name.data[i] < 0x7F ? (char)name.data[i] : '?';
    shown[size] = 0;
    return fail(c, CMODEL_UNKNOWN_FEATURE, "the file needs the feature \"%s\"", shown);
}

static cmodel_status read_message(const context *c, bytes input, manifest *manifest) {
    bytes required = {NULL, 0};
    bool has_required = false;
    while (input.size > 0) {
        field field;
        TRY(next_field(c, &input, 0, &field));
        if (field.wire != BYTES)
            continue;
        if (field.number == 1) {
            TRY(read_network(c, field.data, manifest));
        } else if (field.number == 2) {
            TRY(read_unknown(c, field.data, manifest));
        } else if (field.number == 3) {
            manifest->directory = field.data;
            manifest->has_directory = true;
        } else if (field.number == 4) {
            TRY(read_transform(c, field.data, manifest));
        } else if (field.number == 5 && !has_required) {
            required = field.data;
            has_required = true;
        }
    }
    if (has_required)
        return refuse_required(c, required);
    if (manifest->unknown_layer > manifest->layer_count)
        return fail(c, CMODEL_BAD_MANIFEST, "an unknown field of layer %lu of %zu",
                    (unsigned long)manifest->unknown_layer, manifest->layer_count);
    return CMODEL_OK;
}

cmodel_status read_manifest(const context *c, const section *section, manifest *manifest) {
    bytes text = section->stored;
    if (section->flags & SECTION_DEFLATED) {
        TRY(inflate_section(c, section, &manifest->text));
        text.data = manifest->text;
        text.size = (size_t)section->decoded_size;
    }
    manifest->whole = text;
    TRY(read_message(c, text, manifest));
    return name_layers(c, manifest);
}

void free_manifest(manifest *manifest) {
    free(manifest->text);
    free(manifest->layers);
    free(manifest->parameters);
}
