from dataclasses import replace

import numpy as np
import pytest

from cmodel.compress import compress, recipe_of, sensitivity
from cmodel.container import size_of_form
from cmodel.errors import DataError, RecipeError, UsageError
from cmodel.evaluate import compare

from .nets import CONV, filled, images, run

# fc reads 2x2 maps of conv3; the scores are rectified in place.
TEXT = CONV + 'layer { name: "last" type: "ReLU" bottom: "fc" top: "fc" }'
BRANCHED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 6 dim: 6 } } }
layer { name: "a*" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "ab" type: "Convolution" bottom: "data" top: "b" convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }
layer { name: "more" type: "Concat" bottom: "sum" bottom: "data" top: "more" }
layer { name: "fc" type: "InnerProduct" bottom: "more" top: "fc" inner_product_param { num_output: 5 } }
"""
STEPS = [{"method": "quantize.linear", "bits": 3}, {"method": "prune.magnitude", "density": 0.2}]


def direct(net, x, layer, step, labels=None):
    """The same by plain means: compress, run the whole net."""
    recipe = recipe_of({"step": [{**step, "select": {"name": layer.replace("*", "[*]")}}]}, "r")
    packed = compress(net, recipe)
    return compare(run(net, x), run(packed, x), labels), packed


@pytest.mark.parametrize("text", [TEXT, BRANCHED])
def test_running_from_a_layer_on_is_running_the_whole_net(text):
    net = filled(text)
    x, labels = images(net, 23), np.arange(23) % 5
    found = sensitivity(net, x, labels, steps=STEPS, batch=10, threads=1)
    layers = [key for key in ("conv1", "conv2", "conv3", "a*", "ab", "fc") if key in
              {layer.key for layer in net.layers}]  # fmt: skip
    assert [(entry.layer, entry.step) for entry in found] == [
        (layer, step) for layer in layers for step in STEPS
    ]
    for entry in found:
        expected, packed = direct(net, x, entry.layer, entry.step, labels)
        # What is fused depends on where a run starts: the last bits differ.
        assert entry.comparison.kl == pytest.approx(expected.kl, rel=1e-4)
        assert replace(entry.comparison, kl=0.0) == replace(expected, kl=0.0)
        assert entry.comparison.kl > 0
        name = f"{entry.layer}/0"
        assert entry.bytes == size_of_form(packed.parameters[name])
        assert entry.bytes_before == 4 * net.parameters[name].to_dense().size


def test_a_rewrite_of_a_layer():
    net = filled(TEXT)
    x = images(net, 12)
    step = {"method": "factorize.svd", "rank": 2}
    (found,) = sensitivity(net, x, steps=[step], layers=["fc"], threads=1)
    expected, packed = direct(net, x, "fc", step)
    assert found.comparison.kl == pytest.approx(expected.kl, rel=1e-6)
    assert found.comparison.agreement == expected.agreement
    assert len(packed.layers) == len(net.layers) + 1
    assert 0 < found.bytes < found.bytes_before


def test_shared_weights_change_everywhere():
    net = filled(BRANCHED)
    net.layer("ab").parameters = ["a*/0", "a*/1"]
    del net.parameters["ab/0"], net.parameters["ab/1"]
    x = images(net, 8)
    found = sensitivity(net, x, steps=STEPS[:1], threads=1)
    assert [entry.layer for entry in found] == ["a*", "fc"]
    assert found[0].comparison == direct(net, x, "a*", STEPS[0])[0]


def test_a_method_that_needs_images_gets_them():
    net = filled(TEXT)
    x = images(net, 20)
    step = {"method": "prune.obs", "density": 0.5}
    with pytest.raises(RecipeError, match="needs images to calibrate"):
        sensitivity(net, x, steps=[step], layers=["fc"], threads=1)
    (found,) = sensitivity(
        net, x, steps=[step], layers=["fc"], calibration=images(net, 20, 9), threads=1
    )
    assert found.comparison.kl > 0


def test_the_net_stays_as_it_was_and_events_come():
    net, seen = filled(TEXT), []
    before = {name: net.parameters[name] for name in net.parameters}
    sensitivity(
        net, images(net, 5), steps=STEPS, threads=1, on_progress=lambda *event: seen.append(event)
    )
    assert all(net.parameters[name] is form for name, form in before.items())
    assert [event[:2] for event in seen] == sorted(event[:2] for event in seen)
    assert seen[-1][:2] == (8, 8)


def test_bad_calls():
    net = filled(TEXT)
    x = images(net, 4)
    with pytest.raises(UsageError, match="did you mean `conv1`"):
        sensitivity(net, x, layers=["conv11"])
    with pytest.raises(RecipeError, match="no `select`"):
        sensitivity(net, x, steps=[{**STEPS[0], "select": {"name": "fc"}}])
    with pytest.raises(RecipeError, match="there is no method"):
        sensitivity(net, x, steps=[{"method": "none"}])
    with pytest.raises(UsageError, match="no blob `prob`"):
        sensitivity(net, x, output="prob")
    with pytest.raises(UsageError, match="`conv1` does not hold a score"):
        sensitivity(net, x, output="conv1")
    with pytest.raises(DataError, match="image 0 has the label 9"):
        sensitivity(net, x, np.full(4, 9), steps=STEPS[:1])
    with pytest.raises(DataError, match="no images"):
        sensitivity(net, x[:0])
