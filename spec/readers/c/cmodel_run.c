/* The runtime: see cmodel_run.h. */
#include "run_internal.h"

#include <stdlib.h>
#include <string.h>

static cmodel_status plan(const context *c, const cmodel *file, cmodel_net *net) {
    net->offsets = allocate(c, net->tensor_count, sizeof *net->offsets);
    if (net->offsets == NULL)
        return c->error->status;
    for (size_t i = 0; i < net->tensor_count; i++)
        net->offsets[i] = NONE;
    TRY(read_layers(c, file, net));
    TRY(read_preparation(c, file, net));
    return plan_memory(c, net);
}

cmodel_status cmodel_net_plan(const cmodel *file, uint64_t max_memory, cmodel_net **net, cmodel_error *error) {
    context c = {error, NULL, max_memory, NULL};
    memset(error, 0, sizeof *error);
    *net = calloc(1, sizeof **net);
    if (*net == NULL)
        return fail(&c, CMODEL_LIMIT_MEMORY, "no memory for a network");
    (*net)->max_memory = max_memory;
    (*net)->input = (*net)->output = NONE;
    (*net)->tensor_count = cmodel_tensor_count(file);
    cmodel_status status = plan(&c, file, *net);
    if (status != CMODEL_OK) {
        cmodel_net_free(*net);
        *net = NULL;
    }
    return status;
}

void cmodel_net_describe(const cmodel_net *net, cmodel_net_info *info) {
    info->input = net->blobs[net->input].shape;
    info->output = net->blobs[net->output].shape;
    info->weight_bytes = net->weight_elements * sizeof(float);
    info->arena_bytes = net->arena_elements * sizeof(float);
    info->operations = net->operations;
}

static cmodel_status own_memory(const context *c, size_t elements, void *given, void **own, float **used) {
    if (given == NULL && *own == NULL && (*own = allocate(c, elements, sizeof(float))) == NULL)
        return c->error->status;
    *used = given != NULL ? given : *own;
    return CMODEL_OK;
}

cmodel_status cmodel_net_load(cmodel_net *net, cmodel *file, void *weights, void *arena, cmodel_error *error) {
    context c = {error, NULL, net->max_memory, NULL};
    float *values = NULL, *blobs = NULL;
    memset(error, 0, sizeof *error);
    net->weights = net->arena = NULL;
    if (cmodel_tensor_count(file) != net->tensor_count)
        return fail(&c, CMODEL_BAD_MANIFEST, "the network was planned for another file");
    TRY(own_memory(&c, net->weight_elements, weights, &net->own_weights, &values));
    TRY(own_memory(&c, net->arena_elements, arena, &net->own_arena, &blobs));
    for (size_t i = 0; i < net->tensor_count; i++)
        if (net->offsets[i] != NONE)
            TRY(cmodel_decode(file, i, 0, values + net->offsets[i], net->weight_elements - net->offsets[i], error));
    net->weights = values;
    net->arena = blobs;
    return CMODEL_OK;
}

void cmodel_net_free(cmodel_net *net) {
    if (net == NULL)
        return;
    free(net->blobs);
    free(net->steps);
    free(net->bottoms);
    free(net->storages);
    free(net->offsets);
    free(net->preparation.scales);
    free(net->preparation.means);
    free(net->own_weights);
    free(net->own_arena);
    free(net);
}

float *cmodel_net_input(cmodel_net *net) {
    return net->arena == NULL ? NULL : blob_data(net, net->input);
}

const float *cmodel_net_run(cmodel_net *net) {
    if (net->arena == NULL)
        return NULL;
    for (size_t i = 0; i < net->step_count; i++)
        run_step(net, &net->steps[i]);
    return blob_data(net, net->output);
}
