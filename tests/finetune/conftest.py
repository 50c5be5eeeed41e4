"""The tests of retraining; without PyTorch they are skipped with a word on how to get it."""

from pathlib import Path

import numpy as np
import pytest

from cmodel.caffe import load_net
from cmodel.net import Net

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    from importlib.util import find_spec

    if find_spec("torch") is not None:
        return
    skip = pytest.mark.skip(reason="PyTorch is missing: pip install 'cmodel-nn[finetune]'")
    for item in items:
        if HERE in item.path.parents and "without_torch" not in item.name:
            item.add_marker(skip)


SMALL = """
name: "small"
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 1 dim: 8 dim: 8 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: {filters} kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
layer {{ name: "ip1" type: "InnerProduct" bottom: "pool" top: "ip1"
  inner_product_param {{ num_output: {units} weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }}
layer {{ name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" dropout_param {{ dropout_ratio: 0.2 }} }}
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }}
"""


def small_net(folder, text=None) -> Net:
    """Return a net for 8x8 images of four classes, with random weights."""
    from cmodel.finetune.fresh import filled

    path = folder / "small.prototxt"
    path.write_text(text or SMALL.format(filters=6, units=16))
    return filled(load_net(path, None, require_weights=False))


@pytest.fixture
def small(tmp_path) -> Net:
    return small_net(tmp_path)


@pytest.fixture(scope="session")
def four():
    """Images of four classes, 400 with their labels: a bright quarter in noise."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, 400)
    images = rng.normal(0, 0.7, (400, 1, 8, 8)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1
    return images, labels
