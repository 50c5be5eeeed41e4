"""From a picture to the input: the page gives to the bit what `cmodel infer` feeds."""

from __future__ import annotations

import numpy as np
import pytest
from tests.viewer.node import NODE, evaluate

from cmodel.data.transform import prepare
from cmodel.net import InputTransform

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")

SCRIPT = """
    const { picture, transform, mean, shape } = argument;
    picture.data = Uint8ClampedArray.from(picture.data);
    if (mean) mean.values = Float32Array.from(mean.values);
    return Array.from(picture_.prepare(picture, transform, mean ?? undefined, shape));
"""

CASES = {
    "gray": (InputTransform(scale=(1 / 256,)), (1, 1, 28, 28), (28, 28)),
    "colour as bgr": (InputTransform(mean_values=(104, 117, 123)), (1, 3, 20, 24), (20, 24)),
    "colour as rgb": (
        InputTransform(mean_values=(123.68, 116.28, 103.53), scale=(0.017,), channel_order="rgb"),
        (1, 3, 17, 9),
        (17, 9),
    ),
    "scales by channel": (
        InputTransform(scale=(0.5, 0.25, 0.125), mean_values=(1.5,)),
        (1, 3, 8, 8),
        (8, 8),
    ),
    "gray into three channels": (InputTransform(channel_order="gray"), (1, 3, 12, 12), (12, 12)),
    "halved": (InputTransform(resize=(16, 20)), (1, 3, 16, 20), (32, 40)),
    "made smaller and cropped": (
        InputTransform(resize=(37, 41), crop=(31, 30)),
        (1, 3, 31, 30),
        (113, 67),
    ),
    "made larger": (InputTransform(resize=(50, 61)), (1, 1, 50, 61), (7, 13)),
    "a mean image, then a crop": (
        InputTransform(resize=(24, 26), crop=(21, 19), mean_image="random", scale=(0.00390625,)),
        (1, 3, 21, 19),
        (60, 80),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_input_is_that_of_infer(case):
    transform, shape, size = CASES[case]
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    mean = None
    if isinstance(transform.mean_image, str):
        values = rng.normal(100, 40, (shape[1], *transform.resize)).astype(np.float32)
        transform = InputTransform(
            resize=transform.resize, crop=transform.crop, mean_image=values, scale=transform.scale
        )
        mean = {"shape": values.shape, "values": values.reshape(-1).tolist()}
    expected = prepare(image[None], transform, shape)
    rgba = np.concatenate([image, np.full((*size, 1), 255, np.uint8)], axis=2)
    resize, crop = transform.resize or (0, 0), transform.crop or (0, 0)
    argument = {
        "picture": {"width": size[1], "height": size[0], "data": rgba.reshape(-1).tolist()},
        "transform": {
            "resizeHeight": resize[0],
            "resizeWidth": resize[1],
            "cropHeight": crop[0],
            "cropWidth": crop[1],
            "scale": list(transform.scale),
            "meanValue": list(transform.mean_values),
            "channelOrder": (transform.channel_order or "unspecified").upper(),
        },
        "mean": mean,
        "shape": shape,
    }
    found = evaluate(SCRIPT, {"picture_": "viewer/src/picture.mjs"}, argument)
    assert np.array_equal(np.array(found, np.float32).reshape(expected.shape), expected)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        ({"cropHeight": 40, "cropWidth": 40}, "smaller than the crop"),
        ({"cropHeight": 4, "cropWidth": 4}, "comes out as 4"),
        ({"meanValue": [1, 2]}, "2 mean values for 3 channels"),
        ({"resizeHeight": 100000, "resizeWidth": 100000}, "too many pixels"),
    ],
)
def test_what_does_not_fit_is_said(transform, message):
    usual = {
        "resizeHeight": 0,
        "cropHeight": 0,
        "scale": [],
        "meanValue": [],
        "channelOrder": "BGR",
    }
    script = """
        const picture = { width: 9, height: 9, data: new Uint8ClampedArray(324) };
        try {
            picture_.prepare(picture, argument, undefined, [1, 3, 9, 9]);
        } catch (error) {
            return error.message;
        }
    """
    found = evaluate(script, {"picture_": "viewer/src/picture.mjs"}, usual | transform)
    assert message in found
