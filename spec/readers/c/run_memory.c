/* Where the blobs lie: each in a piece of the arena, pieces that are never needed at once in one place. */
#include "run_internal.h"

#include <string.h>

enum { ALIGNMENT = 4 }; /* floats */

/* Whether a blob that lies in a storage already is read after a step. */
static bool is_read_after(const cmodel_net *net, size_t blobs, size_t storage, size_t step) {
    for (size_t i = 0; i < blobs; i++)
        if (net->blobs[i].storage == storage && net->blobs[i].last_read > step)
            return true;
    return false;
}

/* Give every blob its storage: a view that of its blob, and an element-wise layer's output that of its
 * input where nothing reads this later. */
static cmodel_status assign_storages(const context *c, cmodel_net *net) {
    for (size_t i = 0; i < net->blob_count; i++) {
        blob *made = &net->blobs[i];
        size_t shared = made->view_of == NONE ? NONE : net->blobs[made->view_of].storage;
        if (made->maker != NONE && net->steps[made->maker].in_place) {
            const blob *input = &net->blobs[net->bottoms[net->steps[made->maker].first_bottom]];
            bool later = is_read_after(net, i, input->storage, made->maker);
            /* Caffe's views share memory, so that a layer in place would change what others read. */
            if (later && input->name.size == made->name.size &&
                memcmp(input->name.data, made->name.data, made->name.size) == 0)
                return fail(c, CMODEL_UNKNOWN_FEATURE,
                            "a layer changes in place what another one reads under another name");
            if (!later)
                shared = input->storage;
        }
        if (shared == NONE) {
            size_t first = made->maker == NONE ? 0 : made->maker;
            net->storages[net->storage_count] = (storage){made->shape.elements, NONE, first, first};
            shared = net->storage_count++;
        }
        made->storage = shared;
        storage *place = &net->storages[shared];
        size_t last = i == net->output ? net->step_count : made->last_read;
        if (last > place->last)
            place->last = last;
    }
    return CMODEL_OK;
}

/* The lowest offset at which a storage is free of those that are placed and needed at the same time. */
static size_t free_offset(const cmodel_net *net, const storage *placed) {
    size_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < net->storage_count; i++) {
            const storage *other = &net->storages[i];
            if (other->offset == NONE || other->last < placed->first || placed->last < other->first ||
                other->offset >= offset + placed->elements || offset >= other->offset + other->elements)
                continue;
            offset = (other->offset + other->elements + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
            moved = true;
        }
    }
    return offset;
}

cmodel_status plan_memory(const context *c, cmodel_net *net) {
    uint64_t most = net->max_memory / sizeof(float) - net->weight_elements;
    if (most > SIZE_MAX / 16)
        most = SIZE_MAX / 16;
    net->storages = allocate(c, net->blob_count, sizeof *net->storages);
    if (net->storages == NULL)
        return c->error->status;
    TRY(assign_storages(c, net));
    for (size_t done = 0; done < net->storage_count; done++) { /* the largest first */
        storage *next = NULL;
        for (size_t i = 0; i < net->storage_count; i++)
            if (net->storages[i].offset == NONE && (next == NULL || net->storages[i].elements > next->elements))
                next = &net->storages[i];
        next->offset = free_offset(net, next);
        /* Both terms are at most SIZE_MAX / 16, as the blobs' sizes and what was placed before are. */
        size_t end = next->offset + next->elements;
        if (end > most)
            return fail(c, CMODEL_LIMIT_MEMORY, "weights and blobs take more than %llu bytes",
                        (unsigned long long)net->max_memory);
        if (end > net->arena_elements)
            net->arena_elements = end;
    }
    return CMODEL_OK;
}
