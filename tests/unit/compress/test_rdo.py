"""Rate-aware quantization with error feedback: the kernel against its definition, and the edges."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nets import make_net
from tests.unit.compress.nets import CONV, apply, distance, filled, images, run

from cmodel import _rdo
from cmodel.compress import Statistics, Task, feedback, find_method
from cmodel.compress.methods.quantize_uniform import entropy
from cmodel.compress.supports import Supports
from cmodel.container import size_of_form
from cmodel.errors import RecipeError
from cmodel.tensors import Dense, Linear, Sparse, Trellis
from cmodel.tensors.trellis import NEXT, QUANTIZER, levels

TRELLIS = (NEXT, QUANTIZER)
GREEDY = (np.zeros((1, 2), np.uint8), np.zeros(1, np.uint8))
AHEAD = (feedback._PARITIES, np.zeros(8, np.uint8))


def mixed(groups: int, width: int, seed: int = 0) -> np.ndarray:
    """Gram matrices of correlated inputs of different sizes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(groups, width, 3 * width)) @ rng.normal(size=(3 * width, 3 * width))
    x = x.cumsum(axis=1) * np.geomspace(1, 0.1, width)[:, None]
    return x @ x.transpose(0, 2, 1) / x.shape[2]


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).laplace(size=shape).astype(np.float32)


