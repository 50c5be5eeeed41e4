"""Each method does what its paper says, also at the edges."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from tests.nets import toy_net

from cmodel.compress import Task, find_method
from cmodel.errors import RecipeError
from cmodel.tensors import Codebook, Dense, Form, Linear, Sparse


def run(name: str, values, **options) -> Form:
    method = find_method(name)
    form = values if not isinstance(values, np.ndarray) else Dense(values.astype(np.float32))
    layer = toy_net().layers[1]
    rng = np.random.default_rng(0)
    return method.run(Task(layer, "conv/0", form, method.make_options(options), rng)).form


def gaussian(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# prune.magnitude


def test_quality_is_a_threshold_in_standard_deviations():
    weights = gaussian(40, 50)
    form = run("prune.magnitude", weights, quality=0.7)
    keep = np.abs(weights) >= 0.7 * weights.std(dtype=np.float64)
    assert isinstance(form, Sparse)
    assert (form.to_dense() == np.where(keep, weights, 0)).all()


@pytest.mark.parametrize("density", [0.001, 0.3, 1.0])
def test_density_keeps_the_largest(density):
    weights = gaussian(40, 50)
    form = run("prune.magnitude", weights, density=density)
    assert isinstance(form, Sparse)
    assert form.positions.size == round(density * 2000)
    dense = form.to_dense()
    assert np.abs(dense[dense != 0]).min() >= np.abs(weights[dense == 0]).max(initial=0)


def test_density_among_equals_keeps_the_earlier():
    form = run("prune.magnitude", np.ones((2, 4)), density=0.5)
    assert isinstance(form, Sparse)
    assert form.positions.tolist() == [0, 1, 2, 3]


def test_pruning_an_all_zero_and_a_constant_tensor():
    zero = run("prune.magnitude", np.zeros((3, 4)))
    assert isinstance(zero, Sparse)
    assert zero.positions.size == 0
    constant = run("prune.magnitude", np.full((3, 4), 2.0))
    assert (constant.to_dense() == 2).all()


def test_pruning_twice_goes_on_from_the_first():
    once = run("prune.magnitude", gaussian(10, 10), density=0.5)
    twice = run("prune.magnitude", once, density=0.2)
    assert isinstance(twice, Sparse)
    assert twice.positions.size == 20


def test_pruning_after_quantization_says_why_not():
    with pytest.raises(RecipeError, match="before quantization"):
        run("prune.magnitude", run("quantize.kmeans", gaussian(10, 10), k=4))


# quantize.kmeans


@pytest.mark.parametrize("init", ["linear", "density", "random", "exact"])
def test_every_weight_takes_its_nearest_centroid(init):
    weights = gaussian(30, 40)
    form = run("quantize.kmeans", weights, k=8, init=init)
    assert isinstance(form, Codebook)
    assert 1 < form.entries <= 8
    distance = np.abs(weights[..., None].astype(np.float64) - form.centroids.to_dense()[0])
    assert (distance.argmin(axis=-1) == form.indices).all()


def test_a_centroid_is_the_mean_of_its_weights():
    weights = gaussian(30, 40)
    form = run("quantize.kmeans", weights, k=6, iterations=1000)
    assert isinstance(form, Codebook)
    for index, centroid in enumerate(form.centroids.to_dense()[0]):
        assert weights[form.indices == index].mean(dtype=np.float64) == pytest.approx(
            centroid, abs=1e-6
        )


def test_exact_is_the_best_of_all():
    weights = gaussian(20, 20)

    def error(init: str) -> float:
        form = run("quantize.kmeans", weights, k=7, init=init, iterations=1000)
        return float(((form.to_dense() - weights) ** 2).sum())

    best = error("exact")
    assert all(best <= error(init) + 1e-6 for init in ("linear", "density", "random"))


def test_more_centroids_than_distinct_weights_are_exact():
    weights = np.array([[1.5, -2, 0.25], [0.25, 1.5, 1.5]])
    for init in ("linear", "density", "random", "exact"):
        form = run("quantize.kmeans", weights, k=256, init=init)
        assert isinstance(form, Codebook)
        assert form.entries <= 3
    assert (run("quantize.kmeans", weights, k=256, init="exact").to_dense() == weights).all()


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.full((4,), -7.5), np.array([[3.25]])])
def test_constant_and_one_element_tensors_are_one_centroid(values):
    form = run("quantize.kmeans", values, k=32)
    assert isinstance(form, Codebook)
    assert form.entries == 1
    assert (form.to_dense() == values).all()


def test_minus_zero_becomes_plus_zero():
    form = run("quantize.kmeans", np.full((2, 2), -0.0), k=2)
    assert (form.to_dense().view(np.uint32) == 0).all()


def test_unused_centroids_go_and_indices_are_renumbered_block_by_block():
    # Two clusters, the second of which comes only after more than a block of indices.
    values = np.zeros((2, 50_000), np.float32)
    values[1, 40_000:] = 1
    values[1, -5:] = np.float32(0.99)
    form = run("quantize.kmeans", values, k=300)
    assert isinstance(form, Codebook)
    assert form.indices.dtype == np.uint8
    assert form.entries == len(np.unique(form.indices)) == form.indices.max() + 1
    assert np.abs(form.to_dense() - values).max() < 1e-3


def test_methods_are_known_without_the_libraries_that_few_of_them_need():
    code = "import sys, cmodel.compress; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert not {"sklearn", "scipy.ndimage", "scipy.stats"} & set(found.stdout.split())


def test_kmeans_on_the_values_of_a_sparse_tensor():
    sparse = run("prune.magnitude", gaussian(20, 20), density=0.25)
    form = run("quantize.kmeans", sparse, k=4)
    assert isinstance(form, Sparse)
    assert isinstance(form.values, Codebook)
    assert isinstance(sparse, Sparse)
    assert (form.positions == sparse.positions).all()


def test_over_256_centroids_need_16_bits():
    form = run("quantize.kmeans", gaussian(50, 50), k=400)
    assert isinstance(form, Codebook)
    assert form.entries > 256
    assert form.indices.dtype == np.uint16


def test_quantizing_twice_says_why_not():
    once = run("quantize.kmeans", gaussian(10, 10), k=4)
    for method in ("quantize.kmeans", "quantize.linear"):
        with pytest.raises(RecipeError, match="quantized already"):
            run(method, once)


# quantize.linear


@pytest.mark.parametrize("bits", [2, 3, 8, 9, 16])
@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_the_error_is_at_most_half_a_step(bits, scheme, granularity):
    weights = gaussian(6, 7, 3, 3) + 0.3
    form = run("quantize.linear", weights, bits=bits, scheme=scheme, granularity=granularity)
    assert isinstance(form, Linear)
    assert form.groups == (6 if granularity == "channel" else 1)
    assert int(form.ints.max()) - int(form.ints.min()) < 2**bits
    step = np.broadcast_to(form.scales.to_dense(), 6).reshape(6, 1, 1, 1)
    # The zero point of the affine scheme is rounded: at the ends of the range up to a whole step.
    most = 0.5 if scheme == "symmetric" else 1.0
    assert (np.abs(form.to_dense() - weights) <= most * step * (1 + 1e-5)).all()


def test_linear_on_constant_tiny_and_empty_tensors():
    zeros = run("quantize.linear", np.zeros((2, 3)))
    assert (zeros.to_dense() == 0).all()
    tiny = run("quantize.linear", np.full((2, 3), 1e-42))
    assert np.isfinite(tiny.to_dense()).all()
    assert run("quantize.linear", np.zeros((0, 3))).shape == (0, 3)


def test_linear_on_the_values_of_a_sparse_tensor():
    sparse = run("prune.magnitude", gaussian(20, 20), density=0.25)
    form = run("quantize.linear", sparse)
    assert isinstance(form, Sparse)
    assert isinstance(form.values, Linear)
    assert form.values.groups == 1


@pytest.mark.parametrize(
    ("method", "options", "match"),
    [
        ("prune.magnitude", {"density": 0}, "density"),
        ("prune.magnitude", {"density": 1.5}, "density"),
        ("prune.magnitude", {"quality": -1}, "quality"),
        ("prune.magnitude", {"quality": 1, "density": 0.5}, "exclude"),
        ("prune.magnitude", {"qualty": 1}, "no option `qualty`"),
        ("quantize.kmeans", {"k": 0}, "k is an integer"),
        ("quantize.kmeans", {"k": 65537}, "k is an integer"),
        ("quantize.kmeans", {"k": 2.5}, "k is an integer"),
        ("quantize.kmeans", {"init": "best"}, "init is one of"),
        ("quantize.linear", {"bits": 1}, "bits"),
        ("quantize.linear", {"bits": True}, "bits"),
        ("quantize.linear", {"scheme": "odd"}, "scheme"),
    ],
)
def test_options_out_of_range_are_named(method, options, match):
    with pytest.raises(RecipeError, match=match):
        find_method(method).make_options(options)


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(RecipeError, match="did you mean `quality`"):
        find_method("prune.magnitude").make_options({"qualty": 1})
