"""Layers in the place of others: low rank, and what has to follow."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from tests.unit.compress.nets import CONV, apply, distance, filled, images, run

from cmodel.compress import compress, parse_recipe
from cmodel.compress.biclustering import balanced, biclustered
from cmodel.compress.decompositions import tucker
from cmodel.compress.methods import factorize_svd
from cmodel.errors import RecipeError
from cmodel.net import infer_shapes
from cmodel.tensors import Codebook, Dense, Sparse


@pytest.mark.parametrize("name", ["conv1", "conv2", "conv3", "fc"])
@pytest.mark.parametrize("weighted", [False, True])
def test_full_rank_svd_leaves_the_outputs(name, weighted):
    net, x = filled(CONV), images(filled(CONV))
    rank = {"conv1": 8, "conv2": 6, "conv3": 10, "fc": 7}[name]
    more = f"weighted = {str(weighted).lower()}\nrank = {rank}\nselect = {{ name = '{name}' }}"
    new = apply(net, "factorize.svd", more, data=x)
    assert [layer.key for layer in new.layers if layer.key.startswith(name)] == [
        f"{name}_v",
        f"{name}_u",
    ]
    assert new.layer(f"{name}_u").tops == (name,)
    assert len(new.layer(f"{name}_v").parameters) == 1
    infer_shapes(new)
    assert distance(run(new, x), run(net, x)) < 1e-5
    assert net.layer(name).parameters[0] in net.parameters


def test_a_transposed_inner_product_is_factorised_too():
    text = CONV.replace("{ num_output: 7 }", "{ num_output: 7 transpose: true }")
    net, x = filled(text), images(filled(text))
    new = apply(net, "factorize.svd", "rank = 7\nselect = { name = 'fc' }")
    assert distance(run(new, x), run(net, x)) < 1e-5


def test_more_rank_less_error():
    net, x = filled(CONV), images(filled(CONV))
    errors = [
        distance(
            run(apply(net, "factorize.svd", f"rank = {rank}\nselect = {{ name = 'fc' }}"), x),
            run(net, x),
        )
        for rank in (1, 3, 5, 7)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.2


def _rank(options: str) -> int:
    net = filled(CONV)
    new = apply(net, "factorize.svd", f"{options}\nselect = {{ name = 'fc' }}")
    if "fc_v" not in [layer.key for layer in new.layers]:
        return 0
    return new.layer("fc_v").param.inner_product_param.num_output


def test_the_rank_by_energy_error_and_size():
    s = np.linalg.svd(filled(CONV).parameters["fc/0"].to_dense().reshape(7, -1), compute_uv=False)
    energy = np.cumsum(s**2) / (s**2).sum()
    assert _rank("energy = 0.5") == np.searchsorted(energy, 0.5) + 1
    assert _rank("error = 0.6") == np.searchsorted(energy, 1 - 0.36) + 1
    assert _rank("ratio = 0.5") == int(0.5 * 7 * 60 / 67)


def test_a_layer_that_would_grow_stays():
    assert _rank("energy = 1.0") == 0
    net = filled(CONV)
    new = apply(net, "factorize.svd", "energy = 1.0\nselect = { name = 'fc' }")
    assert "not be smaller" in new.notes["facts"]["fc/0"]["factorize.svd"]["kept"]


def test_weighting_by_the_data_lowers_the_response_error():
    net, x = filled(CONV), images(filled(CONV))
    more = "rank = 5\ndamp = 1e-6\nselect = { name = 'conv1' }\n"
    plain, weighted = (
        distance(
            run(apply(net, "factorize.svd", more + extra, data=x), x, "conv1"), run(net, x, "conv1")
        )
        for extra in ("", "weighted = true")
    )
    assert weighted < plain


def test_a_large_matrix_is_decomposed_at_random(monkeypatch):
    rng = np.random.default_rng(0)
    rows = (
        rng.normal(size=(1, 120, 40)) @ np.diag(0.7 ** np.arange(40)) @ rng.normal(size=(40, 300))
    )
    rows = rows.astype(np.float32)
    for options in (
        factorize_svd.Options(rank=12),
        factorize_svd.Options(energy=0.999),
        factorize_svd.Options(error=0.1),
        factorize_svd.Options(ratio=0.2),
    ):
        rank = factorize_svd.rank_for(rows, options)
        exact = factorize_svd.factors(rows, rank, np.random.default_rng(0))
        with monkeypatch.context() as patch:
            patch.setattr(factorize_svd, "EXACT_SIZE", 0)
            assert factorize_svd.rank_for(rows, options) == rank
            last, first, energy = factorize_svd.factors(rows, rank, np.random.default_rng(0))
        assert energy == pytest.approx(exact[2], rel=1e-5)
        assert distance(last @ first, rows) == pytest.approx(
            distance(exact[0] @ exact[1], rows), rel=0.05, abs=1e-6
        )


@pytest.mark.parametrize("values", [np.zeros((4, 6)), np.full((4, 6), 3.0), np.full((1, 1), -2.0)])
def test_constant_and_one_element_matrices(values):
    rows = values[None].astype(np.float32)
    assert factorize_svd.rank_for(rows, factorize_svd.Options()) == 1
    last, first, _ = factorize_svd.factors(rows, 1, np.random.default_rng(0))
    assert np.allclose(last @ first, rows)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ("rank = 0", "rank is an integer from 1"),
        ("rank = 2\nenergy = 0.5", "exclude each other"),
        ("energy = 0", "energy is a number above 0"),
        ("ratio = 2", "ratio"),
        ("rnk = 2", "did you mean `rank`"),
        ("rank = 9\nselect = { name = 'fc' }", "rank 9 is beyond the 7"),
        ("select = { kind = 'biases' }", "works on the weights"),
        ("weighted = 1", "true or false"),
    ],
)
def test_wrong_options_are_named(options, match):
    with pytest.raises(RecipeError, match=match):
        apply(filled(CONV), "factorize.svd", options)


def test_weighted_needs_data():
    with pytest.raises(RecipeError, match="--calib"):
        apply(filled(CONV), "factorize.svd", "weighted = true")


def test_shared_parameters_and_quantized_ones_are_refused():
    net = filled(CONV)
    with pytest.raises(RecipeError, match="comes before quantization"):
        compress(
            net,
            parse_recipe(
                '[[step]]\nmethod = "quantize.kmeans"\nk = 2\n[[step]]\nmethod = "factorize.svd"',
                "r",
            ),
        )
    text = (
        CONV
        + """
    layer { name: "again" type: "InnerProduct" bottom: "conv3" top: "fc2" inner_product_param { num_output: 7 } }
    """
    )
    net = filled(text)
    net.layers[-1].parameters = ["fc/0", "again/1"]
    with pytest.raises(RecipeError, match="shares parameters"):
        apply(net, "factorize.svd", "rank = 2\nselect = { name = 'fc' }")


def test_the_next_steps_see_the_new_layers():
    net = filled(CONV)
    text = """
    [[step]]
    method = "factorize.svd"
    rank = 4
    select = { name = "fc" }
    [[step]]
    method = "prune.magnitude"
    density = 0.5
    select = { name = "fc_*" }
    [[step]]
    method = "quantize.kmeans"
    k = 4
    [step.name."fc_u"]
    k = 2
    """
    new = compress(net, parse_recipe(text, "r"))
    form = new.parameters["fc_u/0"]
    assert isinstance(form, Sparse)
    assert isinstance(form.values, Codebook)
    assert form.values.entries == 2
    assert isinstance(new.parameters["conv1/0"], Codebook)
    assert np.isfinite(run(new, images(net))).all()


def test_new_names_are_unique():
    text = CONV.replace('"conv3"', '"fc_v"')
    net = filled(text)
    new = apply(net, "factorize.svd", "rank = 7\nselect = { name = 'fc' }")
    assert [layer.key for layer in new.layers][-3:] == ["fc_v", "fc_v2", "fc_u"]
    assert distance(run(new, images(net)), run(net, images(net))) < 1e-5


# fold.batchnorm

NORMED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 dim: 9 dim: 8 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 8 kernel_size: 3 pad: 1 bias_term: false } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
        convolution_param { num_output: 8 kernel_size: 3 group: 4 pad: 1 } }
layer { name: "bn2" type: "BatchNorm" bottom: "conv2" top: "bn2" }
layer { name: "add" type: "Eltwise" bottom: "conv1" bottom: "bn2" top: "add" }
layer { name: "bn3" type: "BatchNorm" bottom: "add" top: "bn3" }
layer { name: "fc" type: "InnerProduct" bottom: "bn3" top: "fc" inner_product_param { num_output: 7 transpose: true } }
layer { name: "scale4" type: "Scale" bottom: "fc" top: "out" }
"""


