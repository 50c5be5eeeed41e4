"""Layer types of well-known forks."""

from __future__ import annotations

import math

import numpy as np

from cmodel.engine.reference.registry import Call, Doubles, register
from cmodel.proto import caffe_pb2

Box = tuple[float, float, float, float]


@register("ReLU6")
def _relu6(call: Call) -> list[Doubles]:
    return [np.minimum(np.maximum(call.bottoms[0], 0), 6)]


@register("Axpy")
def _axpy(call: Call) -> list[Doubles]:
    factor, x, y = call.bottoms
    return [np.einsum("nc,nc...->nc...", factor.reshape(x.shape[:2]), x) + y]


@register("BN")
def _bn(call: Call) -> list[Doubles]:
    slope, bias, *statistics = (values.ravel() for values in call.parameters)
    param = call.layer.param.bn_param
    y = np.moveaxis(call.bottoms[0], 1, -1)
    rows = y.reshape(-1, len(slope))
    if statistics:
        y = (y - statistics[0]) / np.sqrt(statistics[1] + param.eps)
    elif param.bn_mode == caffe_pb2.BNParameter.LEARN:
        y = (y - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + 1e-9)
    return [np.moveaxis(y * slope + bias, -1, 1)]


@register("Permute")
def _permute(call: Call) -> list[Doubles]:
    x, named = call.bottoms[0], list(call.layer.param.permute_param.order)
    order = named + [axis for axis in range(x.ndim) if axis not in named]
    y = np.empty(call.tops[0])
    for place in np.ndindex(*x.shape):
        y[tuple(place[axis] for axis in order)] = x[place]
    return [y]


@register("ShuffleChannel")
def _shuffle_channel(call: Call) -> list[Doubles]:
    x, group = call.bottoms[0], call.layer.param.shuffle_channel_param.group
    each = x.shape[1] // group
    return [x[:, [g * each + i for i in range(each) for g in range(group)]]]


@register("Reorg")
def _reorg(call: Call) -> list[Doubles]:
    param, x = call.layer.param.reorg_param, call.bottoms[0]
    channels, height, width = x.shape[1:]
    stride, fewer = param.stride, channels // param.stride**2
    y, flat = np.empty(x.size), x.ravel()
    for n, c, h, w in np.ndindex(*x.shape):
        here = ((n * channels + c) * height + h) * width + w
        row, column = h * stride + c // fewer // stride, w * stride + c // fewer % stride
        there = (n * fewer + c % fewer) * height * stride
        there = (there + row) * width * stride + column
        if param.reverse:
            y[there] = flat[here]
        else:
            y[here] = flat[there]
    return [y]


@register("Normalize")
def _normalize(call: Call) -> list[Doubles]:
    x, param = call.bottoms[0], call.layer.param.norm_param
    y = np.empty_like(x)
    for image in range(len(x)):
        if param.across_spatial:
            y[image] = x[image] / math.sqrt((x[image] ** 2).sum() + param.eps)
            continue
        for place in np.ndindex(*x.shape[2:]):
            column = x[(image, slice(None), *place)]
            y[(image, slice(None), *place)] = column / math.sqrt((column**2).sum() + param.eps)
    return [y * call.parameters[0].reshape(-1, *(1,) * (x.ndim - 2))]


@register("Interp")
def _interp(call: Call) -> list[Doubles]:
    param, x = call.layer.param.interp_param, call.bottoms[0]
    bottom, right = (size + param.pad_end for size in x.shape[2:])
    x = x[:, :, -param.pad_beg : bottom, -param.pad_beg : right]
    y = np.empty(call.tops[0])
    for i, j in np.ndindex(*y.shape[2:]):
        place, low, high = [], [], []
        for k, size, count in zip((i, j), x.shape[2:], y.shape[2:], strict=True):
            at = k * (size - 1) / (count - 1) if count > 1 else 0.0
            low.append(min(math.floor(at), size - 1))
            high.append(min(low[-1] + 1, size - 1))
            place.append(at - low[-1])
        upper = (1 - place[1]) * x[:, :, low[0], low[1]] + place[1] * x[:, :, low[0], high[1]]
        lower = (1 - place[1]) * x[:, :, high[0], low[1]] + place[1] * x[:, :, high[0], high[1]]
        y[:, :, i, j] = (1 - place[0]) * upper + place[0] * lower
    return [y]


