"""Input statistics: right sums, bounded memory, clear errors, and steps that get them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nets import make_net
from tests.unit.compress.nets import CONV, filled, images, run

from cmodel.compress import (
    MODULES,
    Outcome,
    compress,
    method,
    parse_recipe,
    patches,
    registry,
    statistics,
)
from cmodel.compress.registry import GRAM, GRAM_AND_CROSS, GRAM_AND_SENSITIVITY
from cmodel.compress.sensitivity import fisher_information
from cmodel.compress.statistics import Calibration, gather
from cmodel.errors import DataError, LimitError, RecipeError
from cmodel.tensors import Dense


def test_the_gram_matrix_tells_the_energy_of_the_responses():
    net, x = filled(CONV), images(filled(CONV))
    names = ["conv1/0", "conv2/0", "conv3/0", "fc/0"]
    found = gather(net, names, Calibration(net, x))
    for name, blob, groups in zip(
        names, ("conv1", "conv2", "conv3", "fc"), (1, 2, 1, 1), strict=True
    ):
        # In place ReLUs overwrite the responses: run the net up to the layer.
        end = next(i for i, layer in enumerate(net.layers) if layer.key == blob)
        short = net.copy()
        del short.layers[end + 1 :]
        y = run(short, x, blob).astype(np.float64)
        layer = net.layer(blob)
        if len(layer.parameters) > 1:
            bias = net.parameters[layer.parameters[1]].to_dense()
            y -= bias.reshape(1, -1, *(1,) * (y.ndim - 2))
        entry = found[name]
        rows = net.parameters[name].to_dense().reshape(groups, y.shape[1] // groups, -1)
        assert entry.gram.shape == (groups, rows.shape[2], rows.shape[2])
        assert entry.gram.dtype == np.float64
        assert entry.count == y.size // y.shape[1]
        energy = np.einsum("grk,gkl,grl->gr", rows, entry.gram, rows).reshape(-1)
        mean = np.einsum("grk,gk->gr", rows, entry.mean).reshape(-1)
        axes = (0, *range(2, y.ndim))
        assert energy == pytest.approx((y**2).mean(axis=axes), rel=1e-4, abs=1e-6)
        assert mean == pytest.approx(y.mean(axis=axes), rel=1e-4, abs=1e-5)


def test_sums_in_float32_are_those_in_float64(monkeypatch):
    net = filled(CONV)
    x = images(net, 200) + np.float32(3)
    names = ["conv1/0", "conv2/0", "conv3/0", "fc/0"]
    single = gather(net, names, Calibration(net, x))
    monkeypatch.setattr(statistics, "_LEAST", np.inf)
    double = gather(net, names, Calibration(net, x))
    for name in names:
        energy = np.sqrt(np.diagonal(double[name].gram, axis1=1, axis2=2))
        error = np.abs(single[name].gram - double[name].gram)
        assert (error <= 1e-5 * energy[:, :, None] * energy[:, None]).all()
        assert error.max() > 0


@pytest.mark.parametrize("scale", [1e25, 1e-25])
def test_inputs_beyond_the_range_of_float32_squares_are_summed_in_float64(scale):
    net = filled(CONV)
    x = images(net)
    (plain, scaled) = (
        gather(net, ["conv1/0"], Calibration(net, factor * x))["conv1/0"].gram
        for factor in (np.float32(1), np.float32(scale))
    )
    assert np.allclose(scaled / scale**2, plain, rtol=1e-4, atol=1e-5 * plain.max())


def test_batches_do_not_matter(monkeypatch):
    net, x = filled(CONV), images(filled(CONV))
    once = gather(net, ["conv2/0"], Calibration(net, x))["conv2/0"]
    monkeypatch.setattr(statistics, "_MAX_BATCH", 3)
    monkeypatch.setattr(patches, "_BYTES", 1)
    pieces = (x[i : i + 7] for i in range(0, len(x), 7))
    again = gather(net, ["conv2/0"], Calibration(net, pieces))["conv2/0"]
    assert again.count == once.count
    assert np.allclose(again.gram, once.gram, rtol=1e-5)


def test_an_iterator_of_batches_serves_several_passes():
    net, x = filled(CONV), images(filled(CONV))
    calibration = Calibration(net, iter([x[:3], x[3:]]))
    first, second = (gather(net, ["fc/0"], calibration)["fc/0"] for _ in range(2))
    assert first.count == second.count == len(x)
    assert (first.gram == second.gram).all()


def test_a_layer_sees_its_bottom_before_it_is_overwritten():
    text = CONV.replace(
        'name: "relu1"',
        'name: "other" type: "InnerProduct" bottom: "conv1" top: "o"'
        ' inner_product_param { num_output: 2 } } layer { name: "relu1"',
    )
    net = filled(text)
    x = images(net)
    entry = gather(net, ["other/0"], Calibration(net, x))["other/0"]
    eigenvalues = np.linalg.eigvalsh(entry.gram)
    assert eigenvalues.min() > -1e-6 * eigenvalues.max()
    assert entry.mean.min() < -0.1  # not rectified


def test_large_images_are_sampled(monkeypatch):
    net, x = filled(CONV), images(filled(CONV))
    whole = gather(net, ["conv1/0"], Calibration(net, x))["conv1/0"]
    monkeypatch.setattr(patches, "MAX_PATCHES", 7)
    entry = gather(net, ["conv1/0"], Calibration(net, x))["conv1/0"]
    assert entry.count == 7 * len(x)
    assert np.trace(entry.gram[0]) == pytest.approx(np.trace(whole.gram[0]), rel=0.3)


def test_a_parameter_of_two_layers_has_the_inputs_of_both():
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 6 } } }
    layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" inner_product_param { num_output: 6 bias_term: false } }
    layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 6 bias_term: false } }
    """
    net = make_net(text, {"a": [Dense(np.eye(6, dtype=np.float32) * 2)]})
    net.layers[2].parameters = ["a/0"]
    x = images(net)
    entry = gather(net, ["a/0"], Calibration(net, x))["a/0"]
    assert entry.count == 2 * len(x)
    second = x.astype(np.float64).T @ x / len(x)
    assert np.allclose(entry.gram[0], (second + 4 * second) / 2)