def test_folding_leaves_the_outputs():
    net, x = filled(NORMED), images(filled(NORMED))
    new = apply(net, "fold.batchnorm")
    assert [layer.key for layer in new.layers] == [
        "data",
        "conv1",
        "relu1",
        "conv2",
        "add",
        "bn3",
        "fc",
    ]
    assert new.layer("conv2").tops == ("bn2",)
    assert new.layer("conv1").param.convolution_param.bias_term
    assert set(new.parameters) == {
        "conv1/0", "conv1/1", "conv2/0", "conv2/1", "bn3/0", "bn3/1", "bn3/2", "fc/0", "fc/1",
    }  # fmt: skip
    infer_shapes(new)
    assert distance(run(new, x), run(net, x)) < 1e-6
    facts = new.notes["facts"]
    assert facts["conv1/0"]["fold.batchnorm"]["folded"] == ["bn1", "scale1"]


def test_a_batchnorm_that_shares_its_bottom_is_not_folded():
    text = NORMED.replace('bottom: "conv1" bottom: "bn2"', 'bottom: "conv2" bottom: "bn2"')
    net, x = filled(text), images(filled(text))
    new = apply(net, "fold.batchnorm")
    assert "bn2" in [layer.key for layer in new.layers]
    assert distance(run(new, x), run(net, x)) < 1e-6


