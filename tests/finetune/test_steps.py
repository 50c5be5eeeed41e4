"""Every step that trains, on a small net, and what may go wrong."""

import numpy as np
import pytest

from cmodel.compress import Training, apply_recipe, recipe_of
from cmodel.data import Labelled
from cmodel.engine import Engine
from cmodel.errors import CheckFailed, DataError, InputError, RecipeError, UsageError
from cmodel.tensors import Codebook, Dense, Hashed, Linear, Product, Sparse


def run(net, four, *steps, told=None, seed=0, **training):
    images, labels = four
    recipe = recipe_of({"name": "test", "step": list(steps)}, "test")
    told = [] if told is None else told
    return apply_recipe(
        net,
        recipe,
        train=Training(Labelled(images, labels), **training),
        seed=seed,
        threads=1,
        on_progress=lambda event: told.append(event.what),
    )


def accuracy(net, four):
    images, labels = four
    scores = Engine(net, threads=1).run({"data": images})["prob"]
    return float((scores.argmax(1) == labels).mean())


TRAIN = {"method": "retrain", "epochs": 6, "learning_rate": 0.01, "batch": 32}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, four):
    from tests.finetune.conftest import small_net

    net = run(small_net(tmp_path_factory.mktemp("net")), four, {**TRAIN, "scratch": True})
    assert accuracy(net, four) > 0.9
    return net


def test_nothing_changes_but_what_trains(trained, four):
    out = run(trained, four, {**TRAIN, "epochs": 1, "side": False, "select": {"name": "ip1"}})
    changed = [
        name
        for name in trained.parameters
        if not np.array_equal(out.parameters[name].to_dense(), trained.parameters[name].to_dense())
    ]
    assert changed == ["ip1/0"]
    frozen = run(trained, four, {**TRAIN, "epochs": 1, "freeze": ["conv", "ip1"]})
    for name in ("conv/0", "conv/1", "ip1/0", "ip1/1"):
        assert frozen.parameters[name] is trained.parameters[name]


def test_zeros_stay_and_accuracy_comes_back(trained, four):
    prune = {"method": "prune.magnitude", "density": 0.15}
    cut = run(trained, four, prune)
    out = run(trained, four, prune, TRAIN)
    for name in ("conv/0", "ip1/0", "ip2/0"):
        before, after = cut.parameters[name], out.parameters[name]
        assert isinstance(after, Sparse)
        assert np.array_equal(before.positions, after.positions)
    assert accuracy(out, four) > accuracy(cut, four)


def test_trained_quantization_keeps_who_shares_with_whom(trained, four):
    share = {"method": "quantize.kmeans", "k": 3}
    cut, out = run(trained, four, share), run(trained, four, share, TRAIN)
    for name in ("conv/0", "ip1/0", "ip2/0"):
        before, after = cut.parameters[name], out.parameters[name]
        assert isinstance(after, Codebook)
        assert np.array_equal(before.indices, after.indices)
        assert not np.array_equal(before.centroids.to_dense(), after.centroids.to_dense())
    assert accuracy(out, four) >= accuracy(cut, four)


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        ({"method": "hash.buckets", "ratio": 0.25}, Hashed),
        ({"method": "quantize.product", "k": 4, "dimension": 1}, Product),
        ({"method": "quantize.linear", "bits": 2}, Linear),
    ],
)
def test_stored_values_train(trained, four, step, kind):
    cut, out = run(trained, four, step), run(trained, four, step, TRAIN)
    assert isinstance(out.parameters["ip1/0"], kind)
    assert accuracy(out, four) >= accuracy(cut, four)


def test_hashed_net_from_scratch(small, four):
    step = {"method": "hash.buckets", "ratio": 0.25}
    out = run(small, four, step, {**TRAIN, "scratch": True, "epochs": 12})
    assert isinstance(out.parameters["ip1/0"], Hashed)
    assert accuracy(out, four) > 0.8


def test_low_rank_layers_train(trained, four):
    step = {"method": "factorize.svd", "rank": 2, "select": {"name": "ip1"}}
    cut, out = run(trained, four, step), run(trained, four, step, TRAIN)
    assert out.parameter_count() == cut.parameter_count() < trained.parameter_count()
    assert accuracy(out, four) >= accuracy(cut, four)