def test_cross_moments_compare_with_the_net_before():
    net, x = filled(CONV), images(filled(CONV))
    other = net.copy()
    other.parameters["conv1/0"] = Dense(net.parameters["conv1/0"].to_dense() * np.float32(2))
    other.parameters["conv1/1"] = Dense(net.parameters["conv1/1"].to_dense() * np.float32(2))
    entry = gather(other, ["conv2/0"], Calibration(net, x), reference=net)["conv2/0"]
    assert entry.cross is not None
    assert np.allclose(entry.cross, entry.gram / 2)


def test_a_comparison_takes_the_first_images_only(monkeypatch):
    net, x = filled(CONV), images(filled(CONV))
    monkeypatch.setattr("cmodel.compress.statistics.MAX_COMPARED", 3)
    parts = [x[:2], x[2:]]
    entry = gather(net, ["conv2/0"], Calibration(net, parts), reference=net)["conv2/0"]
    alone = gather(net, ["conv2/0"], Calibration(net, x[:3]))["conv2/0"]
    assert entry.count == alone.count
    assert np.allclose(entry.gram, alone.gram)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (np.zeros((3, 4, 9, 9), np.float32), "3x4x9x9(.|\n)*takes Nx4x9x8(.|\n)*mean subtracted"),
        (np.zeros((4, 9, 8), np.float32), "4x9x8"),
        (np.array(3, np.float32), "scalar"),
        (np.zeros((0, 4, 9, 8), np.float32), "no image"),
        ([], "no image"),
        (np.full((1, 4, 9, 8), np.nan, np.float32), "not finite"),
        (np.full((1, 4, 9, 8), "x"), "not numbers"),
    ],
)
def test_calibration_data_of_the_wrong_shape_is_named(data, match):
    with pytest.raises(DataError, match=match):
        compress(filled(CONV), "linear8", data=data)


def test_later_batches_of_the_wrong_shape_are_named():
    net, x = filled(CONV), images(filled(CONV))
    with pytest.raises(DataError, match="calibration data has the shape"):
        gather(net, ["fc/0"], Calibration(net, [x, x[:, :, :3]]))