def test_statistics_of_the_batch_are_not_folded():
    text = NORMED.replace(
        'top: "bn2" }', 'top: "bn2" batch_norm_param { use_global_stats: false } }'
    )
    assert "bn2" in [layer.key for layer in apply(filled(text), "fold.batchnorm").layers]


def test_a_factor_of_zero_counts_as_no_statistics():
    net, x = filled(NORMED), images(filled(NORMED))
    net.parameters["bn1/2"] = Dense(np.zeros(1, np.float32))
    assert distance(run(apply(net, "fold.batchnorm"), x), run(net, x)) < 1e-6


def test_nothing_to_fold_is_an_error():
    with pytest.raises(RecipeError, match="finds no BatchNorm"):
        apply(filled(CONV), "fold.batchnorm")


# factorize.conv

SQUARE = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 6 dim: 13 dim: 12 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 10 kernel_h: 3 kernel_w: 5 pad_h: 2 pad_w: 1 stride_h: 1 stride_w: 2 dilation: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 7 } }
"""
CHAINS = {
    "spatial": ["conv_v", "conv_h"],
    "tucker": ["conv_in", "conv_core", "conv_out"],
    "cp": ["conv_in", "conv_v", "conv_h", "conv_out"],
    "monochromatic": ["conv_mix", "conv_mono"],
    "biclustered": ["conv_in", "conv_core", "conv_out"],
}


def conv(scheme: str, options: str, net=None, **more):
    text = f'scheme = "{scheme}"\n{options}\nselect = {{ name = "conv" }}'
    return apply(net or filled(SQUARE), "factorize.conv", text, **more)


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("spatial", "rank = 18"),
        ("tucker", "rank = 10"),
        ("tucker", "rank = 10\nrank_in = 6"),
        ("cp", "rank = 90\niterations = 1000"),
        ("spatial", "rank = 18\nweighted = true\ndamp = 1e-6"),
        ("tucker", "rank = 10\nweighted = true\ndamp = 1e-6"),
        ("biclustered", "rank = 5\nrank_in = 3"),
        ("biclustered", "rank = 10\nclusters = 1"),
    ],
)
def test_chains_of_full_rank_leave_the_outputs(scheme, options):
    net, x = filled(SQUARE), images(filled(SQUARE))
    new = conv(scheme, options, data=x)
    assert [layer.key for layer in new.layers[1:-2]] == CHAINS[scheme]
    infer_shapes(new)
    assert distance(run(new, x), run(net, x)) < (1e-3 if scheme == "cp" else 1e-5)


def test_filters_of_one_colour_are_found_exactly():
    net, x = filled(SQUARE), images(filled(SQUARE))
    rng = np.random.default_rng(0)
    colours, shapes = rng.normal(size=(3, 6)), rng.normal(size=(10, 3, 5))
    which = np.arange(10) % 3
    weights = colours[which][:, :, None, None] * shapes[:, None]
    net.parameters["conv/0"] = Dense(weights.astype(np.float32))
    new = conv("monochromatic", "rank = 4", net)
    assert distance(run(new, x), run(net, x)) < 1e-5
    form = new.parameters["conv_mono/0"]
    assert isinstance(form, Sparse)
    assert form.positions.size == 150


def test_channels_and_filters_that_belong_together_are_found():
    # Each pair of clusters is of rank 1: an input vector, a kernel, an output vector.
    net, x = filled(SQUARE), images(filled(SQUARE))
    rng = np.random.default_rng(3)
    inward, outward = rng.permutation(6) % 2, rng.permutation(10) % 2
    weights = np.zeros((10, 6, 3, 5))
    for taken in range(2):
        for given in range(2):
            out = 1 + rng.uniform(-0.1, 0.1, 10)
            into = 1 + rng.uniform(-0.1, 0.1, 6)
            kernel = rng.normal(size=(3, 5))
            block = np.einsum(
                "n,c,yx->ncyx", out * (outward == given), into * (inward == taken), kernel
            )
            weights += block
    net.parameters["conv/0"] = Dense(weights.astype(np.float32))
    new = conv("biclustered", "rank = 1", net)
    assert distance(run(new, x), run(net, x)) < 1e-5
    # Every channel is read, and every filter written, for each cluster of the other side.
    sizes = [new.parameters[f"conv_{name}/0"].positions.size for name in ("in", "out")]
    assert sizes == [2 * 6, 2 * 10]
    assert new.layer("conv_core").param.convolution_param.group == 4


@pytest.mark.parametrize("clusters", [1, 2, 3])
def test_pairs_of_clusters_are_low_rank_approximations_of_their_own(clusters):
    weights = np.random.default_rng(0).normal(size=(11, 7, 3, 2))
    rng = np.random.default_rng(1)
    chain = biclustered(weights, clusters, (2, 2), 1, 50, rng)
    rng = np.random.default_rng(1)
    inward = balanced(weights.swapaxes(0, 1).reshape(7, -1), clusters, 50, rng)
    outward = balanced(weights.reshape(11, -1), clusters, 50, rng)
    for numbers in (inward, outward):
        sizes = np.bincount(numbers, minlength=clusters)
        assert sizes.max() - sizes.min() <= 1
    stated = np.zeros_like(weights)
    for taken in range(clusters):
        for given in range(clusters):
            place = np.ix_(outward == given, inward == taken)
            stated[place] = tucker(weights[place], (2, 2), None, None, 50).approximation()
    assert np.allclose(chain.approximation(), stated, atol=1e-12)


def test_balanced_clusters_share_points_out_at_the_least_cost():
    points = np.random.default_rng(2).normal(size=(6, 3))
    found = balanced(points, 2, 100, np.random.default_rng(0))
    centres = np.stack([points[found == i].mean(axis=0) for i in range(2)])
    cost = ((points[:, None] - centres) ** 2).sum(axis=2)
    every = [sum(cost[i, int(i in first)] for i in range(6)) for first in combinations(range(6), 3)]
    assert cost[np.arange(6), found].sum() == pytest.approx(min(every))


def test_more_rank_of_pairs_is_closer():
    errors = []
    for rank in (1, 2, 3, 5):
        facts = conv("biclustered", f"rank = {rank}").notes["facts"]["conv/0"]["factorize.conv"]
        errors.append(facts["error"])
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-6 < errors[-2] < errors[0] < 1


@pytest.mark.parametrize("scheme", [scheme for scheme in CHAINS if scheme != "biclustered"])
def test_more_rank_is_closer(scheme):
    errors = []
    for rank in (1, 3, 6):
        new = conv(scheme, f"rank = {rank}")
        facts = new.notes["facts"]["conv/0"]["factorize.conv"]
        errors.append(facts["error"])
        assert [layer.key for layer in new.layers[1:-2]] == CHAINS[scheme]
    assert errors == sorted(errors, reverse=True)
    assert 0 < errors[-1] < errors[0] < 1


@pytest.mark.parametrize("scheme", ["spatial", "tucker", "cp", "biclustered"])
def test_the_weights_that_a_ratio_allows(scheme):
    new = conv(scheme, "ratio = 0.6")
    size = sum(np.count_nonzero(new.parameters[f"{name}/0"].to_dense()) for name in CHAINS[scheme])
    assert 0.35 * 900 < size <= 0.6 * 900


@pytest.mark.parametrize("scheme", ["spatial", "tucker"])
def test_the_energy_that_is_kept(scheme):
    facts = conv(scheme, "energy = 0.5").notes["facts"]["conv/0"]["factorize.conv"]
    assert facts["error"] ** 2 <= (0.5 if scheme == "spatial" else 0.8)
    kept = conv(scheme, "energy = 1.0").notes["facts"]["conv/0"]["factorize.conv"]
    assert "not be smaller" in kept["kept"]


@pytest.mark.parametrize("scheme", ["spatial", "tucker", "cp"])
def test_fitting_the_responses_lowers_their_error(scheme):
    net, x = filled(SQUARE), images(filled(SQUARE))
    net.layer("relu").param.relu_param.negative_slope = 1
    exact = run(net, x, "conv")
    plain, fitted = (
        distance(
            run(conv(scheme, "rank = 4\ndamp = 1e-6\n" + extra, net, data=x), x, "conv"), exact
        )
        for extra in ("", "weighted = true")
    )
    assert fitted < 0.98 * plain


@pytest.mark.parametrize("scheme", CHAINS)
def test_chains_of_all_zero_and_constant_weights(scheme):
    for value in (0, 2):
        net, x = filled(SQUARE), images(filled(SQUARE))
        net.parameters["conv/0"] = Dense(np.full((10, 6, 3, 5), value, np.float32))
        new = conv(scheme, "rank = 1", net)
        assert distance(run(new, x), run(net, x)) < 1e-4


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ("rank = 0", "rank is an integer from 1"),
        ("rank = 19", "rank 19 is beyond the 18"),
        ('scheme = "tucker"\nrank = 11', "rank 11 is beyond the 10"),
        ('scheme = "tucker"\nrank = 2\nrank_in = 7', "rank_in 7 is beyond the 6"),
        ("rank_in = 2", "rank_in goes with"),
        ("rank = 2\nratio = 0.5", "exclude each other"),
        ('scheme = "cp"\nenergy = 0.5', "energy is for"),
        ('scheme = "monochromatic"', "takes rank"),
        ('scheme = "biclustered"\nweighted = true', "no weighting"),
        ('scheme = "biclustered"\nclusters = 7', "7 clusters of the 6 channels"),
        ('scheme = "biclustered"\nrank = 6', "beyond the 5"),
        ("clusters = 2", "clusters go with"),
        ('scheme = "svd"', "scheme is one of"),
    ],
)
def test_wrong_options_of_chains_are_named(options, match):
    with pytest.raises(RecipeError, match=match):
        apply(filled(SQUARE), "factorize.conv", options + "\nselect = { name = 'conv' }")


def test_layers_that_are_no_plain_convolutions_are_named():
    with pytest.raises(RecipeError, match="`fc` is none"):
        apply(filled(SQUARE), "factorize.conv", "select = { name = 'fc' }")
    with pytest.raises(RecipeError, match="`conv2` has 2 groups"):
        apply(filled(CONV), "factorize.conv", "select = { name = 'conv2' }")


# factorize.dictionary


@pytest.mark.parametrize("kernel", ["data", "smooth"])
@pytest.mark.parametrize("choose", ["worst", "random"])
def test_a_dictionary_of_all_inputs_is_exact(kernel, choose):
    net, x = filled(SQUARE), images(filled(SQUARE))
    for name, rank in (("conv", 90), ("fc", net.parameters.shape("fc/0")[1])):
        more = f'kernel = "{kernel}"\nchoose = "{choose}"\nrank = {rank}\nselect = {{ name = "{name}" }}'
        new = apply(net, "factorize.dictionary", more, data=x)
        infer_shapes(new)
        assert [layer.key for layer in new.layers if layer.key.startswith(name)] == [
            f"{name}_v",
            f"{name}_u",
        ]
        assert distance(run(new, x), run(net, x)) < 1e-4


def test_larger_dictionaries_are_closer():
    net, x = filled(CONV), images(filled(CONV), 100)
    for kernel in ("data", "smooth"):
        errors = []
        for rank in (1, 4, 12):
            more = f'kernel = "{kernel}"\nrank = {rank}\nselect = {{ name = "conv1" }}'
            errors.append(
                distance(
                    run(apply(net, "factorize.dictionary", more, data=x), x, "conv1"),
                    run(net, x, "conv1"),
                )
            )
        assert errors == sorted(errors, reverse=True)


def test_smooth_filters_are_predicted_from_few_values():
    net = filled(SQUARE)
    y, x = np.mgrid[:3, :5]
    rng = np.random.default_rng(0)
    phase = rng.normal(size=(10, 6, 1, 1))
    net.parameters["conv/0"] = Dense(np.sin(phase + 0.3 * y + 0.2 * x).astype(np.float32))
    more = 'kernel = "smooth"\nwidth = 3.0\nridge = 1e-4\nrank = 30\nselect = { name = "conv" }'
    new = apply(net, "factorize.dictionary", more)
    assert new.notes["facts"]["conv/0"]["factorize.dictionary"]["error"] < 0.05


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ("rank = 0", "rank is an integer from 1"),
        ("rank = 91\nkernel = 'smooth'\nselect = { name = 'conv' }", "rank 91 is beyond the 90"),
        ("rank = 2\nratio = 0.5", "exclude"),
        ("kernel = 'rough'", "kernel is one of"),
        ("", "needs images"),
    ],
)
def test_wrong_options_of_dictionaries_are_named(options, match):
    with pytest.raises(RecipeError, match=match):
        apply(filled(SQUARE), "factorize.dictionary", options)


def test_inputs_without_neighbours_are_named():
    with pytest.raises(RecipeError, match="not neighbours"):
        apply(
            filled(CONV), "factorize.dictionary", "kernel = 'smooth'\nselect = { name = 'conv3' }"
        )
