"""Bad input: one clear error, the right exit code, no traceback, nothing half written."""

from __future__ import annotations

import numpy as np
import pytest

from cmodel.proto import caffe_pb2

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1724895\n"


@pytest.fixture
def pack(run, model, tmp_path):
    """Pack with one input replaced, and check that nothing is left behind where it fails."""

    def call(*extra, prototxt=None, weights=None):
        out = tmp_path / "out" / "x.cmodel"
        out.parent.mkdir(exist_ok=True)
        out.unlink(missing_ok=True)
        arguments = (prototxt or model.prototxt, weights or model.weights, "-o", out)
        result = run("pack", *arguments, *extra)
        if result.status:
            assert list(out.parent.iterdir()) == []
            assert result.out == ""
            assert "error: " in result.err
        return result

    return call


@pytest.mark.parametrize("content", [b"", LFS, b"\x00\x01\x02", b"\xff" * 100, b"layer {"])
def test_a_prototxt_that_is_none(pack, tmp_path, content):
    bad = tmp_path / "bad.prototxt"
    bad.write_bytes(content)
    result = pack(prototxt=bad)
    assert result.status == 3
    assert str(bad) in result.err


@pytest.mark.parametrize("content", [b"", LFS, b"\x00\x01\x02", b"\xff" * 100, b"name: 'text'"])
def test_weights_that_are_none(pack, tmp_path, content):
    bad = tmp_path / "bad.caffemodel"
    bad.write_bytes(content)
    result = pack(weights=bad)
    assert result.status == 3
    assert str(bad) in result.err


def test_weights_cut_at_every_percent(pack, model, tmp_path):
    data = model.weights.read_bytes()
    bad = tmp_path / "cut.caffemodel"
    for percent in range(1, 100):
        bad.write_bytes(data[: len(data) * percent // 100])
        # A cut between two layers reads as a file with fewer layers: strict makes it an error.
        assert pack("--strict", weights=bad).status == 3


def test_missing_files(run, pack, tmp_path):
    none = tmp_path / "none"
    for result in (
        pack(prototxt=none),
        pack(weights=none),
        run("verify", none),
        run("inspect", none),
        run("infer", none, "x.png"),
    ):
        assert result.status == 3
        assert "none" in result.err


def test_a_prototxt_error_has_line_and_column(pack, tmp_path):
    bad = tmp_path / "bad.prototxt"
    bad.write_text('name: "x"\nlayer { name: 3 }\n')
    assert f"{bad}:2:" in pack(prototxt=bad).err


def caffemodel(path, **layers):
    net = caffe_pb2.NetParameter()
    for name, blobs in layers.items():
        layer = net.layer.add(name=name, type="X")
        for shape in blobs:
            size = int(np.prod(shape))
            layer.blobs.add(shape=caffe_pb2.BlobShape(dim=shape), data=[0.5] * size)
    path.write_bytes(net.SerializeToString())
    return path


CONV = [(4, 3, 3, 3), (4,)]
FC = [(6, 144), (6,)]


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ({"conv": [(4, 3, 5, 5), (4,)], "fc": FC}, "conv"),
        ({"conv": [(4, 3, 3, 3)], "fc": FC}, "conv"),
        ({"other": FC}, "no layer"),
    ],
)
def test_weights_that_do_not_fit(pack, tmp_path, layers, words):
    result = pack(weights=caffemodel(tmp_path / "w.caffemodel", **layers))
    assert result.status == 3
    assert words in result.err


def test_missing_layers_are_named_and_filled_as_caffe_does(pack, tmp_path):
    bad = caffemodel(tmp_path / "w.caffemodel", conv=CONV)
    result = pack(weights=bad)
    assert result.status == 0
    assert "warning" in result.err
    assert "`fc`" in result.err
    assert pack("--strict", weights=bad).status == 3


