/* Chapter 4: the tensor directory. Here the places of the tensors; forms.c reads their forms. */
#include "internal.h"

#include <string.h>

static cmodel_status cut_short(const context *c) {
    return fail(c, CMODEL_BAD_MANIFEST, "the tensor directory ends early, or a varint in it is too large or long");
}

/* ---- Which blobs a layer has ---- */

bool find_tensor(const directory *directory, uint64_t layer, uint64_t blob, size_t *index) {
    size_t low = 0, high = directory->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const tensor_place *place = &directory->tensors[middle];
        if (place->layer < layer || (place->layer == layer && place->blob < blob))
            low = middle + 1;
        else
            high = middle;
    }
    *index = low;
    return low < directory->count && directory->tensors[low].layer == layer &&
           directory->tensors[low].blob == blob;
}

/* Whether a named parameter is a tensor that another layer owns. */
static bool is_shared(const manifest *manifest, const directory *directory, size_t index) {
    const named_parameter *parameter = &manifest->parameters[index];
    const named_parameter *owner = &manifest->parameters[parameter->owner];
    size_t tensor;
    return owner->layer != parameter->layer && find_tensor(directory, owner->layer, owner->blob, &tensor);
}

/* The blobs of a layer, stored and shared, are 0, 1, 2... */
static cmodel_status check_blobs(const context *c, const manifest *manifest, const directory *directory) {
    size_t tensor = 0, parameter = 0;
    for (size_t layer = 0; layer < manifest->layer_count; layer++)
        for (uint64_t blob = 0;; blob++) {
            while (parameter < manifest->parameter_count && manifest->parameters[parameter].layer == layer &&
                   !is_shared(manifest, directory, parameter))
                parameter++;
            bool more_shared =
                parameter < manifest->parameter_count && manifest->parameters[parameter].layer == layer;
            bool more_stored = tensor < directory->count && directory->tensors[tensor].layer == layer;
            bool shared = more_shared && manifest->parameters[parameter].blob == blob;
            bool stored = more_stored && directory->tensors[tensor].blob == blob;
            if (!more_shared && !more_stored)
                break;
            if (shared && stored)
                return fail(c, CMODEL_BAD_MANIFEST, "blob %llu of layer %zu is stored, and shared from an owner",
                            (unsigned long long)blob, layer);
            if (!shared && !stored)
                return fail(c, CMODEL_BAD_MANIFEST, "layer %zu has no blob %llu, but later ones", layer,
                            (unsigned long long)blob);
            parameter += shared;
            tensor += stored;
        }
    return CMODEL_OK;
}

/* ---- The tensors ---- */

static cmodel_status read_place(const context *c, const manifest *manifest, bytes *input, const tensor_place *before,
                                tensor_place *tensor, bool *begins_section) {
    uint64_t head, step;
    if (!take_shortest(input, LARGEST_SIZE, &head))
        return cut_short(c);
    step = head >> 2;
    *begins_section = (head & 2) != 0;
    tensor->layer = (before == NULL ? 0 : before->layer) + step;
    bool same_layer = before != NULL && step == 0;
    if (head & 1) {
        if (!take_shortest(input, LARGEST_SIZE, &tensor->blob))
            return cut_short(c);
    } else {
        tensor->blob = same_layer ? before->blob + 1 : 0;
    }
    if (tensor->layer > manifest->layer_count)
        return fail(c, CMODEL_BAD_MANIFEST, "a tensor of a layer that the network does not have");
    if (same_layer && tensor->blob <= before->blob)
        return fail(c, CMODEL_BAD_MANIFEST, "the blobs of a layer do not ascend");
    if (tensor->layer == manifest->layer_count && tensor->blob != 0)
        return fail(c, CMODEL_BAD_MANIFEST, "more than one mean image");
    return CMODEL_OK;
}

static cmodel_status next_section(const context *c, const section_table *table, place *at) {
    if (at->data.size > 0)
        return fail(c, CMODEL_BAD_MANIFEST, "bytes of section %zu belong to no tensor", at->section);
    do
        at->section++;
    while (at->section < table->count && table->sections[at->section].type != SECTION_DATA);
    if (at->section < table->count)
        at->data = table->sections[at->section].stored;
    return CMODEL_OK;
}

static cmodel_status check_mean(const context *c, const manifest *manifest, const tensor_entry *tensor) {
    if (tensor->rank != 3)
        return fail(c, CMODEL_BAD_MANIFEST, "the mean image has %u dimensions instead of 3", tensor->rank);
    if (manifest->has_mean_values)
        return fail(c, CMODEL_BAD_MANIFEST, "the input transform has mean values and a mean image");
    return CMODEL_OK;
}

/* Decoded elements of the tensors so far, and of the forms within them: those bound time, too. */
typedef struct {
    uint64_t tensors, inner;
    bool over; /* one of them is above the limit */
} amounts;

static void add_amounts(const context *c, const tensor_entry *tensor, amounts *all) {
    uint64_t limit = c->max_memory / 4, decoded = tensor->elements;
    if (tensor->forms[0].rotation != NULL)
        decoded += tensor->forms[0].rotation->elements;
    if (decoded > limit - all->tensors || tensor->inner_elements > limit - all->inner) {
        all->over = true;
    } else {
        all->tensors += decoded;
        all->inner += tensor->inner_elements;
    }
}

static cmodel_status read_tensors(const context *c, const manifest *manifest, const section_table *table,
                                  place *at, directory *directory) {
    uint64_t count;
    bytes checksums;
    amounts all = {0, 0, false};
    if (!take_shortest(&at->entry, LARGEST_SIZE, &count) || count > at->entry.size / 4 ||
        !take_bytes(&at->entry, 4 * count, &checksums))
        return cut_short(c);
    for (uint64_t i = 0; i < count; i++) {
        const tensor_place *before = i == 0 ? NULL : &directory->tensors[i - 1];
        tensor_place tensor;
        tensor_entry entry;
        bool begins_section = false;
        TRY(read_place(c, manifest, &at->entry, before, &tensor, &begins_section));
        if (begins_section)
            TRY(next_section(c, table, at));
        if (at->section == 0 || at->section == table->count)
            return fail(c, CMODEL_BAD_MANIFEST, "a tensor in a section that the file does not have");
        tensor.place = *at;
        tensor.crc = load32(checksums.data + 4 * i);
        TRY(read_entry(c, directory, at, &entry));
        if (tensor.layer == manifest->layer_count)
            TRY(check_mean(c, manifest, &entry));
        add_amounts(c, &entry, &all);
        TRY(grow(c, &directory->tensors, &directory->room, directory->count, sizeof *directory->tensors));
        directory->tensors[directory->count++] = tensor;
    }
    if (at->entry.size > 0)
        return fail(c, CMODEL_BAD_MANIFEST, "bytes follow the tensor directory");
    TRY(next_section(c, table, at));
    if (at->section < table->count)
        return fail(c, CMODEL_BAD_MANIFEST, "section %zu belongs to no tensor", at->section);
    TRY(check_blobs(c, manifest, directory));
    if (all.over)
        return fail(c, CMODEL_LIMIT_MEMORY, "the tensors take more than %llu bytes decoded",
                    (unsigned long long)c->max_memory);
    return CMODEL_OK;
}

cmodel_status read_directory(const context *c, const manifest *manifest, const section_table *table,
                             directory *directory) {
    static const uint8_t none[1] = {0};
    place start = {{none, 1}, {NULL, 0}, 0, {0, 0}};
    if (manifest->has_directory)
        start.entry = manifest->directory;
    return read_tensors(c, manifest, table, &start, directory);
}
