"""Filters go, and all that depends on them follows."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.compress.nets import CONV, apply, distance, filled, images, run

from cmodel.compress import compress, parse_recipe
from cmodel.errors import RecipeError
from cmodel.net import infer_shapes
from cmodel.tensors import Dense, Sparse

# A residual block, a depthwise convolution, a concatenation, a slice and all layers with channels.
WIDE = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 8 kernel_size: 3 pad: 1 } }
layer { name: "a_bn" type: "BatchNorm" bottom: "a" top: "a" }
layer { name: "a_scale" type: "Scale" bottom: "a" top: "a" scale_param { bias_term: true } }
layer { name: "a_relu" type: "PReLU" bottom: "a" top: "a" }
layer { name: "b" type: "Convolution" bottom: "a" top: "b" convolution_param { num_output: 6 kernel_size: 3 pad: 1 } }
layer { name: "b_bias" type: "Bias" bottom: "b" top: "b" }
layer { name: "c" type: "Convolution" bottom: "b" top: "c" convolution_param { num_output: 8 kernel_size: 1 } }
layer { name: "add" type: "Eltwise" bottom: "a" bottom: "c" top: "add" }
layer { name: "dw" type: "Convolution" bottom: "add" top: "dw" convolution_param { num_output: 8 group: 8 kernel_size: 3 } }
layer { name: "d" type: "Convolution" bottom: "dw" top: "d" convolution_param { num_output: 10 kernel_size: 1 } }
layer { name: "e" type: "Convolution" bottom: "dw" top: "e" convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "cat" type: "Concat" bottom: "d" bottom: "e" top: "cat" }
layer { name: "pool" type: "Pooling" bottom: "cat" top: "pool" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "cut" type: "Slice" bottom: "pool" top: "left" top: "right" slice_param { slice_point: 6 } }
layer { name: "flat" type: "Flatten" bottom: "left" top: "flat" }
layer { name: "fc1" type: "InnerProduct" bottom: "flat" top: "fc1" inner_product_param { num_output: 9 } }
layer { name: "fc2" type: "InnerProduct" bottom: "right" top: "fc2" inner_product_param { num_output: 9 transpose: true } }
layer { name: "both" type: "Eltwise" bottom: "fc1" bottom: "fc2" top: "both" }
layer { name: "fc3" type: "InnerProduct" bottom: "both" top: "fc3" inner_product_param { num_output: 5 } }
"""


def silenced(net, layer: str, filters: list[int], *others: str) -> None:
    """Make filters, their biases and entries of other parameters zero."""
    for name in (f"{layer}/0", f"{layer}/1", *others):
        values = net.parameters[name].to_dense().copy()
        axis = 1 if name == "fc2/0" else 0
        np.moveaxis(values, axis, 0)[filters] = 0
        net.parameters[name] = Dense(values)


@pytest.mark.parametrize("by", ["l1", "l2"])
def test_removing_filters_that_say_nothing_leaves_the_outputs(by):
    net, x = filled(WIDE), images(filled(WIDE))
    silenced(net, "a", [1, 4], "a_scale/0", "a_scale/1")
    silenced(net, "c", [1, 4])
    silenced(net, "dw", [1, 4])
    silenced(net, "b", [0, 5], "b_bias/0")
    silenced(net, "d", [2, 7, 9])
    silenced(net, "e", [3])
    silenced(net, "fc1", [0, 8])
    silenced(net, "fc2", [0, 8])
    more = f'density = 0.75\nby = "{by}"\n[step.name.b]\ndensity = 0.66\n[step.name.d]\ndensity = 0.7\n'
    more += "[step.name.'fc*']\ndensity = 0.77\n"
    new = apply(net, "prune.structured", more)
    infer_shapes(new)
    assert distance(run(new, x), run(net, x)) < 1e-5
    shapes = {name: new.parameters.shape(name) for name in new.parameters}
    assert shapes["a/0"] == (6, 3, 3, 3)
    assert shapes["a_bn/0"] == shapes["a_scale/1"] == shapes["a_relu/0"] == (6,)
    assert shapes["a_bn/2"] == (1,)
    assert shapes["b/0"] == (4, 6, 3, 3)
    assert shapes["b_bias/0"] == (4,)
    assert shapes["c/0"] == (6, 4, 1, 1)
    assert shapes["dw/0"] == (6, 1, 3, 3)
    assert new.layer("dw").param.convolution_param.group == 6
    assert shapes["d/0"] == (7, 6, 1, 1)
    assert shapes["e/0"] == (3, 6, 1, 1)
    # Of 6 channels on the left one went, of 8 on the right three.
    assert list(new.layer("cut").param.slice_param.slice_point) == [5]
    assert shapes["fc1/0"] == (7, 5 * 9)
    assert shapes["fc2/0"] == (5 * 9, 7)
    assert shapes["fc3/0"] == (5, 7)