def test_random_fillers_are_refused_unless_allowed(pack, model, tmp_path):
    text = model.prototxt.read_text().replace(
        "num_output: 6", 'num_output: 6 weight_filler { type: "xavier" }'
    )
    prototxt = tmp_path / "random.prototxt"
    prototxt.write_text(text)
    bad = caffemodel(tmp_path / "w.caffemodel", conv=CONV)
    refused = pack(prototxt=prototxt, weights=bad)
    assert refused.status == 3
    assert "fc/0" in refused.err
    assert pack("--allow-missing", prototxt=prototxt, weights=bad).status == 0


def test_weights_that_are_not_finite(pack, model, tmp_path):
    net = caffe_pb2.NetParameter.FromString(model.weights.read_bytes())
    next(layer for layer in net.layer if layer.name == "fc").blobs[0].data[200] = float("nan")
    bad = tmp_path / "nan.caffemodel"
    bad.write_bytes(net.SerializeToString())
    result = pack(weights=bad)
    assert result.status == 3
    assert "`fc/0`" in result.err
    assert "(1, 56)" in result.err


def test_an_output_that_cannot_be_written(run, model, tmp_path):
    result = run("pack", model.prototxt, model.weights, "-o", tmp_path / "none" / "x.cmodel")
    assert result.status == 2
    assert "cannot write" in result.err
    assert run("pack", model.prototxt, model.weights, "-o", tmp_path, "-f").status == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "none"], "`none` is neither a preset nor a recipe"),
        (["--preset", "linear8", "--recipe", "x.toml"], "not allowed with"),
        (["--recipe", "missing.toml"], "cannot read"),
        (["--crop", "0"], "--crop"),
        (["--scale", "x"], "not a number"),
        (["--mean-value", "1", "--mean-file", "m.npy"], "exclude each other"),
        (["--threads", "0"], "not positive"),
        (["--max-memory", "lots"], "not a size"),
        (["--seed", "-1"], "negative"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_wrong_calls(pack, arguments, words):
    result = pack(*arguments)
    assert result.status in (2, 3)
    assert words in result.err


def test_unknown_commands_and_none(run):
    for arguments in ((), ("pak",)):
        result = run(*arguments)
        assert result.status == 2
        assert "--help" in result.err


def test_layers_that_the_engine_lacks(run, tmp_path):
    prototxt = tmp_path / "x.prototxt"
    prototxt.write_text(
        'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 2 } } }\n'
        'layer { name: "w" type: "Warp" bottom: "d" top: "w" }\n'
    )
    np.save(tmp_path / "x.npy", np.zeros((1, 2), np.float32))
    result = run("infer", prototxt, "--input", f"d={tmp_path / 'x.npy'}", "--out", tmp_path / "o")
    assert result.status == 4
    assert "`Warp`" in result.err


@pytest.mark.parametrize("content", [b"", b"no image", LFS, b"\x89PNG\r\n\x1a\n broken"])
def test_images_that_are_none(run, model, tmp_path, content):
    image = tmp_path / "x.png"
    image.write_bytes(content)
    result = run("infer", model.prototxt, "--weights", model.weights, image)
    assert result.status == 3
    assert str(image) in result.err


def test_an_image_of_the_wrong_size_says_the_sizes(run, model, tmp_path):
    from PIL import Image

    Image.new("RGB", (20, 10)).save(tmp_path / "x.png")
    result = run("infer", model.prototxt, "--weights", model.weights, tmp_path / "x.png")
    assert result.status == 3
    assert "10" in result.err
    assert "--resize" in result.err


def test_arrays_that_do_not_fit(run, model, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((1, 5, 8, 8), np.float32))
    arguments = ("--weights", model.weights, "--out", tmp_path / "o")
    wrong = run("infer", model.prototxt, *arguments, "--input", f"data={tmp_path / 'x.npy'}")
    assert wrong.status == 3
    unknown = run("infer", model.prototxt, *arguments, "--input", f"dat={tmp_path / 'x.npy'}")
    assert unknown.status == 2
    assert "did you mean `data`" in unknown.err
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    pickled = run("infer", model.prototxt, *arguments, "--input", f"data={tmp_path / 'o.npy'}")
    assert pickled.status == 3
    assert not (tmp_path / "o").exists()


def test_labels_outside_the_classes(run, model, tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 3, 8, 8), np.float32), y=np.array([0, 17]))
    result = run("eval", model.prototxt, "--weights", model.weights, "--data", tmp_path / "d.npz")
    assert result.status == 3
    assert "17" in result.err


