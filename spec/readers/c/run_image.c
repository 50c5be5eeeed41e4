/* The input transform of the manifest: what is done to an image before the network sees it. */
#include "run_internal.h"

#include <string.h>

static double as_double(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* One number a channel, of a list that has one for all or one for each. */
static cmodel_status read_channels(const context *c, bytes list, size_t count, size_t channels, float **values) {
    if (count != 1 && count != channels)
        return fail(c, CMODEL_BAD_MANIFEST, "the input transform has %zu means or scales for %zu channels", count,
                    channels);
    *values = allocate(c, channels, sizeof **values);
    if (*values == NULL)
        return c->error->status;
    for (size_t i = 0; i < channels; i++)
        (*values)[i] = (float)as_double(load64(list.data + (count == 1 ? 0 : 8 * i)));
    return CMODEL_OK;
}

static cmodel_status read_steps(const context *c, bytes input, size_t channels, preparation *p) {
    while (input.size > 0) {
        field field;
        TRY(next_field(c, &input, 1, &field));
        if (field.wire == VARINT && (field.number == 1 || field.number == 2))
            p->resize[field.number - 1] = (uint32_t)field.value;
        else if (field.wire == VARINT && (field.number == 3 || field.number == 4))
            p->crop[field.number - 3] = (uint32_t)field.value;
        else if (field.wire == VARINT && field.number == 7)
            p->order = (uint32_t)field.value;
        else if ((field.number == 5 || field.number == 6) && field.wire == BYTES && field.data.size > 0) {
            float **values = field.number == 5 ? &p->scales : &p->means;
            if (*values != NULL)
                return fail(c, CMODEL_UNKNOWN_FEATURE, "the means or scales are stated in pieces");
            TRY(read_channels(c, field.data, field.data.size / 8, channels, values));
        } else if ((field.number == 5 || field.number == 6) && field.wire == FIXED64)
            return fail(c, CMODEL_UNKNOWN_FEATURE, "the means or scales are not packed");
    }
    return CMODEL_OK;
}

cmodel_status read_preparation(const context *c, const cmodel *file, cmodel_net *net) {
    const cmodel_shape *shape = &net->blobs[net->input].shape;
    preparation *p = &net->preparation;
    bytes manifest;
    p->mean_tensor = NONE;
    if (shape->rank != 4)
        return CMODEL_OK; /* no image */
    manifest.data = cmodel_manifest(file, &manifest.size);
    while (manifest.size > 0) {
        field field;
        TRY(next_field(c, &manifest, 0, &field));
        if (field.number == 4 && field.wire == BYTES)
            TRY(read_steps(c, field.data, shape->extents[1], p));
    }
    if (cmodel_find(file, net->layer_count, 0, &p->mean_tensor)) {
        cmodel_tensor mean;
        cmodel_describe(file, p->mean_tensor, &mean);
        if (mean.shape[0] != shape->extents[1] || mean.shape[1] < shape->extents[2] || mean.shape[2] < shape->extents[3])
            return fail(c, CMODEL_BAD_MANIFEST, "the mean image does not fit the input");
        TRY(add_tensor(c, file, net, p->mean_tensor, mean.elements));
        p->mean_size[0] = (size_t)mean.shape[1];
        p->mean_size[1] = (size_t)mean.shape[2];
    } else {
        p->mean_tensor = NONE;
    }
    return CMODEL_OK;
}

bool cmodel_net_prepare(cmodel_net *net, const uint8_t *pixels, size_t height, size_t width, unsigned channels) {
    const cmodel_shape *shape = &net->blobs[net->input].shape;
    const preparation *p = &net->preparation;
    size_t size[2] = {height, width}, offset[2];
    float *y = cmodel_net_input(net);
    if (y == NULL || shape->rank != 4 || (channels != 1 && channels != 3) ||
        (shape->extents[1] != 1 && shape->extents[1] != 3))
        return false;
    for (int i = 0; i < 2; i++) {
        size_t kept = p->crop[i] > 0 ? p->crop[i] : size[i];
        if ((p->resize[i] > 0 && size[i] != p->resize[i]) || kept > size[i] || kept != shape->extents[2 + i] ||
            (p->mean_tensor != NONE && size[i] != p->mean_size[i]))
            return false;
        offset[i] = (size[i] - kept) / 2;
    }
    const float *mean = tensor_data(net, p->mean_tensor);
    bool gray = channels == 3 && (shape->extents[1] == 1 || p->order == ORDER_GRAY);
    for (size_t c = 0; c < shape->extents[1]; c++)
        for (size_t row = offset[0]; row < offset[0] + shape->extents[2]; row++)
            for (size_t column = offset[1]; column < offset[1] + shape->extents[3]; column++) {
                size_t at = row * width + column;
                const uint8_t *pixel = pixels + at * channels;
                float value;
                if (gray) /* weights of red, green and blue in units of 2^-15, as OpenCV has them */
                    value = (float)((9798u * pixel[0] + 19235u * pixel[1] + 3735u * pixel[2] + 16384u) >> 15);
                else
                    value = channels == 1 ? pixel[0] : pixel[p->order == ORDER_RGB ? c : 2 - c];
                if (mean != NULL)
                    value -= mean[c * height * width + at];
                else if (p->means != NULL)
                    value -= p->means[c];
                *y++ = p->scales != NULL ? value * p->scales[c] : value;
            }
    return true;
}
