/* The library: see cmodel_reader.h. */
#include "cmodel_reader.h"

#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cmodel {
    crc_tables crc;
    uint64_t max_memory;
    section_table table;
    manifest manifest;
    directory directory;
};

static context context_of(const cmodel *file, cmodel_error *error) {
    context c = {error, &file->crc, file->max_memory, file->table.sections};
    memset(error, 0, sizeof *error);
    return c;
}

const char *cmodel_status_name(cmodel_status status) {
    static const char *const names[] = {"ok",       "bad-signature", "bad-version", "bad-header",      "truncated",
                                        "trailing-data", "checksum", "bad-manifest", "bad-stream", "unknown-feature",
                                        "limit-memory"};
    return names[status];
}

static cmodel_status open_content(context *c, cmodel *file, bytes data) {
    TRY(read_file(c, data, &file->table));
    c->sections = file->table.sections;
    TRY(check_section(c, 0));
    TRY(read_manifest(c, &file->table.sections[0], &file->manifest));
    return read_directory(c, &file->manifest, &file->table, &file->directory);
}

cmodel_status cmodel_open(const void *data, size_t size, uint64_t max_memory, cmodel **file, cmodel_error *error) {
    bytes content = {data, size};
    *file = calloc(1, sizeof **file);
    if (*file == NULL) {
        context none = {error, NULL, 0, NULL};
        return fail(&none, CMODEL_LIMIT_MEMORY, "no memory for a reader");
    }
    (*file)->max_memory = max_memory;
    crc_make(&(*file)->crc);
    context c = context_of(*file, error);
    cmodel_status status = open_content(&c, *file, content);
    if (status != CMODEL_OK) {
        cmodel_close(*file);
        *file = NULL;
    }
    return status;
}

void cmodel_close(cmodel *file) {
    if (file == NULL)
        return;
    free(file->table.sections);
    free_manifest(&file->manifest);
    free(file->directory.tensors);
    free(file->directory.owners[0]);
    free(file->directory.owners[1]);
    free(file);
}

cmodel_status cmodel_check_sections(cmodel *file, cmodel_error *error) {
    context c = context_of(file, error);
    for (size_t i = 0; i < file->table.count; i++) {
        const section *section = &file->table.sections[i];
        TRY(check_section(&c, i));
        if ((section->type == SECTION_NOTES || section->type == SECTION_LABELS) && section->flags & SECTION_DEFLATED) {
            uint8_t *text;
            cmodel_status status = inflate_section(&c, section, &text);
            free(text);
            TRY(status);
        }
    }
    return CMODEL_OK;
}

size_t cmodel_tensor_count(const cmodel *file) {
    return file->directory.count;
}

/* Read an entry again, as it was read when the file was opened: its tables are in the directory already. */
static cmodel_status entry_of(const context *c, const cmodel *file, size_t index, tensor_entry *entry) {
    directory known = file->directory;
    place place = known.tensors[index].place;
    return read_entry(c, &known, &place, entry);
}

static cmodel_part part_of(const char *name, unsigned rank, const uint64_t *shape, uint64_t elements) {
    cmodel_part part = {name, rank, {0}, elements};
    memcpy(part.shape, shape, rank * sizeof *shape);
    return part;
}

void cmodel_describe(const cmodel *file, size_t index, cmodel_tensor *tensor) {
    cmodel_error error;
    context c = context_of(file, &error);
    tensor_entry entry;
    const form *form = &entry.forms[0];
    memset(tensor, 0, sizeof *tensor);
    if (entry_of(&c, file, index, &entry) != CMODEL_OK)
        return; /* never: it was read when the file was opened */
    tensor->rank = entry.rank;
    memcpy(tensor->shape, entry.shape, sizeof tensor->shape);
    tensor->elements = entry.elements;
    tensor->form = form->kind;
    tensor->crc32 = file->directory.tensors[index].crc;
    tensor->part_count = 1;
    tensor->parts[0] = part_of("", entry.rank, entry.shape, entry.elements);
    if (form->rotation != NULL) {
        uint64_t blocks[2] = {form->rows, form->depth}, rotation[2] = {form->depth, form->depth};
        tensor->part_count = 2;
        tensor->parts[0] = part_of("blocks", 2, blocks, entry.elements);
        tensor->parts[1] = part_of("rotation", 2, rotation, form->rotation->elements);
    }
}

size_t cmodel_name(const cmodel *file, size_t index, char *name, size_t room) {
    const tensor_place *place = &file->directory.tensors[index];
    bytes first = {(const uint8_t *)":mean", 5};
    char suffix[16], blob[24];
    size_t sizes[3] = {first.size, 0, 0}, whole = 0;
    if (place->layer < file->manifest.layer_count) {
        const layer *layer = &file->manifest.layers[place->layer];
        first = layer->name;
        sizes[0] = first.size;
        sizes[1] = name_suffix(layer->number, suffix);
        sizes[2] = (size_t)snprintf(blob, sizeof blob, "/%llu", (unsigned long long)place->blob);
    }
    const void *pieces[3] = {first.data, suffix, blob};
    for (int i = 0; i < 3; whole += sizes[i++])
        if (whole < room && sizes[i] > 0)
            memcpy(name + whole, pieces[i], sizes[i] < room - whole ? sizes[i] : room - whole);
    return whole;
}

const void *cmodel_manifest(const cmodel *file, size_t *size) {
    *size = file->manifest.whole.size;
    return file->manifest.whole.data;
}

bool cmodel_find(const cmodel *file, uint64_t layer, uint64_t blob, size_t *index) {
    const manifest *manifest = &file->manifest;
    if (find_tensor(&file->directory, layer, blob, index))
        return true;
    if (layer >= manifest->layer_count)
        return false;
    for (size_t i = manifest->layers[layer].parameters; i < manifest->parameter_count; i++) {
        const named_parameter *parameter = &manifest->parameters[i], *owner = &manifest->parameters[parameter->owner];
        if (parameter->layer != layer)
            return false;
        if (parameter->blob == blob)
            return find_tensor(&file->directory, owner->layer, owner->blob, index);
    }
    return false;
}

uint32_t cmodel_crc32(const cmodel *file, const float *values, uint64_t count) {
    return crc_of_values(&file->crc, values, count);
}

cmodel_status cmodel_decode(cmodel *file, size_t index, unsigned part, float *values, uint64_t capacity,
                            cmodel_error *error) {
    context c = context_of(file, error);
    tensor_entry entry;
    TRY(entry_of(&c, file, index, &entry));
    const form *form = part == 0 ? &entry.forms[0] : entry.forms[0].rotation;
    if (capacity < form->elements)
        return fail(&c, CMODEL_LIMIT_MEMORY, "the tensor has %llu elements, the buffer takes %llu",
                    (unsigned long long)form->elements, (unsigned long long)capacity);
    TRY(check_section(&c, file->directory.tensors[index].place.section));
    TRY(decode_form(&c, &entry, form, values));
    uint32_t crc = file->directory.tensors[index].crc;
    if (part == 0 && crc_of_values(&file->crc, values, form->elements) != crc)
        return fail(&c, CMODEL_CHECKSUM, "the CRC-32 of a decoded tensor does not match");
    return CMODEL_OK;
}