def test_iterative_pruning(trained, four):
    step = {**TRAIN, "method": "retrain.prune", "turns": 2, "epochs": 3, "density": 0.2}
    step["name"] = {"conv": {"density": 0.5}}
    out = run(trained, four, step)
    assert out.parameters["ip1/0"].density == pytest.approx(0.2, abs=0.01)
    assert out.parameters["conv/0"].density == pytest.approx(0.5, abs=0.02)
    assert accuracy(out, four) > 0.9


def test_dropout_follows_the_connections(trained, four):
    from cmodel.finetune.steps.prune import dropout_factors

    assert dropout_factors(trained) == {"drop": 1.0}
    cut = run(trained, four, {"method": "prune.magnitude", "density": 0.25})
    assert dropout_factors(cut)["drop"] == pytest.approx(0.5, abs=0.01)


def test_surgery_takes_back(trained, four):
    import torch

    from cmodel.finetune.splicing import Spliced

    held = Spliced(np.array([0.05, 0.1, -0.2, 0.95, 1.05, 2], np.float32), 1.0)
    held.change()
    assert held.mask.tolist() == [False, False, False, True, True, True]
    held().sum().backward()
    assert held.values.grad.tolist() == [1] * 6
    with torch.no_grad():
        held.values.copy_(torch.tensor([1.05, 1.2, 0.1, 0.8, 1, 1]))
    held.change()
    assert held.mask.tolist() == [False, True, False, False, True, True]
    assert held.form().positions.tolist() == [1, 4, 5]
    step = {**TRAIN, "method": "retrain.surgery", "deviations": 0.8}
    out = run(trained, four, step)
    assert isinstance(out.parameters["ip1/0"], Sparse)
    assert 0.02 < out.parameters["ip1/0"].density < 0.6
    assert accuracy(out, four) > 0.9


def test_quantize_gets_to_the_size(trained, four):
    from cmodel.finetune.rates import bytes_of

    step = {**TRAIN, "method": "retrain.quantize", "select": {"kind": "all"}, "epochs": 30}
    sizes = []
    for size in (650, 550):
        out = run(trained, four, {**step, "size": size, "distill": 0.5})
        assert all(isinstance(out.parameters[name], Linear) for name in out.parameters)
        assert accuracy(out, four) > 0.85
        sizes.append(bytes_of(out))
    assert 0.9 * 650 < sizes[0] < 1.03 * 650
    assert 0.9 * 550 < sizes[1] < 1.03 * 550


def test_a_size_that_cannot_be_reached(trained, four):
    step = {**TRAIN, "method": "retrain.quantize", "size": 300}
    with pytest.raises(RecipeError, match="300 bytes cannot be reached") as caught:
        run(trained, four, step)
    assert "step 1" in caught.value.where


def test_what_is_trained_is_what_is_stored(trained, four):
    from cmodel.finetune.stepped import Stepped

    values = trained.parameters["ip1/0"].to_dense()
    held = Stepped(values, 0.13, 7, values > 0)
    found = held().detach().numpy()
    assert np.allclose(held.form().to_dense(), found, rtol=1e-3, atol=1e-7)
    assert not found[values <= 0].any()
    # Equation 3 of the paper: the gradient of a step is round(v) - v inside the range.
    held().sum().backward()
    units = np.where(values > 0, values / 0.13, 0).clip(-7, 7)
    expected = np.where(units < 7, np.rint(units) - units, 7).sum() * 0.13
    assert float(held.log_step.grad) == pytest.approx(expected, abs=1e-2)


def test_the_model_of_the_rate_is_near_the_coder(trained):
    from cmodel import container
    from cmodel.finetune.stepped import Rate, Stepped

    rng = np.random.default_rng(0)
    values = rng.laplace(size=(60, 300)) * (rng.random((60, 1)) < 0.3)
    held = Stepped(values.astype(np.float32), 1.5, 127, None)
    coded = 8 * container.size_of_form(held.form())
    assert Rate(held).refresh() == pytest.approx(coded, rel=0.1)


