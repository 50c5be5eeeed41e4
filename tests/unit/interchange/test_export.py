"""Files of other programs: what is written, in which form, and what stays as it was."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.nets import make_net, toy_net
from tests.onnx_tools import error_of, run_onnx

from cmodel import container
from cmodel.caffe import load_net
from cmodel.cli import main
from cmodel.cli.export_command import FORMATS as CLI_FORMATS
from cmodel.cli.export_command import FORMS as CLI_FORMS
from cmodel.engine import Engine
from cmodel.errors import (
    LimitError,
    MissingExtraError,
    NetError,
    OutputError,
    UnsupportedError,
    UsageError,
    WeightsError,
)
from cmodel.interchange import FORMATS, export, format_of
from cmodel.interchange.onnx.writer import OPSET, write_onnx
from cmodel.net import InputTransform
from cmodel.tensors import Codebook, Dense, Hashed, Linear, Sparse

IMAGES = np.random.default_rng(5).normal(size=(3, 3, 8, 8)).astype(np.float32)


def with_weights(form, layer="conv"):
    """Return the toy net with one parameter replaced."""
    net = toy_net()
    net.parameters[f"{layer}/0"] = form
    return net


def check_onnx(net, path, **options):
    facts = export(net, path, **options)
    # The scores: Softmax turns their errors into relative ones.
    expected = Engine(net, threads=1).run({"data": IMAGES}, ["fc"])["fc"]
    assert error_of(run_onnx(path, {"data": IMAGES}, ["fc"])["fc"], expected) < 2e-6
    return facts, onnx.load(path)


def test_formats_are_told_by_suffix():
    for name, entry in FORMATS.items():
        for suffix in entry.suffixes:
            assert format_of(f"a/b{suffix}") == name
            assert format_of(f"a/B{suffix.upper()}") == name
    with pytest.raises(UsageError, match="stands for no format"):
        format_of("net.bin")


def test_the_command_knows_every_format():
    assert set(CLI_FORMATS) == set(FORMATS)
    assert set(CLI_FORMS) == {form for entry in FORMATS.values() for form in entry.forms}


@pytest.mark.parametrize("name", ["net.npz", "net.safetensors"])
def test_arrays_keep_their_bits_and_names(name, tmp_path):
    values = np.array([[np.nan, -0.0, np.inf, 1e-40]], np.float32)
    net = make_net(
        'layer { name: "a/b" type: "Parameter" top: "x" parameter_param { shape { dim: 1 dim: 4 } } }',
        {"a/b": [Dense(values)]},
    )
    facts = export(net, tmp_path / name)
    assert facts["files"] == [str(tmp_path / name)]
    assert facts["bytes"] == (tmp_path / name).stat().st_size
    if name.endswith("npz"):
        with np.load(tmp_path / name) as found:
            arrays = dict(found)
    else:
        from safetensors.numpy import load_file

        arrays = load_file(tmp_path / name)
    assert list(arrays) == ["a/b/0"]
    assert arrays["a/b/0"].tobytes() == values.tobytes()
    assert arrays["a/b/0"].shape == (1, 4)


def test_npz_is_a_pure_function_of_the_net(tmp_path):
    export(toy_net(), tmp_path / "a.npz")
    export(toy_net(), tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("weights", ["net.caffemodel", "net.caffemodel.h5", "net.hdf5"])
def test_weights_for_caffe_come_with_all_their_files(weights, tmp_path):
    net = toy_net()
    net.labels = ("cat", "dog")
    net.transform = InputTransform(mean_image=np.ones((3, 8, 8), np.float32))
    facts = export(net, tmp_path / weights)
    names = ["net.prototxt", weights, "net.mean.binaryproto", "net.labels.txt"]
    assert facts["files"] == [str(tmp_path / name) for name in names]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    again = load_net(tmp_path / "net.prototxt", tmp_path / weights, strict=True)
    for name in net.parameters:
        assert (
            again.parameters[name].to_dense().tobytes() == net.parameters[name].to_dense().tobytes()
        )
    assert (tmp_path / "net.labels.txt").read_text() == "cat\ndog\n"


def test_nothing_is_overwritten_or_left_behind(tmp_path):
    (tmp_path / "net.prototxt").write_text("mine")
    with pytest.raises(OutputError, match=r"net\.prototxt` exists already"):
        export(toy_net(), tmp_path / "net.caffemodel")
    assert [path.name for path in tmp_path.iterdir()] == ["net.prototxt"]
    assert (tmp_path / "net.prototxt").read_text() == "mine"
    export(toy_net(), tmp_path / "net.caffemodel", force=True)
    assert (tmp_path / "net.prototxt").read_text().startswith("name:")


def test_dry_run_keeps_nothing(tmp_path):
    facts = export(toy_net(), tmp_path / "net.onnx", keep=False)
    assert facts["bytes"] > 4 * toy_net().parameter_count()
    assert not list(tmp_path.iterdir())


def test_wrong_calls(tmp_path):
    with pytest.raises(UsageError, match="no format `tflite`"):
        export(toy_net(), tmp_path / "a.onnx", to="tflite")
    with pytest.raises(UsageError, match="npz has no form `qdq`"):
        export(toy_net(), tmp_path / "a.npz", form="qdq")
    (tmp_path / "a.onnx").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        export(toy_net(), tmp_path / "a.onnx")


@pytest.mark.parametrize("module", ["onnx", "safetensors"])
def test_a_missing_extra_is_named(module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(
        "cmodel.interchange.extras.find_spec", lambda name: None if name == module else object()
    )
    with pytest.raises(MissingExtraError, match=rf"cmodel-nn\[{module}\]"):
        export(toy_net(), tmp_path / f"a.{module}")


def test_the_model_states_what_it_is(tmp_path):
    facts, model = check_onnx(toy_net(), tmp_path / "net.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert facts["opset"] == OPSET
    assert facts["inputs"] == {"data": ["N", 3, 8, 8]}
    assert facts["outputs"] == {"prob": ["N", 6]}
    assert facts["parameters"] == {"float32": 4}
    assert [tensor.name for tensor in model.graph.initializer[:4]] == [
        "conv/0",
        "conv/1",
        "fc/0",
        "fc/1",
    ]
    assert model.producer_name == "cmodel"
    again = tmp_path / "again.onnx"
    export(toy_net(), again)
    assert again.read_bytes() == (tmp_path / "net.onnx").read_bytes()


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16])
@pytest.mark.parametrize("groups", [1, 4, 12])
def test_fixed_point_stays_integers(kind, groups, tmp_path):
    rng = np.random.default_rng(1)
    limits = np.iinfo(kind)
    ints = rng.integers(limits.min, limits.max, (4, 3, 3, 3), kind, endpoint=True)
    scales = Dense(rng.uniform(1e-4, 1e-3, groups).astype(np.float32))
    zeros = rng.integers(limits.min, limits.max, groups).astype(np.int32)
    form = Linear(scales, zeros, ints)
    facts, model = check_onnx(with_weights(form), tmp_path / "net.onnx", form="qdq")
    assert facts["parameters"] == {"DequantizeLinear": 1, "float32": 3}
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert stored["conv/0:ints"].dtype == kind
    assert stored["conv/0:ints"].tobytes() == ints.tobytes()
    found = run_onnx(tmp_path / "net.onnx", {"data": IMAGES}, ["conv/0"])["conv/0"]
    assert found.tobytes() == form.to_dense().tobytes()


def decoded(form, tmp_path, kind):
    facts, model = check_onnx(with_weights(form), tmp_path / "net.onnx", form="qdq")
    assert facts["parameters"] == ({kind: 1, "float32": 3} if kind != "float32" else {kind: 4})
    found = run_onnx(model, {"data": IMAGES}, ["conv/0"])
    if kind != "float32":
        assert found["conv/0"].tobytes() == form.to_dense().tobytes()
    return {tensor.name: tensor for tensor in model.graph.initializer}


def test_half_floats_stay_halves(tmp_path):
    rng = np.random.default_rng(2)
    half = Dense(rng.normal(size=(4, 3, 3, 3)).astype(np.float16))
    stored = decoded(half, tmp_path, "Cast")
    assert len(stored["conv/0:half"].raw_data) == 2 * 108


def test_bfloat16_stays_bfloat16(tmp_path):
    words = (
        np.random.default_rng(2).normal(size=(4, 3, 3, 3)).astype("f4").view("u4") >> 16
    ).astype(np.uint16)
    stored = decoded(Dense(words), tmp_path, "Cast")
    assert stored["conv/0:half"].data_type == onnx.TensorProto.BFLOAT16


@pytest.mark.parametrize("groups", [1, 4, 12])
def test_codebooks_stay_indices(groups, tmp_path):
    rng = np.random.default_rng(3)
    centroids = Dense(rng.normal(size=(groups, 16)).astype(np.float32))
    form = Codebook(centroids, rng.integers(0, 16, (4, 3, 3, 3), np.uint8))
    stored = decoded(form, tmp_path, "GatherElements")
    assert len(stored["conv/0:indices"].raw_data) == 108


def sparse(values):
    positions = np.sort(np.random.default_rng(4).permutation(108)[:20]).astype(np.int64)
    return Sparse((4, 3, 3, 3), positions, values)


def test_sparse_fixed_point_and_codebooks_stay_quantised(tmp_path):
    rng = np.random.default_rng(4)
    scale, zero = Dense(np.array([0.01], np.float32)), np.array([-3], np.int32)
    ints = rng.integers(-99, 99, 20).astype(np.int8)
    decoded(sparse(Linear(scale, zero, ints)), tmp_path, "DequantizeLinear")
    (tmp_path / "net.onnx").unlink()
    book = Codebook(
        Dense(rng.normal(size=(1, 256)).astype(np.float32)),
        rng.integers(0, 256, 20, dtype=np.uint8),
    )
    stored = decoded(sparse(book), tmp_path, "GatherElements")
    # 256 entries and zero: one too many for a byte.
    assert len(stored["conv/0:indices"].raw_data) == 2 * 108


def test_forms_that_onnx_lacks_become_float32(tmp_path):
    hashed = Hashed((4, 3, 3, 3), Dense(np.linspace(-1, 1, 9, dtype=np.float32)), 7)
    decoded(hashed, tmp_path, "float32")
    (tmp_path / "net.onnx").unlink()
    # The zero is not of the integers' type.
    far = Linear(
        Dense(np.array([0.01], np.float32)),
        np.array([1000], np.int32),
        np.zeros((4, 3, 3, 3), np.int8),
    )
    decoded(far, tmp_path, "float32")


def test_sparse_initializers_where_they_are_smaller(tmp_path):
    values = Dense(np.arange(1, 21, dtype=np.float32))
    facts, model = check_onnx(with_weights(sparse(values)), tmp_path / "net.onnx", form="sparse")
    assert facts["parameters"] == {"sparse": 1, "float32": 3}
    (stored,) = model.graph.sparse_initializer
    assert stored.values.name == "conv/0"
    assert list(stored.dims) == [4, 3, 3, 3]
    # A dense parameter with zeros is as sparse; what has few stays as it is.
    dense = with_weights(Dense(sparse(values).to_dense()))
    _, model = check_onnx(dense, tmp_path / "dense.onnx", form="sparse")
    assert len(model.graph.sparse_initializer) == 1
    assert not check_onnx(toy_net(), tmp_path / "toy.onnx", form="sparse")[
        1
    ].graph.sparse_initializer


def test_large_models_keep_their_parameters_beside_them(tmp_path):
    net = toy_net()
    net.parameters["fc/0"] = Dense(
        np.random.default_rng(6).normal(size=(6, 144)).astype(np.float32)
    )
    big = make_net(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 64 } } }'
        'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"'
        " inner_product_param { num_output: 64 } }",
        {"fc": [Dense(np.eye(64, dtype=np.float32)), Dense(np.ones(64, np.float32))]},
    )
    facts = write_onnx(big, tmp_path / "net.onnx", max_inline=100)
    assert facts["files"] == ["net.onnx", "net.onnx.data"]
    assert (tmp_path / "net.onnx.data").stat().st_size == 4 * 64 * 64
    assert (tmp_path / "net.onnx").stat().st_size < 2000
    x = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    np.testing.assert_allclose(session.run(None, {"data": x})[0], x + 1, rtol=1e-6)
    with pytest.raises(LimitError):
        write_onnx(big, tmp_path / "sparse.onnx", form="sparse", max_inline=100)


def test_all_unsupported_layers_are_named_at_once(tmp_path):
    net = make_net(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 } } }'
        'layer { name: "a" type: "Foo" bottom: "data" top: "a" }'
        'layer { name: "b" type: "Bar" bottom: "data" top: "b" }'
        'layer { name: "c" type: "Foo" bottom: "a" top: "c" }',
        {},
    )
    with pytest.raises(UnsupportedError) as caught:
        export(net, tmp_path / "net.onnx")
    assert caught.value.notes == ("layer `a` (Foo)", "layer `b` (Bar)", "layer `c` (Foo)")


def test_layers_that_onnx_cannot_say_are_named_at_once(tmp_path):
    layer = (
        'layer {{ name: "{0}" type: "Pooling" bottom: "data" top: "{0}" top: "{0}m"'
        " pooling_param {{ kernel_size: 1 stride: 3 }} }}"
    )
    net = make_net(
        'layer { name: "data" type: "Input" top: "data"'
        " input_param { shape { dim: 1 dim: 1 dim: 5 dim: 5 } } }"
        + layer.format("a")
        + layer.format("b"),
        {},
    )
    with pytest.raises(UnsupportedError, match="2 of the layers") as caught:
        export(net, tmp_path / "net.onnx")
    assert ["`a`" in caught.value.notes[0], "`b`" in caught.value.notes[1]] == [True, True]


def test_missing_shapes_and_weights(tmp_path):
    net = make_net('layer { name: "data" type: "Data" top: "data" }', {})
    with pytest.raises(NetError, match="no declared shape"):
        export(net, tmp_path / "net.onnx")
    bare = toy_net()
    bare.layer("conv").parameters.clear()
    with pytest.raises(WeightsError, match="needs parameters"):
        export(bare, tmp_path / "net.onnx")


def test_a_batch_that_the_net_fixes_is_kept(tmp_path):
    net = make_net(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 6 } } }'
        'layer { name: "r" type: "Reshape" bottom: "data" top: "r"'
        " reshape_param { shape { dim: 3 dim: 4 } } }",
        {},
    )
    facts = export(net, tmp_path / "net.onnx")
    assert facts["batch"] == "as declared"
    assert facts["inputs"] == {"data": [2, 6]}


def test_in_place_layers_and_odd_names(tmp_path):
    net = make_net(
        'layer { name: "x:Relu" type: "Input" top: "x:Relu"'
        " input_param { shape { dim: 2 dim: 3 } } }"
        'layer { name: "x" type: "ReLU" bottom: "x:Relu" top: "x:Relu" }'
        'layer { name: "x" type: "Power" bottom: "x:Relu" top: "x:Relu"'
        " power_param { scale: 2 } }"
        'layer { name: "d" type: "Dropout" bottom: "x:Relu" top: "out" }',
        {},
    )
    facts = export(net, tmp_path / "net.onnx")
    x = np.array([[-1, 0, 2], [3, -4, 5]], np.float32)
    (found,) = run_onnx(tmp_path / "net.onnx", {"x:Relu": x}).values()
    np.testing.assert_array_equal(found, 2 * np.maximum(x, 0))
    assert list(facts["outputs"]) == ["out"]


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / "toy.cmodel"
    container.write(toy_net(), path)
    return path


def test_command(packed, tmp_path, capsys):
    output = tmp_path / "toy.onnx"
    assert main(["export", str(packed), "-o", str(output), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["schema"] == "cmodel.export/1"
    assert facts["files"] == [str(output)]
    assert facts["format"] == "onnx"
    assert main(["export", str(packed), "-o", str(output)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["export", str(packed), "-o", str(output), "-f"]) == 0
    assert f"wrote {output}" in capsys.readouterr().out


def test_command_from_caffe_files(packed, tmp_path, capsys):
    assert main(["export", str(packed), "-o", str(tmp_path / "toy.caffemodel")]) == 0
    args = [str(tmp_path / "toy.prototxt"), "--weights", str(tmp_path / "toy.caffemodel")]
    assert main(["export", *args, "-o", str(tmp_path / "weights"), "--to", "npz"]) == 0
    assert Path(tmp_path / "weights").exists()
    assert main(["export", *args, "-o", str(tmp_path / "weights")]) == 2
    assert "stands for no format" in capsys.readouterr().err


def test_dry_run_of_the_command(packed, tmp_path, capsys):
    output = tmp_path / "toy.npz"
    assert main(["export", str(packed), "-o", str(output), "--dry-run"]) == 0
    assert "would write" in capsys.readouterr().out
    assert not output.exists()


def test_unpack_gives_the_same_files(packed, tmp_path, capsys):
    assert main(["unpack", str(packed), "-o", str(tmp_path / "out")]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["deploy.prototxt", "weights.caffemodel"]
    assert main(["unpack", str(packed), "-o", str(tmp_path / "out")]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["unpack", str(packed), "-o", str(tmp_path / "out"), "-f"]) == 0
