"""Quantization methods: what their papers promise, and the edges."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nets import make_net
from tests.unit.compress.nets import CONV, apply, distance, filled, images, run

import cmodel
from cmodel.compress import Task, compress, find_method
from cmodel.compress.methods.quantize_kmeans import weighted_lloyd
from cmodel.compress.methods.quantize_uniform import entropy
from cmodel.compress.recipe import recipe_of
from cmodel.errors import RecipeError
from cmodel.tensors import Codebook, Dense, Form, Hashed, Linear, Product, Sparse

LAYERS = {
    2: "InnerProduct",
    4: "Convolution",
}


def use(name: str, values, seed: int = 0, layer=None, **options) -> Form:
    """Run a method on one tensor of a layer of its rank."""
    method = find_method(name)
    form = Dense(values.astype(np.float32)) if isinstance(values, np.ndarray) else values
    kind = LAYERS.get(len(form.shape), "InnerProduct")
    if layer is None:
        layer = make_net(f'layer {{ name: "l" type: "{kind}" bottom: "d" top: "l" }}', {}).layers[0]
    rng = np.random.default_rng(seed)
    return method.run(Task(layer, "l/0", form, method.make_options(options), rng)).form


def gaussian(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def correlated(*shape: int, seed: int = 0) -> np.ndarray:
    """Rows whose columns depend on each other."""
    rng = np.random.default_rng(seed)
    width = shape[-1]
    mixing = rng.normal(size=(width, width)) * 0.8 ** np.arange(width)
    return (rng.normal(size=shape) @ mixing.T).astype(np.float32)


ERRORS = {
    "quantize.product": [{"k": k, "dimension": 2} for k in (2, 8, 32)],
    "quantize.residual": [{"k": 4, "dimension": 2, "stages": t} for t in (1, 2, 3)],
    "quantize.cartesian": [{"k": k, "dimension": 2} for k in (2, 8, 32)],
    "quantize.linear": [{"bits": b, "granularity": "group", "group_size": 4} for b in (2, 4, 8)],
    "quantize.binary": [
        {"granularity": g, "group_size": 4} for g in ("tensor", "channel", "group")
    ],
    "quantize.stochastic": [{"bits": b} for b in (3, 6, 12)],
    "quantize.uniform": [{"bits": b} for b in (1, 2.5, 6)],
    "hash.buckets": [{"ratio": r, "signed": False} for r in (0.05, 0.3, 1.0)],
    "cast.half": [{"format": f} for f in ("bf16", "f16")],
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("shape", [(40, 16), (12, 8, 3, 3)])
def test_more_bits_less_error(name, shape):
    weights = correlated(*shape)
    errors = [
        distance(use(name, weights, **options).to_dense(), weights) for options in ERRORS[name]
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0]


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize(
    "values",
    [
        np.zeros((4, 8)),
        np.full((4, 8), -1.5),
        np.array([[0.75]]),
        np.full((4, 8), -0.0),
        np.zeros((0, 8)),
    ],
    ids=["zero", "constant", "one", "minus zero", "empty"],
)
def test_degenerate_tensors(name, values):
    options = {**ERRORS[name][-1]}
    if values.size == 1:
        options |= {key: 1 for key in ("dimension", "group_size") if key in options}
    form = use(name, values, **options)
    dense = form.to_dense()
    assert dense.shape == values.shape
    assert np.allclose(dense, values, rtol=0.01)
    assert not np.signbit(dense[dense == 0]).any()


@pytest.mark.parametrize("name", ERRORS)
def test_the_net_still_runs(name):
    net, x = filled(CONV), images(filled(CONV))
    lines = "\n".join(
        f"{key} = {value!r}".replace("'", '"').replace("False", "false")
        for key, value in ERRORS[name][0].items()
    )
    new = apply(net, name, lines + "\nselect = { name = ['conv3', 'fc'] }")
    for parameter in ("conv3/0", "fc/0"):
        expected = new.parameters[parameter].to_dense()
        assert not (expected == net.parameters[parameter].to_dense()).all()
    other = distance(run(new, x), run(net, x))
    assert 0 < other < 1.5


# Product codes


@pytest.mark.parametrize("along", ["channels", "row"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["quantize.product", "quantize.residual"])
def test_as_many_codewords_as_different_blocks_are_exact(name, along, shared):
    rng = np.random.default_rng(1)
    weights = rng.integers(-1, 2, (10, 4, 3, 3)).astype(np.float32)
    form = use(name, weights, k=9, dimension=2, shared=shared, along=along)
    assert isinstance(form, Product)
    assert (form.to_dense() == weights).all()


def test_blocks_of_a_convolution_run_over_its_input_channels():
    weights = gaussian(6, 8, 3, 3)
    form = use("quantize.product", weights, k=4, dimension=4)
    assert isinstance(form, Product)
    assert form.codes.shape == (1, 6 * 9, 2)
    assert form.codebooks.shape == (1, 2, 4, 4)
    words = form.codebooks.to_dense()[0]
    assert (form.to_dense()[2, 4:, 1, 2] == words[1, form.codes[0, 2 * 9 + 5, 1]]).all()


def test_a_codeword_is_the_mean_of_its_blocks():
    weights = gaussian(200, 6)
    form = use("quantize.product", weights, k=5, dimension=3, iterations=500)
    assert isinstance(form, Product)
    for block in range(2):
        for word in range(5):
            mine = weights[form.codes[0, :, block] == word, 3 * block : 3 * block + 3]
            assert form.codebooks.to_dense()[0, block, word] == pytest.approx(
                mine.mean(axis=0), abs=1e-4
            )


def test_more_vectors_than_a_codebook_is_trained_on():
    weights = gaussian(3000, 4)
    form = use("quantize.product", weights, k=2, dimension=4)
    assert isinstance(form, Product)
    words = form.codebooks.to_dense()[0, 0]
    distances = ((weights[:, None] - words) ** 2).sum(axis=2)
    assert (distances.argmin(axis=1) == form.codes[0, :, 0]).all()


def test_over_256_codewords_need_16_bits():
    form = use("quantize.product", gaussian(500, 2), k=300, dimension=2)
    assert isinstance(form, Product)
    assert form.codes.dtype == np.uint16


def test_a_transposed_inner_product_has_rows_of_inputs():
    text = 'layer { name: "l" type: "InnerProduct" bottom: "d" top: "l" inner_product_param { transpose: true } }'
    weights = gaussian(6, 40)
    form = use("quantize.product", weights, layer=make_net(text, {}).layers[0], k=8, dimension=3)
    plain = use("quantize.product", weights.T.copy(), k=8, dimension=3)
    assert (form.to_dense() == plain.to_dense().T).all()


def test_residual_stages_over_whole_rows():
    form = use("quantize.residual", correlated(60, 12), k=8, dimension=0, stages=3)
    assert isinstance(form, Product)
    assert form.codes.shape == (3, 60, 1)


def test_a_rotation_beats_plain_product_codes():
    for shape in ((300, 16), (30, 16, 3, 3)):
        weights = correlated(*shape[:1], *shape[2:], shape[1])
        if len(shape) == 4:
            weights = np.ascontiguousarray(weights.transpose(0, 3, 1, 2))
        plain = use("quantize.product", weights, k=8, dimension=4)
        rotated = use("quantize.cartesian", weights, k=8, dimension=4)
        assert isinstance(rotated, Product)
        assert rotated.rotation is not None
        assert np.allclose(rotated.rotation.T @ rotated.rotation, np.eye(16), atol=1e-5)
        assert distance(rotated.to_dense(), weights) < 0.9 * distance(plain.to_dense(), weights)


def test_the_rotation_of_a_long_row_is_small():
    form = use("quantize.cartesian", gaussian(20, 960), k=4, dimension=4)
    assert isinstance(form, Product)
    assert form.rotation is not None
    assert form.rotation.shape == (64, 64)
    form = use("quantize.cartesian", gaussian(20, 960), k=4, dimension=4, span=12)
    assert isinstance(form, Product)
    assert form.codes.shape == (1, 1600, 3)


# Scalars


def test_one_scale_for_each_group():
    form = use("quantize.linear", gaussian(4, 8), granularity="group", group_size=4)
    assert isinstance(form, Linear)
    assert form.groups == 8


@pytest.mark.parametrize("granularity", ["tensor", "channel", "group"])
def test_binary_is_sign_and_mean_magnitude(granularity):
    weights = gaussian(6, 8)
    form = use("quantize.binary", weights, granularity=granularity, group_size=2)
    assert isinstance(form, Codebook)
    groups = {"tensor": 1, "channel": 6, "group": 24}[granularity]
    assert form.groups == groups
    scale = np.abs(weights.reshape(groups, -1)).mean(axis=1, keepdims=True)
    expected = np.where(weights.reshape(groups, -1) >= 0, scale, -scale).reshape(6, 8)
    assert np.allclose(form.to_dense(), expected)


def test_stochastic_rounding_is_right_on_average():
    weights = np.full((300, 300), 0.3, np.float32)
    form = use("quantize.stochastic", weights, bits=4, integer_bits=1)
    assert isinstance(form, Linear)
    dense = form.to_dense()
    assert set(np.unique(dense)) == {np.float32(0.25), np.float32(0.375)}
    assert dense.mean(dtype=np.float64) == pytest.approx(0.3, abs=2e-3)
    nearest = use("quantize.stochastic", weights, bits=4, integer_bits=1, rounding="nearest")
    assert (nearest.to_dense() == 0.25).all()


def test_a_fixed_point_number_saturates():
    weights = np.array([[-9.0, -2.0, 1.75, 1.99, 9.0]])
    form = use("quantize.stochastic", weights, bits=4, integer_bits=2, rounding="nearest")
    assert form.to_dense().tolist() == [[-2, -2, 1.75, 1.75, 1.75]]


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 0.999, 1.0, 100.0, 1e30])
def test_integer_bits_are_as_few_as_need_be(scale):
    weights = gaussian(30, 30).clip(-1, 1) * np.float32(scale)
    form = use("quantize.stochastic", weights, bits=8)
    assert np.abs(form.to_dense() - weights).max() <= form.scales.to_dense()[0]
    assert np.abs(form.ints).max() >= 63


def test_a_uniform_grid_has_the_bits_that_were_asked_for():
    weights = gaussian(100, 100)
    for bits in (0.5, 2.0, 4.0):
        form = use("quantize.uniform", weights, bits=bits)
        assert isinstance(form, Linear)
        assert entropy(form.ints.reshape(-1)) == pytest.approx(bits, abs=0.03)


def test_weighing_bits_beats_rounding_to_nearest_at_equal_bits():
    weights = np.random.default_rng(0).laplace(size=(100, 100)).astype(np.float32)
    for bits in (0.5, 1.0, 2.0, 4.0):
        weighed = use("quantize.uniform", weights, bits=bits)
        rounded = use("quantize.uniform", weights, bits=bits, rate_weight=1e-9)
        assert distance(weighed.to_dense(), weights) < distance(rounded.to_dense(), weights)


def test_a_grid_of_more_than_8_bits():
    form = use("quantize.uniform", gaussian(50, 50), step=0.001)
    assert isinstance(form, Linear)
    assert form.ints.dtype == np.int16
    form = use("quantize.uniform", gaussian(50, 50), step=1e-7)
    assert np.abs(form.ints).max() <= 32767


def test_buckets_hold_the_means_of_their_weights():
    weights = gaussian(30, 20)
    form = use("hash.buckets", weights, buckets=50)
    assert isinstance(form, Hashed)
    dense = form.to_dense().reshape(-1)
    flat = weights.reshape(-1)
    for value in np.unique(np.abs(dense))[:10]:
        mine = np.abs(dense) == value
        assert (flat[mine] * np.sign(dense[mine])).mean() == pytest.approx(value, abs=1e-6)


def test_buckets_may_be_quantized():
    once = use("hash.buckets", gaussian(30, 20), buckets=50)
    twice = use("quantize.kmeans", once, k=8)
    assert isinstance(twice, Hashed)
    assert isinstance(twice.buckets, Codebook)


# Half precision


def test_half_rounds_to_nearest_even():
    values = np.array([1, 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-11 + 2**-20, 1e-9, -1e-9, 0.1, -0.0])
    f16 = use("cast.half", values, format="f16")
    assert isinstance(f16, Dense)
    assert f16.values.dtype == np.float16
    assert f16.to_dense()[:4].tolist() == [1, 1, 1 + 2**-9, 1 + 2**-10]
    assert (f16.to_dense()[4:6].view(np.uint32) == 0).all()
    values = np.array([1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 3e38, -0.0])
    bf16 = use("cast.half", values, format="bf16")
    assert bf16.to_dense()[:4].tolist() == [1, 1, 1 + 2**-6, 1 + 2**-7]
    assert bf16.to_dense()[4] == pytest.approx(3e38, rel=2**-8)
    assert bf16.to_dense()[5:].view(np.uint32) == 0


@pytest.mark.parametrize(
    "method", ["quantize.kmeans", "quantize.product", "quantize.linear", "hash.buckets"]
)
def test_half_goes_on_from_any_form(method):
    options = {"quantize.product": {"k": 4}, "quantize.kmeans": {"k": 4}}.get(method, {})
    once = use(method, gaussian(16, 8), **options)
    half = use("cast.half", once)
    assert type(half) is type(once)
    assert distance(half.to_dense(), once.to_dense()) < 1e-3


def test_half_of_pruned_weights():
    sparse = use("prune.magnitude", gaussian(16, 8), density=0.25)
    half = use("cast.half", sparse)
    assert isinstance(half, Sparse)
    assert half.values.values.dtype == np.float16


def test_beyond_the_range_of_half_is_refused():
    with pytest.raises(RecipeError, match=r"holds 1e\+06, beyond the range of f16(.|\n)*bf16"):
        use("cast.half", np.full((2, 2), 1e6))
    with pytest.raises(RecipeError, match="scale of `l/0` would round to zero"):
        use("cast.half", use("quantize.linear", np.full((2, 2), 1e-7)))


# What does not go


@pytest.mark.parametrize(
    "name", ["quantize.product", "quantize.residual", "quantize.cartesian", "hash.buckets"]
)
def test_codes_for_all_weights_come_neither_after_pruning_nor_after_quantization(name):
    with pytest.raises(RecipeError, match="codes zeros like all other"):
        use(name, use("prune.magnitude", gaussian(16, 8)))
    with pytest.raises(RecipeError, match="quantized already"):
        use(name, use("quantize.kmeans", gaussian(16, 8), k=4))


@pytest.mark.parametrize(
    "name", ["quantize.linear", "quantize.binary", "quantize.stochastic", "quantize.uniform"]
)
def test_scalars_of_pruned_weights_keep_the_positions(name):
    sparse = use("prune.block", gaussian(16, 8), density=0.25)
    form = use(name, sparse)
    assert isinstance(form, Sparse)
    assert isinstance(sparse, Sparse)
    assert form.block == sparse.block
    assert (form.positions == sparse.positions).all()
    with pytest.raises(RecipeError, match="quantized already"):
        use(name, form)


@pytest.mark.parametrize(
    ("name", "shape", "options", "match"),
    [
        (
            "quantize.product",
            (4, 6, 3, 3),
            {"dimension": 4},
            "dimension 4 does not divide the 6 input channels of `l/0`(.|\n)*dimension = 3 does, or along",
        ),
        ("quantize.product", (4, 9), {"dimension": 2}, "dimension = 1 does"),
        ("quantize.residual", (4, 9), {"dimension": 2}, "does not divide"),
        ("quantize.cartesian", (4, 9), {"dimension": 2}, "does not divide"),
        ("quantize.cartesian", (4, 24), {"dimension": 4, "span": 16}, "span = 12"),
        (
            "quantize.linear",
            (4, 9),
            {"granularity": "group", "group_size": 5},
            "group_size 5 does not divide the 36(.|\n)*4 does",
        ),
        ("quantize.binary", (4, 9), {"granularity": "group", "group_size": 5}, "does not divide"),
        ("hash.buckets", (4, 9), {"buckets": 37}, "fewer than the 37 buckets"),
    ],
)
def test_what_does_not_divide_is_named(name, shape, options, match):
    with pytest.raises(RecipeError, match=match):
        use(name, gaussian(*shape), **options)


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("quantize.product", {"k": 0}, "k is an integer"),
        ("quantize.product", {"shared": 1}, "shared is true or false"),
        ("quantize.product", {"along": "x"}, "along is one of channels, row"),
        ("quantize.residual", {"stages": 0}, "stages"),
        ("quantize.cartesian", {"rounds": 0}, "rounds"),
        ("quantize.uniform", {"step": 0.1, "bits": 2}, "exclude"),
        ("quantize.uniform", {"bits": 0}, "bits"),
        ("quantize.stochastic", {"bits": 17}, "bits"),
        ("quantize.stochastic", {"rounding": "up"}, "rounding"),
        ("quantize.binary", {"granularity": "row"}, "granularity"),
        ("hash.buckets", {"ratio": 0}, "ratio"),
        ("hash.buckets", {"ratio": 0.5, "buckets": 3}, "exclude"),
        ("cast.half", {"format": "f8"}, "format is one of"),
        ("quantize.product", {"dimensions": 4}, "did you mean `dimension`"),
    ],
)
def test_options_out_of_range_are_named(name, options, match):
    with pytest.raises(RecipeError, match=match):
        find_method(name).make_options(options)


def test_weighted_k_means_minimises_the_weighted_error():
    rng = np.random.default_rng(0)
    ordered = np.sort(rng.normal(size=400)).astype(np.float32)
    importance = rng.exponential(size=400).astype(np.float32)
    start = np.linspace(ordered[0], ordered[-1], 6, dtype=np.float32)
    found, rounds = weighted_lloyd(ordered, importance, start, 200)
    assert 1 < rounds < 200
    nearest = np.abs(ordered[:, None] - found).argmin(axis=1)
    for i in range(6):
        part = nearest == i
        assert found[i] == pytest.approx(np.average(ordered[part], weights=importance[part]), 1e-5)
    # What nothing counts of does not move.
    still, _ = weighted_lloyd(ordered, importance * (ordered < 0), start, 200)
    assert still[-1] == start[-1]


def test_weighted_k_means_spends_its_centroids_where_errors_count():
    net, x = filled(CONV), images(filled(CONV))
    judged = {}
    for weighted in (False, True):
        step = {"method": "quantize.kmeans", "k": 4, "weighted": weighted}
        packed = compress(net, recipe_of({"step": [step]}, "r"), data=x)
        feed = {"data": x}
        output = net.outputs[0]
        before, after = (cmodel.Engine(n).run(feed, [output])[output] for n in (net, packed))
        judged[weighted] = float(np.square(after - before).mean())
    assert judged[True] < judged[False]


def test_weighted_k_means_names_what_it_cannot_weigh():
    net = filled(CONV)
    steps = [
        {"method": "prune.block", "select": {"name": "conv1"}, "height": 4, "width": 1},
        {"method": "quantize.kmeans", "k": 4, "weighted": True},
    ]
    with pytest.raises(RecipeError, match="not single weights"):
        compress(net, recipe_of({"step": steps}, "r"), data=images(net))
    with pytest.raises(RecipeError, match="exact"):
        recipe_of({"step": [{**steps[1], "init": "exact"}]}, "r")