def test_a_thin_student_by_width(trained, four):
    step = {**TRAIN, "method": "retrain.student", "width": 0.5, "epochs": 12}
    told = []
    out = run(trained, four, {**step, "hint_epochs": 2, "hint": "pool"}, told=told)
    assert out.parameters.shape("conv/0") == (3, 1, 3, 3)
    assert out.parameters.shape("ip1/0")[0] == 8
    assert out.parameters.shape("ip2/0") == (4, 8)
    assert accuracy(out, four) > 0.85
    assert out.notes["parameters"] == trained.parameter_count()
    assert sum("epoch" in text for text in told) == 14


def test_a_student_by_prototxt(trained, four, tmp_path):
    from tests.finetune.conftest import SMALL

    path = tmp_path / "student.prototxt"
    path.write_text(SMALL.format(filters=2, units=5))
    step = {**TRAIN, "method": "retrain.student", "prototxt": str(path), "epochs": 2}
    out = run(trained, four, step)
    assert out.parameters.shape("ip1/0")[0] == 5
    path.write_text(SMALL.format(filters=2, units=5).replace("dim: 8 }}", "dim: 9 }}"))
    with pytest.raises(RecipeError, match="no blob `nowhere`"):
        run(trained, four, {**step, "hint": "nowhere", "hint_epochs": 1})


def test_same_seed_same_result_other_seed_another(trained, four):
    step = {**TRAIN, "epochs": 2, "shift": 1, "flip": True, "rotate": 5.0, "crop": 0.9}
    first, second, third = (run(trained, four, step, seed=seed) for seed in (1, 1, 2))
    one, two, three = (n.parameters["ip1/0"].to_dense() for n in (first, second, third))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, three)


