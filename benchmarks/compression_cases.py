"""The nets that compression is compared on: weights, images, transforms, and what judges them.

KL is the mean over the judged images of KL(original || packed) of the softmax, in nats. Needs the
folder of docs/data.md (CMODEL_DATA).
"""

from __future__ import annotations

import os
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cmodel
from cmodel.caffe import load_mean
from cmodel.compress import apply_recipe, parse_recipe
from cmodel.data import FloatArray, Inputs, batches, open_source, sample
from cmodel.net import InputTransform, Net

DATA = Path(os.environ.get("CMODEL_DATA", Path(__file__).parents[2] / "shared")) / "data"
CALIBRATION_IMAGES = 1000
BATCH = 50

MNIST = ("mnist/train-images-idx3-ubyte.gz", "mnist/t10k-images-idx3-ubyte.gz")
CIFAR = ("cifar10/train.zip", "cifar10/test.zip")
IMAGENET = ("imagenet-1k-sample/list.txt", "imagenet-1k-sample/list.txt")
TO_UNIT = InputTransform(scale=(1 / 256,))
STANDARDIZED = InputTransform(
    mean_values=(123.675, 116.28, 103.53),
    scale=(1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
    channel_order="rgb",
)
CAFFE_CROP = InputTransform(mean_values=(104, 117, 123), crop=(227, 227))

FOLD = '[[step]]\nmethod = "fold.batchnorm"\n'


@dataclass(frozen=True)
class Case:
    """A net to compare on.

    images : sources to calibrate on and to judge; where both are the same, each takes its half.
    transform : None for the folder's mean image on RGB.
    qps : nncodec's quantization parameters, from fine to coarse.
    fold : fold BatchNorm before anything else; outputs are compared with the original's.
    """

    folder: str
    weights: str
    images: tuple[str, str]
    transform: InputTransform | None
    qps: tuple[int, ...]
    fold: bool = False

    @cached_property
    def original(self) -> Net:
        """The net as it was trained, with its transform."""
        models = DATA / "models" / self.folder
        net = cmodel.load(models / "deploy.prototxt", models / f"{self.weights}.caffemodel")
        net.transform = self.transform or InputTransform(
            mean_image=load_mean(models / "mean.binaryproto"), channel_order="rgb"
        )
        return net

    @cached_property
    def net(self) -> Net:
        """The net that is compressed."""
        return (
            apply_recipe(self.original, parse_recipe(FOLD, "fold")) if self.fold else self.original
        )

    @cached_property
    def calibration(self) -> FloatArray:
        """Images to calibrate on, none of them judged, as they are fed."""
        source = open_source(DATA / self.images[0])
        count = len(source) // 2 if self.images[0] == self.images[1] else len(source)
        chosen = sample(count, CALIBRATION_IMAGES)
        transform, shape = self.original.transform, self._input_shape
        return np.concatenate(list(Inputs(source, chosen, transform, shape, BATCH)))

    @property
    def _input_shape(self) -> Any:
        return next(iter(self.original.inputs.values()))

    @cached_property
    def judge(self) -> Judge:
        """What judges nets against the original."""
        with open_source(DATA / self.images[1]) as source:
            first = len(source) // 2 if self.images[0] == self.images[1] else 0
            indices = np.arange(first, len(source), dtype=np.int64)
            parts = list(
                batches(source, indices, self.original.transform, self._input_shape, BATCH)
            )
        labels = np.concatenate([part for _, part in parts if part is not None])
        return Judge(self.original, [x for x, _ in parts], labels)


CASES = {
    "lenet_bvlc": Case("lenet_bvlc", "lenet_iter_10000", MNIST, TO_UNIT, (-28, -24, -22, -20)),
    "lenet5_dns": Case("lenet5_dns", "caffe_lenet5_original", MNIST, TO_UNIT, (-26, -22, -18, -15)),
    "lenet300100_dns": Case(
        "lenet300100_dns", "caffe_lenet300100_original", MNIST, TO_UNIT, (-24, -20, -18, -16)
    ),
    "cifar10_quick": Case(
        "cifar10_quick", "cifar10_quick_iter_5000", CIFAR, None, (-36, -32, -28, -24)
    ),
    "cifar10_full": Case(
        "cifar10_full", "cifar10_full_iter_70000", CIFAR, None, (-36, -32, -28, -24)
    ),
    "cifar10_resnet20": Case(
        "cifar10_resnet20", "resnet20", CIFAR, STANDARDIZED, (-36, -32, -28, -24), fold=True
    ),
    "cifar10_resnet20_unfolded": Case(
        "cifar10_resnet20", "resnet20", CIFAR, STANDARDIZED, (-36, -32, -28, -24)
    ),
    "squeezenet_v1.1": Case(
        "squeezenet_v1.1", "squeezenet_v1.1_fp32", IMAGENET, CAFFE_CROP, (-36, -32, -28, -24)
    ),
}


class Judge:
    """Compares nets with the original on fixed images."""

    def __init__(self, original: Net, inputs: list[FloatArray], labels: NDArray[np.int64]) -> None:
        self.inputs, self.labels = inputs, labels
        self._log_p = self._log_probabilities(original)
        self.top1 = self._top1(self._log_p)

    def first(self, count: int) -> Judge:
        """Return what judges by the first `count` images, a whole number of batches at least."""
        batches = -(-count // BATCH)
        result = copy(self)
        result.inputs = self.inputs[:batches]
        result.labels = self.labels[: batches * BATCH]
        result._log_p = self._log_p[: batches * BATCH]
        result.top1 = result._top1(result._log_p)
        return result

    def __call__(self, net: Net) -> tuple[float, float]:
        """Return top-1 in percent, and the mean KL in nats."""
        log_q = self._log_probabilities(net)
        return self._top1(log_q), mean_kl(self._log_p, log_q)

    def _log_probabilities(self, net: Net) -> NDArray[np.float64]:
        engine = cmodel.Engine(net, threads=1)
        feed, blob = next(iter(net.inputs)), scores_blob(net)
        scores = [engine.run({feed: x}, [blob])[blob].reshape(len(x), -1) for x in self.inputs]
        return log_softmax(np.concatenate(scores))

    def _top1(self, log_p: NDArray[np.float64]) -> float:
        return 100.0 * float((log_p.argmax(1) == self.labels).mean())


def scores_blob(net: Net) -> str:
    """Return the blob of the scores before the Softmax, if one ends the net."""
    (output,) = net.outputs
    last = next(layer for layer in reversed(net.layers) if output in layer.tops)
    return last.bottoms[0] if last.type == "Softmax" and last.bottoms[0] != output else output


def log_softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return the logarithms of the softmax along the last axis."""
    shifted = scores.astype(np.float64)
    shifted -= shifted.max(-1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def mean_kl(log_p: NDArray[np.float64], log_q: NDArray[np.float64]) -> float:
    """Return the mean over images of KL(p || q), in nats; infinite where q is not a number."""
    kl = float((np.exp(log_p) * (log_p - log_q)).sum(-1).mean())
    return inf if np.isnan(kl) else kl
