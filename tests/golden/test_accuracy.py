"""Accuracy with the engine equals the real Caffe's on the published models (docs/data.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

import cmodel
from cmodel.caffe import load_mean
from cmodel.data import open_source
from cmodel.evaluate import evaluate
from cmodel.net import InputTransform

MNIST = "mnist/t10k-images-idx3-ubyte.gz"
CIFAR = "cifar10/test.zip"
IMAGENET = "imagenet-1k-sample/list.txt"
TO_UNIT = InputTransform(scale=(1 / 256,))
IMAGENET_STATISTICS = InputTransform(
    mean_values=(123.675, 116.28, 103.53),
    scale=(1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
    channel_order="rgb",
)
SQUEEZENET = InputTransform(mean_values=(104, 117, 123), crop=(227, 227))

# (folder, weights, images, transform or None for the folder's mean image on RGB, top-1 by Caffe)
CASES = [
    ("lenet_bvlc", "lenet_iter_10000", MNIST, TO_UNIT, 99.05),
    ("lenet5_dns", "caffe_lenet5_original", MNIST, TO_UNIT, 99.09),
    ("lenet5_dns", "caffe_lenet5_sparse", MNIST, TO_UNIT, 99.09),
    ("lenet300100_dns", "caffe_lenet300100_original", MNIST, TO_UNIT, 97.72),
    ("lenet300100_dns", "caffe_lenet300100_sparse", MNIST, TO_UNIT, 98.01),
    ("lenet300100_mnist", "lenet300100_mnist", MNIST, TO_UNIT, 97.75),
    ("cifar10_quick", "cifar10_quick_iter_5000", CIFAR, None, 73.47),
    ("cifar10_full", "cifar10_full_iter_70000", CIFAR, None, 79.42),
    ("cifar10_resnet20", "resnet20", CIFAR, IMAGENET_STATISTICS, 81.03),
    ("squeezenet_v1.1", "squeezenet_v1.1_fp32", IMAGENET, SQUEEZENET, 65.8),
    ("squeezenet_v1.0_han", "squeezenet_v1.0_decoded", IMAGENET, SQUEEZENET, 64.8),
]


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "weights", "images", "transform", "expected"),
    CASES,
    ids=[weights for _, weights, *_ in CASES],
)
def test_accuracy_is_caffes(shared_data: Path, folder, weights, images, transform, expected):
    models = shared_data / "data" / "models" / folder
    net = cmodel.load(models / "deploy.prototxt", models / f"{weights}.caffemodel")
    if transform is None:
        mean = load_mean(models / "mean.binaryproto")
        transform = InputTransform(mean_image=mean, channel_order="rgb")
    (input_blob,), (output_blob,) = net.inputs, net.outputs
    result = evaluate(
        # One thread: the same bits, and steady on a machine that does other work.
        cmodel.Engine(net, threads=1),
        open_source(shared_data / "data" / images),
        transform,
        input_blob=input_blob,
        output_blob=output_blob,
        input_shape=net.inputs[input_blob],
        batch=50,
    )
    # JPEG decoders differ, which 1000 photographs show and 10,000 small images hardly do.
    tolerance = 0.2 if images == IMAGENET else 0.05
    assert result.top1 == pytest.approx(expected, abs=tolerance + 1e-9)
    assert result.images == (1000 if images == IMAGENET else 10000)
