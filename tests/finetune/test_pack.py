"""`cmodel pack --train` as a user meets it, and a real training on Fashion-MNIST."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.nets import toy_net

from cmodel.caffe import print_prototxt, write_caffemodel
from cmodel.cli import main

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lenet-fashion"


@pytest.fixture
def files(tmp_path):
    net = toy_net()
    (tmp_path / "deploy.prototxt").write_text(print_prototxt(net))
    with (tmp_path / "net.caffemodel").open("wb") as file:
        write_caffemodel(net, file)
    rng = np.random.default_rng(7)
    for name in ("train", "test"):
        x = rng.normal(size=(60, 3, 8, 8)).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", x=x, y=rng.integers(0, 6, 60))
    return tmp_path


def pack(files, capsys, *options):
    model = [str(files / "deploy.prototxt"), str(files / "net.caffemodel")]
    data = ["--train", str(files / "train.npz"), "--data", str(files / "test.npz")]
    out = ["-o", str(files / "out.cmodel"), "--force", "--json", "--threads", "1"]
    status = main(["pack", *model, *out, *data, *map(str, options)])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return status, json.loads(captured.out) if status == 0 else captured.err


@pytest.mark.parametrize("preset", ["smallest", "han2015", "deep-compression-full"])
def test_presets_that_train(files, capsys, preset):
    options = ("--ratio", 3) if preset == "smallest" else ()
    status, facts = pack(files, capsys, "--preset", preset, "--epochs", 4, *options)
    assert status == 0
    assert facts["recipe"] == preset
    assert facts["images"] == 60
    assert facts["bytes_after"] == (files / "out.cmodel").stat().st_size


def command(files, name, checkpoints):
    return [
        *(sys.executable, "-m", "cmodel", "pack"),
        *(str(files / one) for one in ("deploy.prototxt", "net.caffemodel")),
        *("-o", str(files / name), "--ratio", "3", "--epochs", "40", "--threads", "1"),
        *("--train", str(files / "train.npz"), "--data", str(files / "test.npz")),
        *("--checkpoints", str(files / checkpoints), "--quiet"),
    ]


def test_a_killed_command_goes_on_to_the_same_bytes(files):
    subprocess.run(command(files, "whole.cmodel", "whole"), check=True)
    child = subprocess.Popen(command(files, "out.cmodel", "ck"))
    while child.poll() is None and not list((files / "ck").glob("*.npz")):
        time.sleep(0.01)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert not list(files.glob("out.cmodel*"))
    subprocess.run(command(files, "out.cmodel", "ck"), check=True)
    assert (files / "out.cmodel").read_bytes() == (files / "whole.cmodel").read_bytes()


def test_a_command_that_has_ended_is_not_trained_again(files, capsys):
    options = ("--epochs", 6, "--ratio", 3, "--checkpoints", files / "ck")
    _, first = pack(files, capsys, *options)
    one = (files / "out.cmodel").read_bytes()
    status, _ = pack(files, capsys, *options)
    assert status == 0
    assert (files / "out.cmodel").read_bytes() == one
    assert first["recipe"] == "smallest"
    status, error = pack(files, capsys, *options, "--seed", 4)
    assert status == 2
    assert "of another run" in error


def test_the_student_of_the_example(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(EXAMPLE)
    text = (EXAMPLE / "student.toml").read_text().replace("epochs = 60", "epochs = 1")
    (tmp_path / "student.toml").write_text(text)
    model = ["deploy.prototxt", "lenet_fashion.caffemodel", "-o", str(tmp_path / "s.cmodel")]
    data = ["--train", "train5000-images-idx3-ubyte.gz", "--data", "t10k-images-idx3-ubyte.gz"]
    options = [
        "--recipe",
        str(tmp_path / "student.toml"),
        "--scale",
        "0.00390625",
        "--limit",
        "200",
    ]
    assert main(["pack", *model, *data, *options, "--threads", "1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert sum(p["elements"] for layer in facts["layers"] for p in layer["parameters"]) == 19_762


def test_real_training_on_fashion_mnist(tmp_path):
    """A minute on one core: pruned to 10 %, 8 shared values, and trained with the rate."""
    from cmodel import container
    from cmodel.caffe import load_net
    from cmodel.compress import Training, apply_recipe, recipe_of
    from cmodel.data import Inputs, Labelled, open_source
    from cmodel.engine import Engine
    from cmodel.net import InputTransform
    from cmodel.tensors import Codebook, Sparse

    net = load_net(EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_fashion.caffemodel")
    scale = InputTransform(scale=(1 / 256,))

    def images(name, count):
        source = open_source(EXAMPLE / f"{name}-images-idx3-ubyte.gz")
        chosen = np.arange(count, dtype=np.int64)
        return Labelled(Inputs(source, chosen, scale, (50, 1, 28, 28)), source.labels[chosen])

    train, judge = images("train5000", 4000), images("t10k", 2000)
    blob = next(iter(net.inputs))

    def accuracy(which):
        scores = Engine(which).run({blob: judge.take(np.arange(len(judge)))})
        top = next(iter(scores.values())).reshape(len(judge), -1).argmax(1)
        return 100 * float((top == judge.labels).mean())

    def run(*steps):
        recipe = recipe_of({"name": "test", "step": list(steps)}, "test")
        return apply_recipe(net, recipe, train=Training(train), threads=1)

    fully = {"select": {"type": "InnerProduct"}}
    prune = {"method": "prune.magnitude", "density": 0.1, **fully}
    share = {"method": "quantize.kmeans", "k": 8, **fully}
    teach = {"method": "retrain", "epochs": 2, "distill": 0.5, "learning_rate": 0.002}
    before = accuracy(net)
    cut, out = run(prune, share), run(prune, teach, share, {**teach, "epochs": 1})
    cut_accuracy = accuracy(cut)
    assert cut_accuracy < before - 3
    assert accuracy(out) > max(before - 3, cut_accuracy + 1)
    for name in ("ip1/0", "ip2/0"):
        form = out.parameters[name]
        assert isinstance(form, Sparse)
        assert isinstance(form.values, Codebook)
        assert form.values.entries <= 8
        assert form.density == pytest.approx(0.1, abs=0.002)
    small = run(
        {
            "method": "retrain.quantize",
            "select": {"kind": "all"},
            "epochs": 5,
            "learning_rate": 0.002,
            "distill": 0.5,
            "ratio": 25,
        }
    )
    size = container.write(small, tmp_path / "small.cmodel", notes="none")
    assert 4 * net.parameter_count() / size > 24
    assert accuracy(container.read(tmp_path / "small.cmodel")) > before - 6
