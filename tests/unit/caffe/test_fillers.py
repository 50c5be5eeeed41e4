"""Values of parameters that no file gives."""

import numpy as np
import pytest

from cmodel.caffe.fillers import fill, filler_of, is_random
from cmodel.caffe.prototxt import parse_prototxt
from cmodel.errors import NetError, UnsupportedError
from cmodel.net import Layer
from cmodel.proto import caffe_pb2

Filler = caffe_pb2.FillerParameter
SHAPE = (64, 8, 5, 5)


def draw(shape=SHAPE, **options):
    return fill(Filler(**options), shape, "layer/0")


def test_constant_is_the_default():
    assert not draw().any()
    assert (draw(value=2.5) == np.float32(2.5)).all()
    assert draw(shape=()).shape == ()


@pytest.mark.parametrize(
    ("options", "mean", "std", "low", "high"),
    [
        ({"type": "uniform", "min": -1, "max": 3}, 1, 4 / np.sqrt(12), -1, 3),
        ({"type": "gaussian", "mean": 2, "std": 0.5}, 2, 0.5, -np.inf, np.inf),
        ({"type": "xavier"}, 0, np.sqrt(1 / 200), -np.sqrt(3 / 200), np.sqrt(3 / 200)),
        ({"type": "xavier", "variance_norm": "FAN_OUT"}, 0, np.sqrt(1 / 1600), -1, 1),
        ({"type": "msra", "variance_norm": "AVERAGE"}, 0, np.sqrt(2 / 900), -1, 1),
        ({"type": "gaussian", "sparse": 16}, 0, 0.5, -np.inf, np.inf),
    ],
)
def test_random_fillers_have_their_distribution(options, mean, std, low, high):
    values = draw(**options)
    assert values.dtype == np.float32
    assert values.shape == SHAPE
    assert abs(values.mean() - mean) < 5 * std / np.sqrt(values.size)
    assert abs(values.std() / std - 1) < 0.06
    assert values.min() >= low
    assert values.max() <= high
    assert is_random(Filler(**options))
    np.testing.assert_array_equal(values, draw(**options))
    assert (values != fill(Filler(**options), SHAPE, "other/0")).any()


def test_sparse_gaussian():
    assert abs((draw(type="gaussian", sparse=16) == 0).mean() - 0.75) < 0.02


def test_positive_unitball():
    values = draw(type="positive_unitball")
    assert values.min() >= 0
    np.testing.assert_allclose(values.reshape(64, -1).sum(axis=1), 1, rtol=1e-5)


def test_bilinear_interpolates():
    values = draw((2, 1, 4, 4), type="bilinear")
    ramp = np.array([0.25, 0.75, 0.75, 0.25])
    np.testing.assert_array_equal(values, np.broadcast_to(np.outer(ramp, ramp), (2, 1, 4, 4)))
    ramp = np.array([1, 2, 3, 2, 1]) / 3
    np.testing.assert_allclose(
        draw((1, 1, 5, 5), type="bilinear")[0, 0], np.outer(ramp, ramp), 1e-6
    )
    assert not is_random(Filler(type="bilinear"))
    with pytest.raises(NetError, match="square kernel"):
        draw((2, 1, 4, 5), type="bilinear")


def test_unknown_filler():
    with pytest.raises(UnsupportedError, match="did you mean `gaussian`"):
        draw(type="gausian")


@pytest.mark.parametrize(
    ("text", "index", "shape", "expected"),
    [
        ("type: 'Convolution'", 0, (1, 1, 1, 1), Filler()),
        (
            "type: 'Convolution' convolution_param { bias_filler { value: 2 } }",
            1,
            (1,),
            Filler(value=2),
        ),
        (
            "type: 'InnerProduct' inner_product_param { weight_filler { value: 3 } }",
            0,
            (1, 1),
            Filler(value=3),
        ),
        ("type: 'Scale'", 0, (3,), Filler(value=1)),
        (
            "type: 'Scale' scale_param { filler { type: 'constant' } }",
            0,
            (3,),
            Filler(type="constant"),
        ),
        ("type: 'Scale'", 1, (3,), Filler(value=0)),
        ("type: 'PReLU'", 0, (3,), Filler(value=0.25)),
        ("type: 'Bias' bias_param { filler { value: 4 } }", 0, (3,), Filler(value=4)),
        ("type: 'BatchNorm'", 2, (1,), Filler()),
        (
            "type: 'LSTM' recurrent_param { weight_filler { type: 'msra' } }",
            2,
            (4, 1),
            Filler(type="msra"),
        ),
        ("type: 'LSTM' recurrent_param { bias_filler { value: 1 } }", 1, (4,), Filler(value=1)),
    ],
)
def test_which_filler(text, index, shape, expected):
    param = parse_prototxt(f"layer {{ {text} }}").message.layer[0]
    found = filler_of(Layer(param, "key"), index, shape)
    assert found.type == expected.type
    assert found.value == expected.value