@pytest.mark.parametrize("kind", ["ConvolutionDepthwise", "DepthwiseConvolution"])
def test_types_of_forks_that_shrink_too(kind):
    text = WIDE.replace('name: "dw" type: "Convolution"', f'name: "dw" type: "{kind}"')
    text = text.replace('name: "a_relu" type: "PReLU"', 'name: "a_relu" type: "ReLU6"')
    if kind == "ConvolutionDepthwise":
        text = text.replace("group: 8 ", "")
    net, x = filled(text), images(filled(text))
    silenced(net, "a", [1, 4], "a_scale/0", "a_scale/1")
    silenced(net, "c", [1, 4])
    silenced(net, "dw", [1, 4])
    new = apply(net, "prune.structured", 'density = 0.75\nselect = { name = ["a", "c", "dw"] }')
    infer_shapes(new)
    assert new.parameters.shape("a/0") == (6, 3, 3, 3)
    assert new.parameters.shape("dw/0") == (6, 1, 3, 3)
    assert new.layer("dw").param.convolution_param.HasField("group") == (kind[0] == "D")
    assert distance(run(new, x), run(net, x)) < 1e-5


def test_facts_say_what_was_kept_and_why():
    facts = apply(filled(WIDE), "prune.structured").notes["facts"]
    assert facts["a/0"]["prune.structured"] == {"filters": 8, "kept": 4}
    assert "c/0" not in facts
    assert facts["fc3/0"]["prune.structured"] == {"unchanged": "`fc3` is an output of the net"}


def test_tied_filters_go_by_the_sum_of_their_norms():
    net = filled(WIDE)
    for layer in ("a", "c", "dw"):
        values = np.ones(net.parameters.shape(f"{layer}/0"), np.float32)
        values[3] *= 5 if layer == "a" else 0.1
        values[5] *= 0.1
        net.parameters[f"{layer}/0"] = Dense(values)
    new = apply(net, "prune.structured", "density = 0.875\nselect = { name = 'c' }")
    assert new.parameters["a/0"].to_dense().reshape(7, -1).max(axis=1).tolist().count(5) == 1


def test_pruning_by_the_scale():
    net, x = filled(WIDE), images(filled(WIDE))
    values = net.parameters["a_scale/0"].to_dense().copy()
    values[[0, 2]] = 1e-3
    net.parameters["a_scale/0"] = Dense(values)
    more = 'by = "scale"\ndensity = 0.75\nselect = { name = "a" }'
    new = apply(net, "prune.structured", more)
    assert (new.parameters["a_scale/0"].to_dense() == np.delete(values, [0, 2])).all()
    assert run(new, x).shape == run(net, x).shape
    with pytest.raises(RecipeError, match="no Scale layer follows `b/0`"):
        apply(net, "prune.structured", more.replace('"a"', '"b"'))


def test_less_density_more_error():
    net, x = filled(WIDE), images(filled(WIDE))
    errors = [
        distance(run(apply(net, "prune.structured", f"density = {d}"), x), run(net, x))
        for d in (1.0, 0.9, 0.5, 0.3)
    ]
    assert errors[0] == 0
    assert errors == sorted(errors)
    tiny = apply(net, "prune.structured", "density = 0.001\nselect = { exclude = ['d', 'e'] }")
    assert tiny.parameters.shape("d/0") == (10, 1, 1, 1)
    with pytest.raises(RecipeError, match="nothing would be left of `left`"):
        apply(net, "prune.structured", "density = 0.001")