def test_statistics_that_are_too_large_are_refused(monkeypatch):
    monkeypatch.setattr(statistics, "MAX_BYTES", 1000)
    net, x = filled(CONV), images(filled(CONV))
    with pytest.raises(LimitError, match="`fc/0` has 60 inputs"):
        gather(net, ["fc/0"], Calibration(net, x))


def test_layers_that_are_not_gathered_are_refused():
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 3 dim: 3 } } }
    layer { name: "up" type: "Deconvolution" bottom: "data" top: "up"
            convolution_param { num_output: 2 kernel_size: 2 } }
    """
    net = filled(text)
    with pytest.raises(RecipeError, match="Deconvolution"):
        gather(net, ["up/0"], Calibration(net, images(net)))


# Steps that need statistics.


@pytest.fixture
def probe(monkeypatch):
    """A method that notes what it gets, and doubles the weights."""
    seen = {}

    def register(needs):
        entries = dict(registry._entries)
        monkeypatch.setattr(registry, "_entries", entries)
        monkeypatch.setitem(MODULES, "test.probe", "tests.unit.compress.nets")

        from cmodel.compress.methods.fold_batchnorm import Options

        @method("test.probe", Options, needs=needs)
        def run_probe(task):
            seen[task.name] = task.statistics
            return Outcome(Dense(task.form.to_dense() * np.float32(2)))

        return seen

    return register


STEP = '[[step]]\nmethod = "test.probe"\n'


def test_one_pass_serves_a_step_that_needs_gram_matrices(probe):
    seen = probe(GRAM)
    net, x = filled(CONV), images(filled(CONV))
    compress(net, parse_recipe(STEP, "r"), data=x)
    before = gather(net, list(seen), Calibration(net, x))
    assert list(seen) == ["conv1/0", "conv2/0", "conv3/0", "fc/0"]
    assert all((seen[name].gram == before[name].gram).all() for name in seen)
    assert all(entry.cross is None for entry in seen.values())


def test_error_correction_gathers_behind_what_is_compressed_already(probe):
    seen = probe(GRAM_AND_CROSS)
    text = CONV.replace("kernel_size: 3", "bias_term: false kernel_size: 3")
    net, x = filled(text), images(filled(text))
    compress(net, parse_recipe(STEP, "r"), data=x)
    before = gather(net, list(seen), Calibration(net, x))
    for i, name in enumerate(seen):
        gram = before[name].gram
        assert np.allclose(seen[name].gram, gram * 4**i, rtol=1e-5, atol=1e-5 * gram.max())
        assert np.allclose(seen[name].cross, gram * 2**i, rtol=1e-5, atol=1e-5 * gram.max())


def test_sensitivities_are_those_of_the_net_before_the_steps(probe):
    seen = probe(GRAM_AND_SENSITIVITY)
    net, x = filled(CONV), images(filled(CONV))
    told = []
    compress(net, parse_recipe(STEP + STEP, "r"), data=x, on_progress=told.append)
    before = fisher_information(net, list(seen), Calibration(net, x))
    assert list(seen) == ["conv1/0", "conv2/0", "conv3/0", "fc/0"]
    assert all((seen[name].sensitivity == before[name].outputs).all() for name in seen)
    assert sum(event.what == "sensitivities, 20 images" for event in told) == 1


def test_without_data_it_says_what_to_do(probe):
    probe(GRAM)
    with pytest.raises(RecipeError, match=r"needs images(.|\n)*r, step 2(.|\n)*`--calib SOURCE`"):
        compress(filled(CONV), parse_recipe('[[step]]\nmethod = "cast.half"\n' + STEP, "r"))


def test_memory_is_bounded_by_further_passes(probe, monkeypatch):
    seen = probe(GRAM)
    net, x = filled(CONV), images(filled(CONV))
    monkeypatch.setattr("cmodel.compress.pipeline.MAX_BYTES", 8 * 36 * 36 * 3)
    compress(net, parse_recipe(STEP, "r"), data=x)
    assert list(seen) == ["conv1/0", "conv2/0", "conv3/0", "fc/0"]
