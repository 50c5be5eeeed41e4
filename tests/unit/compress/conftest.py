"""Real images for the tests of calibrated methods."""

from __future__ import annotations

import numpy as np
import pytest

from cmodel.data import Inputs, open_source, sample
from cmodel.net import InputTransform


@pytest.fixture(scope="session")
def mnist_images(shared_data) -> np.ndarray:
    """Return 200 training images as LeNet is fed them."""
    source = open_source(shared_data / "data/mnist/train-images-idx3-ubyte.gz")
    inputs = Inputs(
        source, sample(len(source), 200, 0), InputTransform(scale=(1 / 256,)), (1, 1, 28, 28)
    )
    return np.concatenate(list(inputs))


@pytest.fixture(scope="session")
def resnet_images(shared_data) -> np.ndarray:
    """Return 120 training images as ResNet-20 is fed them."""
    with np.load(shared_data / "data/cifar10/train4000_lossless.npz") as arrays:
        x = arrays["x"][:120]
    x = x if x.shape[1] == 3 else x.transpose(0, 3, 1, 2)
    mean = np.array([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    deviation = np.array([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    return ((x / 255.0 - mean) / deviation).astype(np.float32)
