"""Product codes fitted to the responses."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.compress.nets import CONV, apply, distance, filled, images, run
from tests.unit.compress.test_prune import ALL, response_errors

from cmodel.compress.methods import quantize_qcnn
from cmodel.errors import RecipeError
from cmodel.tensors import Product

OPTIONS = "k = 4\ndimension = 2\n"


def test_it_beats_plain_product_codes_in_the_responses():
    net, x = filled(CONV), images(filled(CONV))
    plain = apply(net, "quantize.product", OPTIONS)
    fitted = apply(net, "quantize.qcnn", OPTIONS + "correct = false", data=x)
    for name in ALL:
        form = fitted.parameters[name]
        assert isinstance(form, Product)
        assert form.codebooks.shape == plain.parameters[name].codebooks.shape
    assert (response_errors(net, fitted, x) < 0.6 * response_errors(net, plain, x)).all()


def test_error_correction_lowers_the_error_of_the_outputs():
    net, x = filled(CONV), images(filled(CONV), 200)
    plain, fitted, corrected = (
        distance(run(new, x), run(net, x))
        for new in (
            apply(net, "quantize.product", OPTIONS),
            apply(net, "quantize.qcnn", OPTIONS + "correct = false", data=x),
            apply(net, "quantize.qcnn", OPTIONS, data=x),
        )
    )
    assert corrected < fitted < plain


def test_the_error_never_rises():
    rng = np.random.default_rng(0)
    groups, height, channels, places, d = 2, 20, 6, 4, 3
    width = channels * places
    mixing = rng.normal(size=(groups, width, width))
    gram = mixing @ mixing.transpose(0, 2, 1) / width
    cross = gram + rng.normal(size=gram.shape) * 0.05
    rows = rng.normal(size=(groups, height, width))
    codebooks = rng.normal(size=(channels // d, 5, d)).astype(np.float32)
    codes = rng.integers(0, 5, (groups * height * places, channels // d)).astype(np.uint8)
    fit = quantize_qcnn._Fit(rows, gram, cross, codebooks, codes, 0.01)
    ridge = fit.gram - gram

    def error() -> float:
        new = fit.rows
        return float(
            np.einsum("grk,gkl,grl->", new, fit.gram, new)
            - 2 * np.einsum("grk,gkl,grl->", rows, cross + ridge, new)
        )

    last = error()
    for _ in range(3):
        for block in range(channels // d):
            fit.improve(block)
            assert error() <= last + 1e-9
            last = error()
    assert np.allclose(fit.gradient, rows @ (cross + ridge) - fit.rows @ fit.gram)
    decoded = fit.codebooks[:, fit.codes[..., 0]][0]
    assert np.allclose(fit.rows[:, :, fit._columns(0)], decoded.reshape(groups, height, -1))


def test_as_many_codewords_as_different_blocks_are_exact():
    net, x = filled(CONV), images(filled(CONV))
    new = apply(net, "quantize.qcnn", "k = 500\ndimension = 2\ncorrect = false", data=x)
    for name in ALL:
        assert np.allclose(
            new.parameters[name].to_dense(), net.parameters[name].to_dense(), atol=1e-5
        )


def test_images_that_are_all_zero_do_no_harm():
    net, x = filled(CONV), images(filled(CONV))
    new = apply(net, "quantize.qcnn", OPTIONS, data=np.zeros_like(x))
    assert all(np.isfinite(new.parameters[name].to_dense()).all() for name in ALL)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ("dimension = 5", "dimension 5 does not divide the 4 input channels of `conv1/0`"),
        ("rounds = 0", "rounds"),
        ("damp = 0", "damp"),
        ("select = { kind = 'biases' }", "no layer's weights"),
    ],
)
def test_wrong_options_are_named(options, match):
    net = filled(CONV)
    with pytest.raises(RecipeError, match=match):
        apply(net, "quantize.qcnn", options, data=images(net))