@pytest.mark.parametrize("method", ["retrain", "retrain.quantize", "retrain.prune"])
def test_a_killed_run_goes_on_to_the_same_result(trained, four, tmp_path, method):
    step = {**TRAIN, "method": method, "epochs": 4, "distill": 0.3}
    extra = {"retrain.quantize": {"ratio": 6}, "retrain.prune": {"turns": 2, "density": 0.3}}
    step |= extra.get(method, {})
    whole = run(trained, four, step)

    class Killed(Exception):
        pass

    class Stops(list):
        def append(self, text):
            if "epoch 3" in text:
                raise Killed

    with pytest.raises(Killed):
        run(trained, four, step, told=Stops(), checkpoints=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step1.npz"]
    told = []
    again = run(trained, four, step, told=told, checkpoints=tmp_path)
    assert not any("epoch 1 of" in text for text in told[: 2 if method == "retrain.prune" else 9])
    for name in whole.parameters:
        expected = whole.parameters[name].to_dense()
        assert np.array_equal(again.parameters[name].to_dense(), expected), name
    with pytest.raises(UsageError, match="of another run"):
        run(trained, four, step, seed=9, checkpoints=tmp_path)


def test_a_damaged_checkpoint_is_named(trained, four, tmp_path):
    (tmp_path / "step1.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="no checkpoint") as caught:
        run(trained, four, TRAIN, checkpoints=tmp_path)
    assert "step1.npz" in caught.value.where


def test_a_loss_that_is_not_finite_ends_it(trained, four, tmp_path):
    from cmodel.finetune import checkpoint

    step = {**TRAIN, "optimizer": "sgd", "learning_rate": 10.0, "schedule": "constant"}
    images, labels = four
    huge = images.copy()
    huge[:] *= 1e18
    with pytest.raises(CheckFailed, match=r"not finite.*epoch"):
        run(trained, (huge, labels), step, checkpoints=tmp_path)
    run(trained, four, {**TRAIN, "epochs": 1}, checkpoints=tmp_path / "good")
    good = checkpoint.load(tmp_path / "good" / "step1.npz")
    assert all(np.isfinite(value).all() for value in good.arrays.values())


def test_early_stopping(trained, four):
    told = []
    step = {**TRAIN, "learning_rate": 1e-9, "epochs": 50, "patience": 2}
    run(trained, four, step, told=told)
    assert sum("epoch" in text for text in told) < 10


def test_epochs_are_shared_out(trained, four):
    told = []
    prune = {**TRAIN, "method": "retrain.prune", "turns": 2, "density": 0.5, "epochs": 10}
    run(trained, four, prune, {**TRAIN, "epochs": 20}, told=told, epochs=4)
    assert sum("epoch" in text for text in told) == 4


def test_bad_data(trained, four):
    images, labels = four
    wrong = labels.copy()
    wrong[7] = 4
    with pytest.raises(DataError, match="label 4 of image 7 is none of the 4 classes"):
        run(trained, (images, wrong), TRAIN)
    with pytest.raises(DataError, match=r"shape \(1, 7, 8\); the net takes \(1, 8, 8\)"):
        run(trained, (images[:, :, :7], labels), TRAIN)
    with pytest.raises(DataError, match="no image"):
        Labelled(images[:0], labels[:0])
    with pytest.raises(DataError, match="needs labels"):
        Labelled(images, None)
    with pytest.raises(DataError, match="labels"):
        Labelled(images, labels[:-1])
    with pytest.raises(DataError, match="too few"):
        run(trained, (images[:2], labels[:2]), TRAIN)
    with pytest.raises(RecipeError, match="needs labelled images") as caught:
        apply_recipe(trained, recipe_of({"step": [TRAIN]}, "test"))
    assert "--train" in caught.value.hint


def test_bad_recipes(trained, four):
    with pytest.raises(RecipeError, match="freeze names no layer `cnv`"):
        run(trained, four, {**TRAIN, "freeze": "cnv"})
    with pytest.raises(UsageError, match="nothing that trains"):
        run(trained, four, {**TRAIN, "freeze": "*"})
    for wrong in ({"epochs": 0}, {"schedule": "poly"}, {"distill": 2}, {"validation": 0}):
        with pytest.raises(RecipeError):
            recipe_of({"step": [{"method": "retrain", **wrong}]}, "test")
    rotated = {"method": "quantize.cartesian", "k": 4, "dimension": 9, "select": {"name": "ip1"}}
    with pytest.raises(RecipeError, match=r"`ip1/0` cannot be trained.*rotated"):
        run(trained, four, rotated, TRAIN)
    out = run(trained, four, rotated, {**TRAIN, "epochs": 1, "freeze": "ip1"})
    assert isinstance(out.parameters["ip1/0"], Product)


def test_options_load_without_torch():
    import subprocess
    import sys

    code = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(name, *rest):\n"
        "        assert name.partition('.')[0] != 'torch'\n"
        "sys.meta_path.insert(0, Missing)\n"
        "from cmodel.compress import preset_names, load_preset, method_names, find_method\n"
        "[load_preset(name) for name in preset_names()]; [find_method(n) for n in method_names()]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_torch_the_extra_is_named(monkeypatch):
    from tests.nets import toy_net

    from cmodel.errors import MissingExtraError

    monkeypatch.setattr("cmodel.finetune.extras.find_spec", lambda name: None)
    images = np.zeros((20, 3, 8, 8), np.float32)
    with pytest.raises(MissingExtraError, match=r"step `retrain` needs.*`finetune`"):
        run(toy_net(), (images, np.zeros(20, np.int64)), TRAIN)


def test_statistics_follow_the_batches_where_asked(tmp_path, four):
    from tests.finetune.conftest import SMALL, small_net

    text = SMALL.format(filters=6, units=16).replace(
        'layer { name: "relu"',
        'layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }\nlayer { name: "relu"',
        1,
    )
    net = small_net(tmp_path, text)
    net.parameters["bn/1"] = Dense(np.ones(6, np.float32))
    net.parameters["bn/2"] = Dense(np.ones(1, np.float32))
    still = run(net, four, {**TRAIN, "epochs": 1})
    assert np.array_equal(still.parameters["bn/0"].to_dense(), net.parameters["bn/0"].to_dense())
    out = run(net, four, {**TRAIN, "epochs": 20, "batch_statistics": True})
    count = float(out.parameters["bn/2"].to_dense()[0])
    assert 100 < count < 1000
    assert accuracy(out, four) > 0.9
