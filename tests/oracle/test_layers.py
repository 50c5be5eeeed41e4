"""Layers of forks, one by one, against OpenCV.

Those that OpenCV lacks (BN, Upsample, DepthwiseConvolution), or fails at (Axpy of several images), the
plain reference alone holds (tests/unit/engine).
"""

import numpy as np
import pytest

pytest.importorskip("cv2")

from tests.oracle.opencv import run_opencv
from tests.unit.engine.conftest import filled, parse, short

from cmodel.engine import Engine

TOLERANCE = 2e-6
A = {"a": (2, 4, 4, 6)}
PRIORS = {"a": (1, 2, 4, 5), "image": (1, 3, 36, 45)}
DETECTIONS = {"loc": (2, 32), "conf": (2, 24), "prior": (1, 2, 32)}
EVERY = DETECTIONS | {"loc": (2, 96)}

CASES = [
    ("ReLU6 r: a -> y", A),
    ("ConvolutionDepthwise c: a -> y {convolution_param { num_output: 4 kernel_size: 3 pad: 1 }}", A),
    ("ShuffleChannel s: a -> y {shuffle_channel_param { group: 2 }}", A),
    ("Permute p: a -> y {permute_param { order: 0 order: 2 order: 3 order: 1 }}", A),
    ("Permute p: a -> y {permute_param { order: 0 order: 3 order: 1 order: 2 }}", A),
    ("Normalize n: a -> y {norm_param { across_spatial: false channel_shared: false }}", A),
    ("Interp i: a -> y {interp_param { height: 7 width: 3 }}", A),
    ("Interp i: a -> y {interp_param { height: 1 width: 13 }}", A),
    ("Interp i: a -> y {interp_param { zoom_factor: 3 }}", A),
    ("Reorg r: a -> y {reorg_param { stride: 2 }}", A),
    (
        "ROIPooling r: a regions -> y "
        "{roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 }}",
        A | {"regions": (3, 5)},
    ),
    ("PriorBox p: a image -> y {prior_box_param { min_size: 3 clip: false variance: 0.1 }}", PRIORS),
    (
        "PriorBox p: a image -> y {prior_box_param { min_size: 3 max_size: 5 aspect_ratio: 2 "
        "aspect_ratio: 3 aspect_ratio: 2 clip: true step: 8 offset: 0.25 "
        "variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 }}",
        PRIORS,
    ),
    (
        "PriorBox p: a image -> y {prior_box_param { min_size: 7 aspect_ratio: 2 flip: false "
        "clip: false variance: 0.1 }}",
        PRIORS,
    ),
    (
        "DetectionOutput d: loc conf prior -> y {detection_output_param { num_classes: 3 "
        "share_location: true background_label_id: 0 code_type: CENTER_SIZE keep_top_k: 9 "
        "confidence_threshold: 0.2 nms_param { nms_threshold: 0.4 top_k: 7 } }}",
        DETECTIONS,
    ),
    (
        "DetectionOutput d: loc conf prior -> y {detection_output_param { num_classes: 3 "
        "share_location: true background_label_id: 2 code_type: CORNER keep_top_k: 100 "
        "confidence_threshold: 0.1 "
        "nms_param { nms_threshold: 0.6 top_k: 100 eta: 0.9 } }}",
        DETECTIONS,
    ),
    (
        "DetectionOutput d: loc conf prior -> y {detection_output_param { num_classes: 3 "
        "share_location: false background_label_id: 1 code_type: CENTER_SIZE keep_top_k: 5 "
        "confidence_threshold: 0.3 nms_param { nms_threshold: 0.3 top_k: 4 } }}",
        EVERY,
    ),
]  # fmt: skip


def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return random values that mean something for the input of that name."""
    rng = np.random.default_rng(len(name))
    if name == "regions":
        return np.array([[0, 0, 0, 7, 5], [1, 1, 2, 9, 6], [1, 3, 3, 1, 1]], np.float32)
    if name == "conf":
        return rng.random(shape, np.float32)
    if name == "prior":
        low, size = rng.random((2, 8, 2)) / 2
        boxes = np.concatenate((low, low + size), axis=1)
        return np.stack((boxes, np.full((8, 4), 0.1))).reshape(shape).astype(np.float32)
    return 4 * rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("text", "shapes"), CASES, ids=[text.split("{")[0] for text, _ in CASES])
def test_agrees_with_opencv(text, shapes):
    inputs = "".join(
        f"Input in_{name}: -> {name} {{input_param {{ shape {{ "
        + " ".join(f"dim: {size}" for size in shape)
        + " } }}\n"
        for name, shape in shapes.items()
    )
    net = filled(parse(short(inputs + text)))
    feed = {name: values(name, shape) for name, shape in shapes.items()}
    found = Engine(net).run(feed, blobs=["y"])["y"]
    expected = run_opencv(net, feed, [net.layers[-1].name])[net.layers[-1].name]
    if text.startswith("DetectionOutput"):
        assert 4 < found.shape[2] < 48
        # SSD lists what it finds by class; OpenCV by confidence, and then come rows of zeros.
        expected = expected[:, :, expected[0, 0, :, 2] > 0]
        expected = expected[:, :, np.lexsort((-expected[0, 0, :, 2], *expected[0, 0, :, 1::-1].T))]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())