def reference(rows, factor, weights, costs, keep, trellis, block, overlap):
    """One matrix (R, K) by the plain definition, float64; returns indices, and each row's total."""
    following, quantizer = trellis
    spacing = 2 if quantizer.any() else 1
    result, totals = np.zeros(rows.shape, int), np.zeros(len(rows))
    for number, row in enumerate(rows.astype(np.float64)):
        left, state, start = row.copy(), 0, 0
        while start < row.size:
            stop = min(start + block, row.size)
            paths = {state: (0.0, [], left)}
            for j in range(start, stop):
                longer = {}
                for before, (total, chosen, rest) in sorted(paths.items()):
                    second = int(quantizer[before])
                    low = int((abs(rest[j]) + second) // spacing)
                    tries = {0, low - 1, low, low + 1} if keep is None or keep[number, j] else {0}
                    for size in sorted(k for k in tries if k >= 0):
                        k = size if rest[j] >= 0 else -size
                        value = spacing * k - second * np.sign(k)
                        error = (rest[j] - value) * weights[j]
                        cost = total + error**2 + costs[second, min(size, costs.shape[1] - 1)]
                        after = int(following[before, k & 1])
                        if after not in longer or cost < longer[after][0]:
                            moved = rest.copy()
                            moved[j + 1 :] -= error * factor[j, j + 1 :]
                            longer[after] = (cost, [*chosen, (k, error, after)], moved)
                paths = longer
            best = min(sorted(paths.items()), key=lambda item: item[1][0])[1]
            commit = stop if stop == row.size else stop - overlap
            for j in range(start, commit):
                k, error, state = best[1][j - start]
                result[number, j] = k
                left[j + 1 :] -= error * factor[j, j + 1 :]
                totals[number] += error**2 + costs[quantizer[0], min(abs(k), costs.shape[1] - 1)]
            start = commit
    return result, totals


@pytest.mark.parametrize("trellis", [GREEDY, AHEAD, TRELLIS], ids=["greedy", "ahead", "trellis"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("block", "overlap"), [(8, 0), (12, 5), (64, 0)])
def test_the_kernel_is_the_plain_definition(trellis, masked, block, overlap):
    overlap = 0 if trellis is GREEDY else overlap
    rows = values(2, 70, 30) * 3
    factor = feedback.factorize(mixed(2, 30), 0.01)
    # One quantizer's costs for both and sizes apart: totals that nearly tie are rare.
    costs = np.random.default_rng(3).uniform(0.01, 0.4, 9).cumsum().astype(np.float32)
    table = np.stack([costs, costs])[None]
    keep = np.random.default_rng(4).random(rows.shape) < 0.6 if masked else None
    no_levels = np.zeros(140, np.int32), np.zeros(30, np.int32)
    flags = None if keep is None else keep.astype(np.uint8)
    got = _rdo.quantize(
        rows.copy(), factor.upper, factor.weights, table, *no_levels, trellis, flags, block, overlap
    )
    for group in range(2):
        kept = None if keep is None else keep[group]
        expected, _ = reference(
            rows[group],
            factor.upper[group].astype(np.float64),
            factor.weights[group].astype(np.float64),
            table[0].astype(np.float64),
            kept,
            trellis,
            block,
            overlap,
        )
        # float32 may decide a tie of a few rows otherwise.
        assert (got[group] == expected).all(axis=1).mean() > 0.95
        if masked:
            assert not got[group][~kept].any()


def test_classes_choose_the_costs():
    rows = np.full((1, 4, 6), 0.8, np.float32)
    factor = feedback.factorize(np.eye(6)[None], 0.01)
    costs = np.zeros((2, 2, 3), np.float32)
    costs[1, :, 1:] = 10
    row_levels = np.array([0, 0, 8, 100], np.int32)
    column_levels = np.array([0, 7, 8, -8, -500, 500], np.int32)
    got = _rdo.quantize(
        rows, factor.upper, factor.weights, costs, row_levels, column_levels, GREEDY
    )
    dear = (row_levels[:, None] + column_levels) >> 3 >= 1
    assert (got[0] == np.where(dear, 0, 1)).all()


@pytest.mark.parametrize("trellis", [False, True])
def test_threads_do_not_change_the_result(trellis):
    rows, factor = values(2, 200, 150), feedback.factorize(mixed(2, 150), 0.01)
    results = [
        feedback.quantize(
            rows, factor, np.array([0.4]), rate_weight=0.1, trellis=trellis, threads=threads
        )
        for threads in (1, 2, 5)
    ]
    assert all((r.indices == results[0].indices).all() for r in results)
    assert results[0].bits == results[2].bits


def test_the_factor_is_that_of_the_damped_inverse():
    gram = mixed(3, 20)
    gram[1] = 0
    gram[2, 4] = gram[2, :, 4] = 0
    factor = feedback.factorize(gram, 0.02)
    upper = factor.upper.astype(np.float64)
    assert (np.tril(upper, -1) == 0).all()
    assert np.square(factor.weights).mean() == pytest.approx(1, rel=1e-5)
    assert np.allclose(factor.weights * np.diagonal(upper, axis1=1, axis2=2), 1, rtol=1e-5)
    damped = gram[0] + 0.02 * np.trace(gram[0]) / 20 * np.eye(20)
    product = upper[0].T @ upper[0] @ damped
    assert np.allclose(product / product[0, 0], np.eye(20), atol=1e-4)


def test_levels_of_a_wrong_shape_are_refused():
    factor = feedback.factorize(np.eye(4)[None], 0.01)
    costs, none = np.zeros((1, 2, 2), np.float32), np.zeros(3, np.int32)
    with pytest.raises(ValueError, match="shapes"):
        _rdo.quantize(
            np.zeros((1, 3, 4), np.float32), factor.upper, factor.weights, costs, none, none, GREEDY
        )


# What it is for


def _response(gram, rows, other):
    return float(np.einsum("grk,gkl,grl->", rows - other, gram, rows - other))


def _closest_uniform(rows, gram, bits):
    """Response error of rounding to the nearest at an entropy, by interpolation."""
    points = []
    for step in np.geomspace(0.05, 4, 60):
        q = np.rint(rows / step)
        points.append((entropy(q.astype(np.int16).reshape(-1)), _response(gram, rows, q * step)))
    points.sort()
    return float(np.interp(bits, *np.array(points).T))


@pytest.mark.parametrize("step", [0.3, 1.0, 2.0])
def test_it_beats_rounding_and_the_trellis_beats_it(step):
    rows, gram = values(1, 96, 160), mixed(1, 160)
    slopes = []
    for trellis in (False, True):
        factor = feedback.factorize(gram, 0.01, ordered=not trellis)
        points = []
        for fine in (step * 0.8, step):
            q = feedback.quantize(rows, factor, np.array([fine]), rate_weight=0.1, trellis=trellis)
            ints = levels(q.indices[0])[None] / 2 if trellis else q.indices
            error = _response(gram, rows, ints * fine)
            points.append((q.bits, error))
            if not trellis:
                exact = entropy(q.indices.reshape(-1))
                assert q.bits < exact + 0.02
                assert error < 0.5 * _closest_uniform(rows, gram, exact)
        slopes.append(points)
    (b0, e0), (b1, e1) = slopes[0]
    for bits, error in slopes[1]:
        # On the line through the scalar points, in log error.
        line = np.log(e0) + (np.log(e1) - np.log(e0)) * (bits - b0) / (b1 - b0)
        assert np.log(error) < line


def test_a_dearer_bit_means_fewer_of_them():
    rows, factor = values(1, 96, 160), feedback.factorize(mixed(1, 160), 0.01)
    found = [
        feedback.quantize(rows, factor, np.array([1.0]), rate_weight=weight)
        for weight in (1e-6, 0.1, 2.0)
    ]
    bits = [q.bits for q in found]
    assert bits == sorted(bits, reverse=True)
    zeros = [(q.indices == 0).mean() for q in found]
    assert zeros == sorted(zeros)
    assert zeros[2] > 2 * zeros[0]


def test_scales_are_fitted_in_the_responses():
    rows, gram = values(2, 6, 20), mixed(2, 20)
    ints = np.rint(rows).astype(np.float32)
    for each_row in (False, True):
        factors, error = feedback.fit_scales(rows, ints, gram, each_row)
        scaled = ints * factors.reshape(2, 6, 1) if each_row else ints * factors
        energy = np.einsum("grk,gkl,grl->", rows, gram, rows)
        assert error == pytest.approx((_response(gram, rows, scaled) / energy) ** 0.5, rel=1e-3)
        for change in (0.99, 1.01):
            assert _response(gram, rows, scaled * change) > _response(gram, rows, scaled)
    assert (feedback.fit_scales(rows, ints * 0, gram, True)[0] == 1).all()


# The method


def use(form, layer_text='InnerProduct" bottom: "d" top: "l', gram=None, felt=None, **options):
    """Run the method on one tensor; returns the outcome."""
    layer = make_net(f'layer {{ name: "l" type: "{layer_text}" }}', {}).layers[0]
    if isinstance(form, np.ndarray):
        form = Dense(form.astype(np.float32))
    if gram is None:
        gram = mixed(1, int(np.prod(form.shape[1:])))
    statistics = Statistics(10, gram, np.zeros(gram.shape[:2]), sensitivity=felt)
    method = find_method("quantize.rdo")
    rng = np.random.default_rng(0)
    return method.run(Task(layer, "l/0", form, method.make_options(options), rng, statistics))


@pytest.mark.parametrize(
    "weights",
    [
        np.zeros((4, 8)),
        np.full((4, 8), -1.5),
        np.array([[0.75]]),
        np.full((4, 8), -0.0),
        np.full((3, 5), 1e-42),
        np.full((3, 5), 3e38),
    ],
    ids=["zero", "constant", "one", "minus zero", "tiny", "huge"],
)
@pytest.mark.parametrize("step", [1e-9, 0.2, 100])
@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("trellis", [False, True])
def test_degenerate_tensors(weights, step, dead, trellis):
    gram = mixed(1, weights.shape[1]) * (not dead)
    dense = use(weights, gram=gram, step=step, rate_weight=1e-6, trellis=trellis).form.to_dense()
    assert dense.shape == weights.shape
    assert np.isfinite(dense).all()
    assert not np.signbit(dense[dense == 0]).any()
    if step < 1 and np.abs(weights).max() > 1e-30:
        assert np.allclose(dense, weights.astype(np.float32), rtol=0.15 if trellis else 0.05)


def test_dead_inputs_cost_little():
    gram = mixed(1, 30)
    gram[:, 10:20] = gram[:, :, 10:20] = 0
    outcome = use(values(20, 30), gram=gram, step=0.5)
    dense = outcome.form.to_dense()
    live = np.delete(dense, np.s_[10:20], axis=1)
    assert np.count_nonzero(dense[:, 10:20]) < np.count_nonzero(live) / 2
    assert outcome.facts["response_error"] < 0.2


def test_facts():
    weights, gram = values(20, 30), mixed(1, 30)
    outcome = use(weights, gram=gram, step=0.7)
    dense = outcome.form.to_dense()
    energy = np.einsum("rk,kl,rl->", weights, gram[0], weights)
    error = (_response(gram, weights[None], dense[None]) / energy) ** 0.5
    assert outcome.facts["response_error"] == pytest.approx(error, rel=1e-3)
    assert outcome.facts["density"] == np.count_nonzero(dense) / dense.size
    assert outcome.facts["bits"] > 0


def test_large_indices_have_16_bits():
    form = use(values(20, 30), step=0.01, rate_weight=1e-6).form
    assert isinstance(form, Linear)
    assert form.ints.dtype == np.int16
    assert use(values(20, 30), step=0.5).form.ints.dtype == np.int8


@pytest.mark.parametrize("sparse", [False, True])
def test_zeros_stay(sparse):
    weights = values(20, 30)
    weights[np.random.default_rng(1).random(weights.shape) < 0.7] = 0
    positions = np.flatnonzero(weights).astype(np.int64)
    form = Sparse(weights.shape, positions, Dense(weights.reshape(-1)[positions]))
    outcome = use(form if sparse else weights, step=0.2, keep_zeros=not sparse)
    dense = outcome.form.to_dense()
    assert not dense[weights == 0].any()
    assert 0.1 < outcome.facts["density"] < 0.3
    if sparse:
        assert isinstance(outcome.form, Sparse)
        assert (outcome.form.values.to_dense() != 0).all()
    filled_in = use(weights, step=0.4, keep_zeros=False).form.to_dense()
    assert filled_in[weights == 0].any()


@pytest.mark.parametrize(("share", "kept"), [(0.07, False), (0.3, True)])
def test_zeros_of_pruned_tensors_stay_by_themselves(share, kept):
    weights = values(20, 30)
    weights[np.random.default_rng(1).random(weights.shape) < share] = 0
    filled_in = use(weights, step=0.2, rate_weight=1e-6).form.to_dense()[weights == 0]
    assert filled_in.any() != kept


def test_the_form_follows_the_zeros():
    weights = values(20, 60)
    assert isinstance(use(weights, step=0.4, trellis="auto").form, Trellis)
    transposed = 'InnerProduct" inner_product_param { transpose: true } bottom: "d" top: "l'
    gram = mixed(1, 20)
    assert isinstance(use(weights, transposed, gram, step=0.4, trellis="auto").form, Linear)
    weights[np.random.default_rng(1).random(weights.shape) < 0.7] = 0
    pruned = use(weights, step=0.4, trellis="auto").form
    assert isinstance(pruned, Linear)
    assert isinstance(use(weights, step=0.4, trellis=True).form, Trellis)
    # In so small a matrix zeros take fewer bytes than positions; alone in a large one they do not.
    positions = np.flatnonzero(weights).astype(np.int64)
    stored = Dense(weights.reshape(-1)[positions])
    smaller = use(Sparse(weights.shape, positions, stored), step=0.4, trellis="auto").form
    assert isinstance(smaller, Linear)
    assert size_of_form(smaller) < size_of_form(
        use(Sparse(weights.shape, positions, stored), step=0.4).form
    )
    large, few = (400, 600), np.arange(0, 240000, 7001)
    form = Sparse(large, few, Dense(values(few.size)))
    auto = use(form, step=0.4, trellis="auto", gram=np.eye(600)[None]).form
    assert size_of_form(auto) == min(
        size_of_form(use(f, step=0.4, gram=np.eye(600)[None], keep_zeros=True).form)
        for f in (form, form.to_dense())
    )


def test_feedback_stays_in_the_columns_of_a_row():
    """Masked rows answer as well as without their masked columns, and better than rounded ones."""
    weights, gram = values(40, 60), mixed(1, 60)
    kept = np.flatnonzero(np.random.default_rng(1).random(60) < 0.4)
    weights[:, np.setdiff1d(np.arange(60), kept)] = 0
    options = {"step": 0.5, "rate_weight": 1e-6, "damp": 1e-6}
    masked = use(weights, gram=gram, **options)
    dense = masked.form.to_dense()
    assert not dense[weights == 0].any()
    part = {"gram": np.ascontiguousarray(gram[:, kept[:, None], kept]), **options}
    part["step"] *= float(weights.std() / weights[:, kept].std())
    alone = use(weights[:, kept], **part)
    # The code lengths differ a little, and with them the paths.
    assert masked.facts["response_error"] < 1.15 * alone.facts["response_error"]
    rounded = masked.facts["step"] * np.rint(weights / masked.facts["step"])
    errors = [_response(gram, weights[None], other[None]) for other in (dense, rounded)]
    assert errors[0] < 0.5 * errors[1]


def test_rows_without_their_lost_columns_answer_as_near_as_can_be():
    rows, gram = values(6, 20)[None], mixed(1, 20)
    keep = np.random.default_rng(1).random(rows.shape) < 0.5
    keep[0, 2] = False
    supports = Supports.of(gram, 1e-9, keep, 1.0)
    found = supports.project(rows)
    assert not found[~keep].any()
    for row in range(6):
        kept = np.flatnonzero(keep[0, row])
        # The error is orthogonal to what the row may use.
        assert np.abs((rows - found)[0, row] @ gram[0][:, kept]).max(initial=0) < 1e-4
    assert (supports.project(found) == found).all()


def test_blocks_stay():
    weights = values(8, 12)
    positions = np.array([0, 3, 4, 9], np.int64)
    zeros = np.zeros(4 * 2 * 3, np.float32)
    stored = Sparse((8, 12), positions, Dense(zeros + 1), (2, 3)).to_dense() != 0
    weights *= stored
    blocks = weights.reshape(4, 2, 4, 3).transpose(0, 2, 1, 3).reshape(16, 6)[positions]
    form = Sparse((8, 12), positions, Dense(blocks.reshape(-1)), (2, 3))
    assert (form.to_dense() == weights).all()
    new = use(form, step=0.1, rate_weight=0.01).form
    assert (new.positions == positions).all()
    assert distance(new.to_dense(), weights) < 0.2
    assert not new.to_dense()[~stored].any()


def test_a_scale_for_each_output():
    weights = values(20, 30) * np.geomspace(0.5, 2, 20)[:, None]
    form = use(weights, step=1.0, granularity="channel").form
    assert form.scales.shape == (20,)
    assert np.unique(form.scales.to_dense()).size > 10
    with pytest.raises(RecipeError, match="stored sparsely"):
        use(Sparse((2, 8), np.array([1]), Dense(np.ones(1, np.float32))), granularity="channel")


def test_transposed_weights():
    weights, gram = values(20, 30), mixed(1, 30)
    kind = 'InnerProduct" inner_product_param { transpose: true } top: "l'
    plain = use(weights, gram=gram, step=0.5).form.to_dense()
    turned = use(np.ascontiguousarray(weights.T), kind, gram=gram, step=0.5).form.to_dense()
    assert (plain == turned.T).all()
    with pytest.raises(RecipeError, match="transposed"):
        use(weights.T, kind, gram=gram, trellis=True)


@pytest.mark.parametrize("groups", [2, 8])
def test_groups_of_a_convolution(groups):
    weights = values(8, 8 // groups, 3, 3)
    gram = mixed(groups, 72 // groups)
    kind = f'Convolution" convolution_param {{ group: {groups} }} top: "l'
    outcome = use(weights, kind, gram=gram, step=0.3)
    assert outcome.form.shape == weights.shape
    assert outcome.facts["response_error"] < 0.2
    alone = use(
        weights[: 8 // groups],
        'Convolution" convolution_param { group: 1 } top: "l',
        gram=gram[:1],
        step=0.3,
    )
    assert alone.form.shape == weights[: 8 // groups].shape


@pytest.mark.parametrize(
    "options",
    [
        {"step": 0},
        {"step": float("nan")},
        {"rate_weight": -1},
        {"damp": 2},
        {"keep_zeros": 1},
        {"keep_zeros": "yes"},
        {"trellis": 1},
        {"knob": 0},
        {"knob": 1.0, "step": 1.0},
        {"passes": 0},
        {"granularity": "group"},
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(RecipeError, match=next(iter(options))):
        find_method("quantize.rdo").make_options(options)


def test_the_net_still_runs():
    net, x = filled(CONV), images(filled(CONV))
    new = apply(net, "quantize.rdo", "step = 0.3", data=x)
    again = apply(net, "quantize.rdo", "step = 0.3", data=x, threads=1)
    for name in ("conv1/0", "conv2/0", "conv3/0", "fc/0"):
        assert isinstance(new.parameters[name], Linear)
        assert (new.parameters[name].to_dense() == again.parameters[name].to_dense()).all()
    assert 0 < distance(run(new, x), run(net, x)) < 0.2


def test_a_trellis_has_less_error():
    weights, gram = values(40, 60), mixed(1, 60)
    plain, dependent = (use(weights, gram=gram, step=0.5, trellis=t) for t in (False, True))
    assert isinstance(dependent.form, Trellis)
    assert dependent.facts["response_error"] < plain.facts["response_error"]
    dense = dependent.form.to_dense()[None]
    energy = np.einsum("rk,kl,rl->", weights, gram[0], weights)
    error = (_response(gram, weights[None], dense) / energy) ** 0.5
    assert dependent.facts["response_error"] == pytest.approx(error, rel=1e-3)
    weights[:, ::2] = 0
    masked = use(weights, gram=gram, step=0.5, trellis=True, keep_zeros=True).form.to_dense()
    assert not masked[:, ::2].any()
    assert masked[:, 1::2].any()


def test_the_knob_follows_the_sensitivity():
    weights, gram = values(20, 30), mixed(1, 30)
    energy = np.trace(gram[0]) / 30
    felt = np.geomspace(0.1, 10, 20)
    outcome = use(weights, gram=gram, felt=felt, knob=0.5)
    assert outcome.facts["step"] == pytest.approx(0.5 / (felt.mean() * energy) ** 0.5, rel=0.05)
    scales = use(weights, gram=gram, felt=felt, knob=0.5, granularity="channel").form.scales
    steps = scales.to_dense()
    assert np.corrcoef(np.log(steps), np.log(felt))[0, 1] < -0.9
    blind = use(weights, gram=gram, felt=np.zeros(20), knob=0.5, granularity="channel")
    assert np.isfinite(blind.form.to_dense()).all()
    assert find_method("quantize.rdo").needs(
        find_method("quantize.rdo").make_options({"knob": 0.5})
    ) == {"gram", "sensitivity"}


def rdo_task(**options):
    net = filled(CONV)
    entry = find_method("quantize.rdo")
    gram = mixed(1, 36)
    inputs = Statistics(
        1, gram, np.zeros((1, 36)), sensitivity=np.ones(4), fisher=gram[:, ::-1, ::-1]
    )
    layer = net.layer("conv1")
    rng = np.random.default_rng(0)
    form = net.parameters["conv1/0"]
    return Task(layer, "conv1/0", form, entry.make_options(options), rng, inputs)


def test_what_errors_cost_is_mixed_of_responses_and_fisher_information():
    from cmodel.compress.methods.quantize_rdo import _cost

    task = rdo_task()
    gram, fisher = task.inputs.gram, task.inputs.fisher
    assert (_cost(task) == gram).all()
    other = fisher * (np.trace(gram[0]) / np.trace(fisher[0]))
    assert np.allclose(_cost(rdo_task(fisher=1.0)), other)
    assert np.allclose(_cost(rdo_task(fisher=0.25)), 0.75 * gram + 0.25 * other)
    shrunk = _cost(rdo_task(shrink=0.4))
    diagonal = np.eye(gram.shape[1], dtype=bool)
    assert (shrunk[:, diagonal] == gram[:, diagonal]).all()
    assert np.allclose(shrunk[:, ~diagonal], 0.6 * gram[:, ~diagonal])


@pytest.mark.parametrize("name", ["fisher", "shrink"])
def test_shares_are_between_0_and_1(name):
    with pytest.raises(RecipeError, match=name):
        rdo_task(**{name: 1.5})
