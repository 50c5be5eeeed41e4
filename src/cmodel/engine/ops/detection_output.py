"""DetectionOutput: boxes and confidences made into a list of what was found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmodel.engine.ops.op import Array, DynamicOp
from cmodel.net import Layer, Parameter
from cmodel.net.shapes.detection_output import ROW
from cmodel.proto import caffe_pb2

Index = NDArray[np.intp]


class DetectionOutput(DynamicOp):
    """Rows (image, class, confidence, xmin, ymin, xmax, ymax), by image, then class.

    Of boxes of a class that overlap too much the one with the highest confidence stays.
    """

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        param = layer.param.detection_output_param
        self.param = param
        stated = param.HasField("confidence_threshold")
        self.least = np.float32(param.confidence_threshold if stated else -np.inf)
        nms = param.nms_param
        self.candidates = nms.top_k if nms.HasField("top_k") and nms.top_k >= 0 else None
        self.overlap, self.eta = np.float32(nms.nms_threshold), np.float32(nms.eta)

    def compute(self, bottoms: Sequence[Array]) -> list[Array]:
        """Return what was found; where nothing was, a row for each image that says so."""
        classes = self.param.num_classes
        images = len(bottoms[0])
        prior, variance = bottoms[2].reshape(2, -1, 4)
        offsets = bottoms[0].reshape(images, len(prior), -1, 4)
        confidences = bottoms[1].reshape(images, len(prior), classes)
        rows = []
        for image in range(images):
            boxes = self._decode(prior, variance[:, None], offsets[image])
            found = []
            for label in range(classes):
                if label == self.param.background_label_id:
                    continue
                own = boxes[:, 0 if self.param.share_location else label]
                score = confidences[image, :, label]
                chosen = self._suppress(own, score)
                found.append(
                    np.column_stack(
                        (np.full((len(chosen), 2), (image, label)), score[chosen], own[chosen])
                    )
                )
            rows.append(self._best(np.concatenate(found)) if found else np.empty((0, ROW)))
        result = np.concatenate(rows).astype(np.float32)
        if not len(result):
            result = np.full((images, ROW), -1, np.float32)
            result[:, 0] = np.arange(images)
        return [result[None, None]]

    def _decode(self, prior: Array, variance: Array, offset: Array) -> Array:
        """Return the corners of boxes (boxes, 1 or classes, 4)."""
        if self.param.variance_encoded_in_target:
            variance = np.ones_like(variance)
        low, high = prior[:, None, :2], prior[:, None, 2:]
        size = high - low
        kinds = caffe_pb2.PriorBoxParameter
        if self.param.code_type == kinds.CENTER_SIZE:
            centre = variance[..., :2] * offset[..., :2] * size + (low + high) / 2
            half = np.exp(variance[..., 2:] * offset[..., 2:]) * size / 2
            return np.concatenate((centre - half, centre + half), axis=-1)
        scaled = variance * offset
        if self.param.code_type == kinds.CORNER_SIZE:
            scaled = scaled * np.concatenate((size, size), axis=-1)
        return np.asarray(prior[:, None] + scaled, np.float32)

    def _suppress(self, boxes: Array, score: Array) -> Index:
        """Return the numbers of the boxes that stay, the highest confidence first."""
        over = np.flatnonzero(score > self.least)
        order = over[np.argsort(-score[over], kind="stable")][: self.candidates]
        kept: list[int] = []
        threshold = self.overlap
        for candidate in order:
            if kept and (_overlaps(boxes[candidate], boxes[kept]) > threshold).any():
                continue
            kept.append(int(candidate))
            if self.eta < 1 and threshold > 0.5:
                threshold *= self.eta
        return np.array(kept, np.intp)

    def _best(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Keep the rows of the highest confidences of an image, still by class."""
        most = self.param.keep_top_k
        if most < 0 or len(rows) <= most:
            return rows
        best = np.argsort(-rows[:, 2], kind="stable")[:most]
        return rows[best[np.argsort(rows[best, 1], kind="stable")]]


def _overlaps(box: Array, others: Array) -> Array:
    """Return the intersection over the union of a box with each of the others."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.where((sides < 0).any(axis=1), 0, sides.prod(axis=1))
    # Boxes without an area have no union either.
    union = _area(box) + _area(others) - common
    result: Array = np.divide(common, union, out=np.zeros_like(common), where=common > 0)
    return result


def _area(boxes: Array) -> Array:
    """Return the areas; a box turned inside out has none."""
    sides = boxes[..., 2:] - boxes[..., :2]
    result: Array = np.where((sides < 0).any(axis=-1), 0, sides.prod(axis=-1))
    return result