def test_no_labels_says_how_to_give_them(run, model, tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 3, 8, 8), np.float32))
    result = run("eval", model.prototxt, "--weights", model.weights, "--data", tmp_path / "d.npz")
    assert result.status == 3
    assert "--labels" in result.err


def test_no_data_at_all(run, model):
    result = run("eval", model.prototxt, "--weights", model.weights)
    assert result.status == 2
    assert "--data" in result.err


def test_transform_options_on_arrays_as_fed(run, model):
    arguments = ("--weights", model.weights, "--data", model.data)
    result = run("eval", model.prototxt, *arguments, "--scale", "0.5")
    assert result.status == 2
    assert "--scale" in result.err


def test_containers_cut(run, model, tmp_path):
    out = tmp_path / "x.cmodel"
    run("pack", model.prototxt, model.weights, "-o", out)
    data = out.read_bytes()
    bad = tmp_path / "bad.cmodel"
    for size in range(4, len(data), max(1, len(data) // 40)):
        bad.write_bytes(data[:size])
        for command in (("verify", bad), ("inspect", bad), ("unpack", bad, "-o", tmp_path / "u")):
            assert run(*command).status == 3
    assert not (tmp_path / "u").exists()


def test_containers_beyond_the_memory_allowed(run, model, tmp_path):
    out = tmp_path / "x.cmodel"
    run("pack", model.prototxt, model.weights, "-o", out)
    result = run("verify", out, "--max-memory", "1KB")
    assert result.status == 5
    assert "--max-memory" in result.err


def test_errors_name_what_the_user_knows(run, model, tmp_path, monkeypatch):
    out = tmp_path / "x.cmodel"
    call = ("pack", model.prototxt, model.weights, "-o")
    folder = run(*call, tmp_path)
    assert folder.status == 2
    assert "it is a folder" in folder.err
    assert "-f" not in folder.err

    unknown = run(*call, out, "--presett", "x")
    assert unknown.status == 2
    assert "`cmodel pack --help`" in unknown.err

    def damaged(tensor):
        return 1

    monkeypatch.setattr("cmodel.container.reader.crc32_of", damaged)
    refused = run(*call, out)
    assert refused.status == 3
    assert f"--> {out}, tensor" in refused.err
    assert not out.exists()


@pytest.mark.parametrize("name", ["x.npz", "x.NPY", "x.zip", "x.png"])
def test_a_damaged_file_is_no_list(run, model, tmp_path, name):
    (tmp_path / name).write_bytes(b"XX\x03\x04 damaged at its start")
    call = ("eval", model.prototxt, "--weights", model.weights, "--data", tmp_path / name)
    result = run(*call)
    assert result.status == 3
    assert "not a known kind of source" in result.err


def test_training_options_need_each_other(run, model, tmp_path):
    out = tmp_path / "x.cmodel"
    pack = ("pack", model.prototxt, model.weights, "-o", out)
    result = run(*pack, "--epochs", 3)
    assert result.status == 2
    assert "--epochs goes with --train" in result.err
    result = run(*pack, "--train", model.data, "--data", model.data)
    assert result.status == 2
    assert "same images" in result.err
    result = run(*pack, "--preset", "smallest")
    assert result.status == 2
    assert "needs labelled images" in result.err
    assert "--train" in result.err
    result = run(*pack, "--train", model.data, "--max-loss", 1)
    assert result.status == 2
    assert "--size or a --ratio" in result.err
    result = run(*pack, "--train", model.data, "--preset", "linear8", "--ratio", 9)
    assert result.status == 2
    assert "no step that is led to a size" in result.err
    assert not out.exists()
