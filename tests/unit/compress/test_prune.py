"""Pruning with calibration, in blocks, and over all layers together."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.compress.nets import CONV, apply, filled, images
from tests.unit.compress.test_quantize import gaussian, use

from cmodel.compress.methods import prune_obs
from cmodel.compress.statistics import Calibration, gather
from cmodel.errors import RecipeError
from cmodel.tensors import Codebook, Dense, Sparse

ALL = ["conv1/0", "conv2/0", "conv3/0", "fc/0"]


def response_errors(net, new, x) -> np.ndarray:
    """Mean square response error of each layer, on the inputs of the net itself."""
    found = gather(net, ALL, Calibration(net, x))
    errors = []
    for name in ALL:
        shape = net.parameters.shape(name)
        groups = found[name].gram.shape[0]
        rows = (new.parameters[name].to_dense() - net.parameters[name].to_dense()).astype(
            np.float64
        )
        rows = rows.reshape(groups, shape[0] // groups, -1)
        errors.append(np.einsum("grk,gkl,grl->", rows, found[name].gram, rows))
    return np.array(errors)


# prune.obs


@pytest.mark.parametrize("algorithm", ["exact", "columns"])
@pytest.mark.parametrize("density", [0.7, 0.3])
def test_obs_beats_magnitude_in_the_responses(algorithm, density):
    net, x = filled(CONV), images(filled(CONV))
    obs = apply(net, "prune.obs", f'density = {density}\nalgorithm = "{algorithm}"', data=x)
    plain = apply(net, "prune.magnitude", f"density = {density}")
    for name in ALL:
        form = obs.parameters[name]
        assert isinstance(form, Sparse)
        assert form.positions.size == round(density * np.prod(form.shape))
    # With one pass over the columns the first layer's few inputs leave little to make up for.
    least = 0.8 if algorithm == "exact" else 1.0
    assert (response_errors(net, obs, x) < least * response_errors(net, plain, x)).all()


def test_exact_updates_beat_columns():
    net, x = filled(CONV), images(filled(CONV))
    exact, columns = (
        apply(net, "prune.obs", f'density = 0.4\nalgorithm = "{a}"', data=x)
        for a in ("exact", "columns")
    )
    assert (response_errors(net, exact, x) < response_errors(net, columns, x)).all()


def test_the_order_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    size = 50
    mixing = rng.normal(size=(size, size))
    gram = mixing @ mixing.T + np.eye(size)
    row = rng.normal(size=size)
    order, losses = prune_obs.removal_order(row, np.linalg.inv(gram))
    # Equation 5 of the paper, one weight at a time, with a new inverse each time.
    weights, left = row.copy(), list(range(size))
    for q, loss in zip(order, losses, strict=True):
        inverse = np.linalg.inv(gram[np.ix_(left, left)])
        costs = weights[left] ** 2 / inverse.diagonal()
        best = int(costs.argmin())
        assert left[best] == q
        assert costs[best] == pytest.approx(loss, rel=1e-6, abs=1e-12)
        step = -weights[q] / inverse[best, best] * inverse[:, best]
        weights[left] += step
        left.remove(q)
        weights[q] = 0


def test_what_stays_is_the_least_squares_solution():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 12)) @ rng.normal(size=(12, 12))
    gram = x.T @ x / 200
    rows = rng.normal(size=(1, 3, 12))
    pruned = prune_obs._prune_exactly(rows, gram[None], 15)
    assert np.count_nonzero(pruned) == 15
    for row, new in zip(rows[0], pruned[0], strict=True):
        kept = np.flatnonzero(new)
        best = np.linalg.lstsq(x[:, kept], x @ row, rcond=None)[0]
        assert new[kept] == pytest.approx(best)


def test_density_1_changes_nothing_and_inputs_that_are_never_used_do_no_harm():
    net, x = filled(CONV), images(filled(CONV))
    x[:, 2] = 0
    for algorithm in ("exact", "columns"):
        more = f'algorithm = "{algorithm}"\n'
        same = apply(net, "prune.obs", more + "density = 1.0", data=x)
        for name in ALL:
            assert np.allclose(
                same.parameters[name].to_dense(), net.parameters[name].to_dense(), atol=1e-6
            )
        new = apply(net, "prune.obs", more + "density = 0.5", data=x)
        assert all(np.isfinite(new.parameters[name].to_dense()).all() for name in ALL)
    apply(net, "prune.obs", "density = 0.5", data=np.zeros_like(x))


def test_obs_goes_on_from_pruned_weights_and_composes():
    net, x = filled(CONV), images(filled(CONV))
    once = apply(net, "prune.magnitude", "density = 0.5")
    twice = apply(once, "prune.obs", "density = 0.25", data=x)
    kept = twice.parameters["fc/0"]
    assert isinstance(kept, Sparse)
    assert set(kept.positions) <= set(once.parameters["fc/0"].positions)
    third = apply(twice, "quantize.kmeans", "k = 4")
    assert isinstance(third.parameters["fc/0"].values, Codebook)
    with pytest.raises(RecipeError, match="comes before quantization"):
        apply(third, "prune.obs", data=x)


def test_obs_without_data():
    with pytest.raises(RecipeError, match=r"`prune\.obs` needs images"):
        apply(filled(CONV), "prune.obs")


# prune.block


@pytest.mark.parametrize(("height", "width"), [(4, 1), (2, 3), (1, 1)])
@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_blocks_of_largest_norm_stay(height, width, norm):
    weights = gaussian(8, 2, 3, 3)
    form = use("prune.block", weights, density=0.25, height=height, width=width, norm=norm)
    assert isinstance(form, Sparse)
    assert form.block == (height, width)
    blocks = np.abs(weights.reshape(8 // height, height, 18 // width, width))
    sizes = {
        "l1": blocks.sum(axis=(1, 3)),
        "l2": (blocks**2).sum(axis=(1, 3)),
        "max": blocks.max(axis=(1, 3)),
    }[norm].reshape(-1)
    assert set(form.positions) == set(np.argsort(-sizes)[: round(0.25 * sizes.size)])
    dense = form.to_dense()
    assert (dense[dense != 0] == weights[dense != 0]).all()


def test_blocks_that_do_not_divide_are_named():
    with pytest.raises(RecipeError, match=r"height 4 does not divide the 6 rows(.|\n)*height = 3"):
        use("prune.block", gaussian(6, 8))
    with pytest.raises(RecipeError, match=r"width 3 does not divide the 8 columns"):
        use("prune.block", gaussian(6, 8), height=1, width=3)


def test_blocks_of_zeros_are_not_stored():
    form = use("prune.block", np.zeros((4, 4)), density=1.0)
    assert isinstance(form, Sparse)
    assert form.positions.size == 0
    negative = use("prune.block", np.array([[1, -0.0]]), density=1.0, height=1, width=2)
    assert not np.signbit(negative.to_dense()).any()


# prune.magnitude over all layers


def test_a_global_density_has_one_threshold():
    net = filled(CONV)
    weights = net.parameters["fc/0"].to_dense()
    net.parameters["fc/0"] = Dense(weights * np.float32(0.2))
    new = apply(net, "prune.magnitude", 'density = 0.3\nscope = "global"')
    kept = sum(new.parameters[name].positions.size for name in ALL)
    total = sum(np.prod(new.parameters.shape(name)) for name in ALL)
    assert kept == round(0.3 * total)
    smallest = min(np.abs(new.parameters[n].values.to_dense()).min(initial=9) for n in ALL)
    for name in ALL:
        dense, before = new.parameters[name].to_dense(), net.parameters[name].to_dense()
        assert np.abs(before[dense == 0]).max() < smallest
    densities = [new.parameters[name].density for name in ALL]
    assert densities[3] < min(densities[:3])


def test_a_global_density_of_1_keeps_all():
    net = filled(CONV)
    new = apply(net, "prune.magnitude", 'density = 1.0\nscope = "global"')
    assert all(new.parameters[name].density == 1 for name in ALL)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ('scope = "global"', 'scope = "global" is for density'),
        ('density = 0.5\nscope = "net"', "scope is one of"),
        ('density = 0.5\nscope = "global"\n[step.name.fc]\ndensity = 0.1', "one density for all"),
    ],
)
def test_wrong_scopes_are_named(options, match):
    with pytest.raises(RecipeError, match=match):
        apply(filled(CONV), "prune.magnitude", options)


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("prune.obs", {"density": 0}, "density"),
        ("prune.obs", {"algorithm": "best"}, "algorithm"),
        ("prune.block", {"density": 0}, "density"),
        ("prune.block", {"height": 0}, "height"),
        ("prune.block", {"norm": "l3"}, "norm"),
    ],
)
def test_options_out_of_range_are_named(name, options, match):
    from cmodel.compress import find_method

    with pytest.raises(RecipeError, match=match):
        find_method(name).make_options(options)
