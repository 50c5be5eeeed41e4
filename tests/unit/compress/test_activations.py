"""quantize.activations: histograms, the choice of a range, and what the engine makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.compress.nets import CONV, distance, filled, images

import cmodel
from cmodel.compress import Calibration, compress, parse_recipe
from cmodel.compress.ranges import Histogram, histograms
from cmodel.engine import Engine
from cmodel.errors import RecipeError, UsageError

INT8 = (
    '[[step]]\nmethod = "quantize.linear"\n'
    '[[step]]\nmethod = "quantize.activations"\nrange = "{}"\npercentile = {}\n'
)


def steps(net, text, x):
    return compress(net, parse_recipe(text, "r"), data=x)


def ranges(net):
    return {layer.key: layer.range for layer in net.layers if layer.range is not None}


def gauss(seed=0, low=-4.0):
    values = np.random.default_rng(seed).normal(size=100_000)
    values = np.append(values[values > low], 40.0) if low < 0 else np.append(np.abs(values), 40.0)
    counts, _ = np.histogram(values, 2048, (min(low, 0), 40.0))
    return values, Histogram(min(low, 0.0), 40.0, counts.astype(np.float64))


def test_histograms_are_those_of_what_layers_read():
    net = filled(CONV)
    x = images(net, 40)
    found = histograms(net, ["conv1", "conv2"], Calibration(net, x), 1)
    assert (found["conv1"].low, found["conv1"].high) == (x.min(), x.max())
    assert found["conv1"].counts.sum() == x.size
    # conv2 reads what the ReLU in place has left.
    assert found["conv2"].low == 0
    assert found["conv2"].counts[0] > found["conv2"].counts.sum() / 4


@pytest.mark.parametrize("low", [-4.0, 0.0])
def test_the_mean_squared_error_is_least(low):
    values, histogram = gauss(low=low)

    def error(bounds):
        step = (bounds[1] - bounds[0]) / 127
        zero = round(-bounds[0] / step)
        ints = np.clip(np.rint(values / step), -zero, 127 - zero)
        return np.square(values - ints * step).sum()

    best = histogram.range_of("mse", 99.0)
    assert best[0] <= 0 < best[1] < 40
    assert error(best) < 0.7 * error(histogram.range_of("minmax", 99.0))
    for other in (0.85, 1.2):
        assert error(best) <= error((best[0], best[1] * other)) * 1.001


@pytest.mark.parametrize("low", [-4.0, 0.0])
def test_percentiles(low):
    values, histogram = gauss(low=low)
    bounds = histogram.range_of("percentile", 99.0)
    inside = ((values >= bounds[0]) & (values <= bounds[1])).mean()
    assert 0.989 < inside < 0.993
    assert bounds[0] == 0 if low == 0 else bounds[0] < -2
    assert histogram.outside(bounds) == pytest.approx(1 - inside, abs=2e-3)
    assert histogram.range_of("percentile", 100.0) == (low, 40.0)


@pytest.mark.parametrize("scheme", ["minmax", "percentile", "mse"])
def test_the_net_with_integers_is_close_to_the_net(scheme, tmp_path):
    net = filled(CONV)
    x = images(net, 60)
    packed = steps(net, INT8.format(scheme, 99.9), x[:40])
    assert set(ranges(packed)) == {"conv1", "conv2", "conv3", "fc"}
    assert ranges(packed)["conv2"][0] == 0
    assert ranges(net) == {}
    path = tmp_path / "x.cmodel"
    cmodel.save(packed, path)
    read = cmodel.load(path)
    assert ranges(read) == ranges(packed)
    fed = {"data": x[40:]}
    exact = Engine(read, 1).run(fed)["fc"]
    found = [Engine(read, threads, "int8").run(fed)["fc"] for threads in (1, 2)]
    assert (found[0] == found[1]).all()
    assert 0 < distance(found[0], exact) < 0.06
    # One image has the bits of a batch.
    single = Engine(read, 1, "int8").run({"data": x[40:41]})["fc"]
    assert (single[0] == found[0][0]).all()


def test_lenet_keeps_its_answers(shared_data, mnist_images):
    place = shared_data / "data/models/lenet_bvlc"
    lenet = cmodel.load(place / "deploy.prototxt", place / "lenet_iter_10000.caffemodel")
    packed = compress(lenet, "int8", data=mnist_images[:100])
    fed = {"data": mnist_images[100:]}
    exact = Engine(lenet, 1).run(fed)["prob"]
    found = Engine(packed, 1, "int8").run(fed)["prob"]
    assert (found.argmax(1) == exact.argmax(1)).mean() >= 0.99
    assert 0 < np.abs(found - exact).max() < 0.1


def test_without_ranges_the_error_says_how_to_calibrate():
    net = filled(CONV)
    with pytest.raises(UsageError, match="calibrated") as caught:
        Engine(net, 1, "int8")
    assert "quantize.activations" in str(caught.value.hint)


@pytest.mark.parametrize(
    "before",
    ["", '[[step]]\nmethod = "quantize.linear"\nscheme = "affine"\n',
     '[[step]]\nmethod = "quantize.linear"\nbits = 12\n',
     '[[step]]\nmethod = "quantize.linear"\ngranularity = "group"\ngroup_size = 9\n'],
)  # fmt: skip
def test_weights_have_to_be_integers_of_8_bits(before):
    net = filled(CONV)
    if "group" in before:
        before += 'select.name = "conv1"\n'
    step = '[[step]]\nmethod = "quantize.activations"\n'
    with pytest.raises(RecipeError, match="8-bit integers"):
        steps(net, before + step, images(net))


def test_images_are_needed():
    with pytest.raises(RecipeError, match="images to calibrate"):
        compress(filled(CONV), "int8")