@register("Upsample")
def _upsample(call: Call) -> list[Doubles]:
    x, y = call.bottoms[0], np.zeros(call.tops[0])
    if len(call.bottoms) == 2:
        for n, c, i, j in np.ndindex(*x.shape):
            row, column = divmod(int(call.bottoms[1][n, c, i, j]), y.shape[3])
            y[n, c, row, column] = x[n, c, i, j]
        return [y]
    for n, c, i, j in np.ndindex(*y.shape):
        y[n, c, i, j] = x[n, c, i * x.shape[2] // y.shape[2], j * x.shape[3] // y.shape[3]]
    return [y]


@register("ROIPooling")
def _roi_pooling(call: Call) -> list[Doubles]:
    x, regions = call.bottoms[0], call.bottoms[1].reshape(-1, 5)
    scale, y = call.layer.param.roi_pooling_param.spatial_scale, np.zeros(call.tops[0])
    for r, (image, *corners) in enumerate(regions):
        left, upper, right, lower = (
            int(math.copysign(math.floor(abs(value * scale) + 0.5), value)) for value in corners
        )
        for i, j in np.ndindex(*y.shape[2:]):
            cut = []
            for k, first, last, count in (
                (i, upper, lower, y.shape[2]),
                (j, left, right, y.shape[3]),
            ):
                step = np.float32(max(last - first + 1, 1)) / np.float32(count)
                start = first + math.floor(np.float32(k) * step)
                end = first + math.ceil(np.float32(k + 1) * step)
                cut.append(slice(max(start, 0), max(end, 0)))
            part = x[int(image)][:, cut[0], cut[1]]
            if part.size:
                y[r, :, i, j] = part.max(axis=(1, 2))
    return [y]


@register("PriorBox")
def _prior_box(call: Call) -> list[Doubles]:
    param = call.layer.param.prior_box_param
    rows, columns = call.bottoms[0].shape[2:]
    height = param.img_h or param.img_size or call.bottoms[1].shape[2]
    width = param.img_w or param.img_size or call.bottoms[1].shape[3]
    ratios: list[float] = []
    for ratio in (1.0, *param.aspect_ratio):
        if not any(abs(ratio - other) < 1e-6 for other in ratios):
            ratios += [ratio, 1 / ratio] if param.flip and ratio != 1 else [ratio]
    boxes: list[float] = []
    for i, j in np.ndindex(rows, columns):
        x = (j + param.offset) * (param.step_w or param.step or width / columns)
        y = (i + param.offset) * (param.step_h or param.step or height / rows)
        for k, least in enumerate(map(int, param.min_size)):
            sides = [(1.0 * least, 1.0 * least)]
            if param.max_size:
                sides.append((math.sqrt(least * int(param.max_size[k])),) * 2)
            sides += [(least * math.sqrt(r), least / math.sqrt(r)) for r in ratios[1:]]
            for w, h in sides:
                boxes += [(x - w / 2) / width, (y - h / 2) / height]
                boxes += [(x + w / 2) / width, (y + h / 2) / height]
    if param.clip:
        boxes = [min(max(value, 0.0), 1.0) for value in boxes]
    variance = list(param.variance) or [0.1]
    return [np.array([boxes, [variance[i % len(variance)] for i in range(len(boxes))]])]


def _decoded(call: Call, prior: Doubles, variance: Doubles, offset: Doubles) -> Box:
    param, kinds = call.layer.param.detection_output_param, caffe_pb2.PriorBoxParameter
    if param.variance_encoded_in_target:
        variance = np.ones(4)
    a, b, c, d = variance * offset
    left, upper, right, lower = prior
    width, height = right - left, lower - upper
    if param.code_type == kinds.CORNER:
        return left + a, upper + b, right + c, lower + d
    if param.code_type == kinds.CORNER_SIZE:
        return left + a * width, upper + b * height, right + c * width, lower + d * height
    x, y = (left + right) / 2 + a * width, (upper + lower) / 2 + b * height
    w, h = math.exp(c) * width, math.exp(d) * height
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def _area(box: Box) -> float:
    width, height = box[2] - box[0], box[3] - box[1]
    return width * height if width >= 0 and height >= 0 else 0.0


def _overlap(a: Box, b: Box) -> float:
    common = _area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return common / (_area(a) + _area(b) - common) if common > 0 else 0.0


@register("DetectionOutput")
def _detection_output(call: Call) -> list[Doubles]:
    param = call.layer.param.detection_output_param
    prior, variance = call.bottoms[2].reshape(2, -1, 4)
    images, classes = len(call.bottoms[0]), param.num_classes
    offsets = call.bottoms[0].reshape(images, len(prior), -1, 4)
    confidences = call.bottoms[1].reshape(images, len(prior), classes)
    rows: list[tuple[float, ...]] = []
    for image in range(images):
        found: list[tuple[float, ...]] = []
        for label in range(classes):
            if label == param.background_label_id:
                continue
            place = 0 if param.share_location else label
            scored = [
                (-score, i)
                for i, score in enumerate(confidences[image, :, label])
                if not param.HasField("confidence_threshold") or score > param.confidence_threshold
            ]
            scored.sort()
            if param.nms_param.HasField("top_k") and param.nms_param.top_k >= 0:
                scored = scored[: param.nms_param.top_k]
            kept: list[Box] = []
            threshold = param.nms_param.nms_threshold
            for negative, i in scored:
                box = _decoded(call, prior[i], variance[i], offsets[image, i, place])
                if all(_overlap(box, other) <= threshold for other in kept):
                    kept.append(box)
                    found.append((image, label, -negative, *box))
                    if param.nms_param.eta < 1 and threshold > 0.5:
                        threshold *= param.nms_param.eta
        if param.keep_top_k >= 0:
            best = sorted(found, key=lambda row: -row[2])[: param.keep_top_k]
            found = sorted(best, key=lambda row: row[1])
        rows += found
    if not rows:
        rows = [(image, *(-1,) * 6) for image in range(images)]
    return [np.array(rows, np.float64)[None, None]]
