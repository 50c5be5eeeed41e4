"""The real test sets, whole."""

import numpy as np
import pytest

from cmodel.data import batches, open_source, prepare, sample
from cmodel.net import InputTransform

pytestmark = pytest.mark.data


@pytest.mark.parametrize(("part", "images"), [("t10k", 10_000), ("train", 60_000)])
def test_mnist(shared_data, part, images):
    source = open_source(shared_data / "data/mnist" / f"{part}-images-idx3-ubyte.gz")
    assert len(source) == images
    assert source.labels[:5].tolist() == ([7, 2, 1, 0, 4] if part == "t10k" else [5, 0, 4, 1, 9])
    x = prepare(source.read([0, images - 1]), InputTransform(scale=(1 / 256,)), (64, 1, 28, 28))
    assert x.shape == (2, 1, 28, 28)
    assert 0.9 < x.max() < 1
    assert np.array_equal(x * 256, np.stack(source.read([0, images - 1]))[:, None])


def test_cifar10_zip_streams_whole(shared_data):
    transform = InputTransform(channel_order="rgb")
    total = np.zeros(3)
    with open_source(shared_data / "data/cifar10/test.zip") as source:
        assert np.bincount(source.labels).tolist() == [1000] * 10
        indices = sample(source.labels, None)
        seen = []
        for x, labels in batches(source, indices, transform, (1, 3, 32, 32), 100, threads=1):
            total += x.sum(axis=(0, 2, 3), dtype=np.float64)
            seen.append(labels)
    assert np.array_equal(np.concatenate(seen), source.labels)
    # The published channel means of CIFAR-10 are near 125.3, 123.0, 113.9.
    assert total / (10_000 * 32 * 32) == pytest.approx([126, 123.5, 114.5], abs=1.5)


def test_cifar10_npz(shared_data):
    source = open_source(shared_data / "data/cifar10/train4000_lossless.npz")
    assert len(source) == 4000
    assert set(source.labels.tolist()) == set(range(10))
    x = prepare(source.read([5]), InputTransform(), (1, 3, 32, 32))
    assert np.array_equal(x[0, 0], source.read([5])[0][..., 2])


@pytest.mark.parametrize("path", ["list.txt", "."])
def test_imagenet_list(shared_data, path):
    source = open_source(shared_data / "data/imagenet-1k-sample" / path)
    assert source.labels.tolist() == list(range(1000))
    transform = InputTransform(crop=(227, 227), mean_values=(104, 117, 123))
    chosen = sample(source.labels, 48)
    shape = (10, 3, 227, 227)
    found = [x for x, _ in batches(source, chosen, transform, shape, 32, threads=1)]
    assert [x.shape for x in found] == [(32, 3, 227, 227), (16, 3, 227, 227)]
    first = source.read(chosen[:1])[0]
    assert np.array_equal(found[0][0, 0], first[14:241, 14:241, 2] - np.float32(104))