@pytest.mark.parametrize(
    ("old", "new", "name", "match"),
    [
        ('type: "PReLU"', 'type: "LRN"', "a", "`a_relu` normalises across"),
        ("num_output: 8 group: 8", "num_output: 8 group: 2", "a", "`dw` has 2 groups"),
        ("", "", "fc3", "output of the net"),
        ('type: "Eltwise" bottom: "a"', 'type: "Eltwise" bottom: "data3" bottom: "a"', "c", "fed from outside"),
        ('type: "PReLU"', 'type: "MVN"', "a", r"`a_relu` \(MVN\) depends"),
    ],
)  # fmt: skip
def test_layers_that_cannot_shrink_are_named(old, new, name, match):
    net = filled(WIDE.replace('name: "data"', 'name: "data" top: "data3"').replace(
        "dim: 8 } }", "dim: 8 } shape { dim: 1 dim: 8 dim: 8 dim: 8 } }", 1).replace(
        'top: "data3" type: "Input" top: "data"', 'type: "Input" top: "data" top: "data3"').replace(old, new)
    )  # fmt: skip
    with pytest.raises(RecipeError, match=f"can shrink none(.|\n)*{match}"):
        apply(net, "prune.structured", f"select = {{ name = '{name}' }}")


def test_flattening_behind_the_channels_keeps_them_apart():
    text = WIDE.replace('top: "flat" }', 'top: "flat" flatten_param { axis: 2 end_axis: 3 } }')
    new = apply(filled(text), "prune.structured", "select = { name = 'd' }")
    assert new.parameters.shape("d/0")[0] == 5
    infer_shapes(new)


def test_shared_and_quantized_parameters():
    net = filled(
        CONV
        + """
    layer { name: "again" type: "Convolution" bottom: "conv2" top: "again" convolution_param { num_output: 10 kernel_size: 1 bias_term: false } }
    layer { name: "sum" type: "Eltwise" bottom: "again" bottom: "conv3" top: "sum" }
    layer { name: "end" type: "Silence" bottom: "sum" }
    """
    )
    net.layer("again").parameters = ["conv3/0"]
    with pytest.raises(RecipeError, match="`conv3/0` is shared"):
        apply(net, "prune.structured", "select = { name = 'conv3' }")
    text = '[[step]]\nmethod = "quantize.kmeans"\nk = 4\n[[step]]\nmethod = "prune.structured"'
    with pytest.raises(RecipeError, match="comes before quantization"):
        compress(filled(WIDE), parse_recipe(text, "r"))


def test_pruned_weights_stay_sparse():
    text = '[[step]]\nmethod = "prune.magnitude"\n[[step]]\nmethod = "prune.structured"'
    net = compress(filled(WIDE), parse_recipe(text, "r"))
    assert isinstance(net.parameters["d/0"], Sparse)
    assert net.parameters["d/0"].shape == (5, 4, 1, 1)
    text = text.replace("prune.magnitude", 'prune.block"\nheight = 1\nnorm = "l1')
    net = compress(filled(WIDE), parse_recipe(text, "r"))
    assert net.parameters["d/0"].shape == (5, 4, 1, 1)
    with pytest.raises(RecipeError, match=r"the blocks of .* would no longer fit"):
        compress(
            filled(WIDE),
            parse_recipe(
                text.replace("height = 1", "height = 1\nselect = { name = 'd' }\nwidth = 2"), "r"
            ),
        )


@pytest.mark.parametrize(
    ("options", "match"), [("density = 0", "density"), ('by = "l3"', "by is one of l1, l2, scale")]
)
def test_wrong_options_are_named(options, match):
    with pytest.raises(RecipeError, match=match):
        apply(filled(WIDE), "prune.structured", options)


def test_biases_have_no_filters():
    with pytest.raises(RecipeError, match="no filters"):
        apply(filled(WIDE), "prune.structured", "select = { kind = 'biases' }")
