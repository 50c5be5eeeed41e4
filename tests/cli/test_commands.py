"""The commands as a user and as a script meet them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from tests.nets import toy_net

import cmodel
from cmodel.caffe import write_hdf5
from cmodel.cli import main
from cmodel.proto import caffe_pb2
from cmodel.tensors import crc32_of

ROOT = Path(__file__).resolve().parents[2]

FORKED = """
name: "forked"
fork_option: "kept"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 fork_mode: FANCY } }
layer { name: "a" type: "Attention" bottom: "conv" top: "a" attention_param { heads: 4 scale: [1, 2] } }
layer { name: "b" type: "Warp" bottom: "a" top: "b" }
"""
COUNT = 4 * 27 + 4 + 6 * 144 + 6


def test_pack_tells_everything_in_json(run, model, tmp_path):
    out = tmp_path / "x.cmodel"
    arguments = ("--json", "--preset", "linear8", "--data", model.data)
    result = run("pack", model.prototxt, model.weights, "-o", out, *arguments)
    assert result.status == 0
    facts = result.json
    assert facts["schema"] == "cmodel.pack/1"
    assert facts["bytes_before"] == 4 * COUNT
    assert facts["bytes_after"] == out.stat().st_size
    assert facts["ratio"] == pytest.approx(4 * COUNT / out.stat().st_size)
    assert facts["images"] == 60
    assert {"top1_before", "top1_after"} <= facts.keys()
    assert [layer["name"] for layer in facts["layers"]] == ["conv", "fc"]
    parameters = [p for layer in facts["layers"] for p in layer["parameters"]]
    assert [p["name"] for p in parameters] == ["conv/0", "conv/1", "fc/0", "fc/1"]
    net = cmodel.load(out)
    for parameter in parameters:
        assert parameter["crc32"] == f"{crc32_of(net.parameters[parameter['name']]):08x}"


def test_pack_measures_what_eval_measures(run, model, tmp_path):
    out = tmp_path / "x.cmodel"
    arguments = ("--json", "--preset", "linear8", "--data", model.data)
    packed = run("pack", model.prototxt, model.weights, "-o", out, *arguments)
    before = run("eval", model.prototxt, "--weights", model.weights, "--data", model.data, "--json")
    after = run("eval", out, "--data", model.data, "--json")
    assert packed.json["top1_before"] == before.json["top1"]
    assert packed.json["top1_after"] == after.json["top1"]
    assert after.json["schema"] == "cmodel.eval/1"
    assert {"top1", "top5", "images", "seconds"} <= after.json.keys()
    assert after.json["images"] == 60


@pytest.mark.parametrize("preset", ["deep-compression", "kmeans-huffman", "linear8"])
def test_every_preset_packs_and_verifies(run, model, tmp_path, preset):
    out = tmp_path / "x.cmodel"
    assert run("pack", model.prototxt, model.weights, "-o", out, "--preset", preset).status == 0
    verified = run("verify", out, "--json")
    assert verified.status == 0
    assert verified.json["ok"]


def test_pack_twice_gives_the_same_bytes(run, model, tmp_path):
    files = [tmp_path / "a.cmodel", tmp_path / "b.cmodel"]
    for file in files:
        run("pack", model.prototxt, model.weights, "-o", file, "--preset", "kmeans-huffman")
    assert files[0].read_bytes() == files[1].read_bytes()


def test_pack_overwrites_only_when_told(run, model, tmp_path):
    out = tmp_path / "x.cmodel"
    out.write_text("mine")
    result = run("pack", model.prototxt, model.weights, "-o", out)
    assert (result.status, out.read_text()) == (2, "mine")
    assert "-f overwrites it" in result.err
    assert run("pack", model.prototxt, model.weights, "-o", out, "-f").status == 0


def test_coding_level_bounds_the_coders(run, model, tmp_path):
    sizes = {}
    for level in ("1", "6", "9"):
        out = tmp_path / f"{level}.cmodel"
        arguments = ["-o", out, "--preset", "kmeans-huffman", "--level", level, "--json"]
        result = run("pack", model.prototxt, model.weights, *arguments)
        sizes[level] = result.json["bytes_after"]
        assert run("verify", out).status == 0
    assert sizes["1"] >= sizes["6"] == sizes["9"]
    assert run("pack", model.prototxt, model.weights, "-o", out, "--level", "0").status == 2


def test_dry_run_writes_nothing(run, model, tmp_path):
    out = tmp_path / "x.cmodel"
    result = run("pack", model.prototxt, model.weights, "-o", out, "--dry-run", "--json")
    assert result.status == 0
    assert result.json["output"] is None
    assert result.json["bytes_after"] > 0
    assert list(tmp_path.glob("*cmodel*")) == []


def test_a_recipe_file(run, model, tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text('[[step]]\nmethod = "quantize.kmeans"\nk = 4\n')
    out = tmp_path / "x.cmodel"
    result = run("pack", model.prototxt, model.weights, "-o", out, "--recipe", recipe, "--json")
    forms = [p["form"] for layer in result.json["layers"] for p in layer["parameters"]]
    assert forms == ["codebook 4", "dense f32", "codebook 4", "dense f32"]


def test_methods_that_need_images_take_them_from_calib(run, model, tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text('[[step]]\nmethod = "prune.obs"\ndensity = 0.3\nselect = { name = "fc" }\n')
    out = tmp_path / "x.cmodel"
    arguments = (model.prototxt, model.weights, "-o", out, "--recipe", recipe)
    refused = run("pack", *arguments)
    assert refused.status == 2
    assert "--calib" in refused.err
    packed = run("pack", *arguments, "--calib", model.data, "--calib-images", 40, "--json")
    assert packed.status == 0
    fc = packed.json["layers"][1]["parameters"][0]
    assert fc["density"] == pytest.approx(0.3, abs=0.01)


def test_pack_stores_transform_and_labels(run, model, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"class {i}\n" for i in range(6)))
    out = tmp_path / "x.cmodel"
    run(
        *("pack", model.prototxt, model.weights, "-o", out, "--class-names", names),
        *("--scale", "0.5,0.25,1", "--mean-value", "1,2,3", "--resize", "10x12", "--crop", 8),
        *("--channel-order", "rgb"),
    )
    facts = run("inspect", out, "--json").json
    assert facts["transform"] == {
        "resize": [10, 12],
        "crop": [8, 8],
        "scale": [0.5, 0.25, 1.0],
        "mean_values": [1.0, 2.0, 3.0],
        "mean_image": None,
        "channel_order": "rgb",
    }
    assert facts["labels"][5] == "class 5"


def test_unpack_gives_back_the_same_tree_and_weights(run, model, tmp_path):
    out = tmp_path / "x.cmodel"
    recipe = tmp_path / "r.toml"
    recipe.write_text('[[step]]\nmethod = "quantize.kmeans"\nk = 4\nselect = { name = "fc" }\n')
    run("pack", model.prototxt, model.weights, "-o", out, "--recipe", recipe)
    assert run("unpack", out, "-o", tmp_path / "back").status == 0
    packed = cmodel.load(out)
    back = cmodel.load(tmp_path / "back/deploy.prototxt", tmp_path / "back/weights.caffemodel")
    original = cmodel.load(model.prototxt, model.weights)
    assert [layer.param for layer in back.layers] == [layer.param for layer in original.layers]
    for name in packed.parameters:
        expected = packed.parameters[name].to_dense().view(np.uint32)
        assert (back.parameters[name].to_dense().view(np.uint32) == expected).all()
    untouched = original.parameters["conv/0"].to_dense()
    assert (back.parameters["conv/0"].to_dense() == untouched).all()


def test_unknown_layers_and_fields_survive(run, tmp_path):
    """prototxt -> pack -> unpack -> the same tree, with types and fields that no schema has."""
    prototxt = tmp_path / "forked.prototxt"
    prototxt.write_text(FORKED)
    weights = tmp_path / "forked.caffemodel"
    model = caffe_pb2.NetParameter(name="forked")
    conv = model.layer.add(name="conv", type="Convolution")
    conv.blobs.add(shape=caffe_pb2.BlobShape(dim=[4, 3, 3, 3]), data=np.arange(108.0))
    conv.blobs.add(shape=caffe_pb2.BlobShape(dim=[4]), data=[0.0] * 4)
    attention = model.layer.add(name="a", type="Attention")
    attention.blobs.add(shape=caffe_pb2.BlobShape(dim=[2, 5]), data=np.arange(10.0))
    weights.write_bytes(model.SerializeToString())
    out = tmp_path / "x.cmodel"
    assert run("pack", prototxt, weights, "-o", out).status == 0
    back = tmp_path / "back"
    assert run("unpack", out, "-o", back).status == 0
    assert tree((back / "deploy.prototxt").read_text()) == tree(FORKED)
    again = tmp_path / "again.cmodel"
    packed = run("pack", back / "deploy.prototxt", back / "weights.caffemodel", "-o", again)
    assert packed.status == 0
    assert (cmodel.load(again).parameters["a/0"].to_dense() == np.arange(10).reshape(2, 5)).all()


def tree(text: str) -> list[str]:
    """Return the fields of a prototxt in an order of their own: a parser beside ours."""
    tokens = re.findall(r'"[^"]*"|[\w.+-]+|[{}\[\]]', text)

    def message(position: int) -> tuple[list[tuple[str, str]], int]:
        fields: list[tuple[str, str]] = []
        while position < len(tokens) and tokens[position] != "}":
            name = tokens[position]
            if tokens[position + 1] == "{":
                inner, position = message(position + 2)
                fields.append((name, str(inner)))
                position += 1
            elif tokens[position + 1] == "[":
                end = tokens.index("]", position)
                fields += [(name, value) for value in tokens[position + 2 : end]]
                position = end + 1
            else:
                fields.append((name, tokens[position + 1]))
                position += 2
        # The order of one field's repetitions counts, that of different fields does not.
        return sorted(fields, key=lambda field: field[0]), position

    return [str(field) for field in message(0)[0]]


def test_infer_writes_blobs(run, model, tmp_path):
    x = np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "blobs"
    arguments = ("--weights", model.weights, "--input", f"data={tmp_path / 'x.npy'}")
    result = run("infer", model.prototxt, *arguments, "--blobs", "all", "--out", out, "--json")
    assert result.status == 0
    names = ["conv.npy", "data.npy", "fc.npy", "prob.npy"]
    assert sorted(path.name for path in out.iterdir()) == names
    engine = cmodel.Engine(cmodel.load(model.prototxt, model.weights))
    assert (np.load(out / "prob.npy") == engine.run({"data": x})["prob"]).all()
    some = run("infer", model.prototxt, *arguments, "--blobs", "conv,fc", "--out", out, "--json")
    assert set(some.json["blobs"]) == {"conv", "fc"}


def test_math_is_exact_or_fast(run, model):
    arguments = ("infer", model.prototxt, "--weights", model.weights, model.data, "--json")
    exact, fast = (run(*arguments, "--math", math) for math in ("exact", "fast"))
    assert exact.status == fast.status == 0
    scores = [[r["top"][0]["score"] for r in result.json["results"]] for result in (exact, fast)]
    np.testing.assert_allclose(*scores, rtol=1e-4)
    assert run(*arguments, "--math", "quick").status == 2


def test_infer_names_the_best_classes(run, model, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"class {i}\n" for i in range(6)))
    out = tmp_path / "x.cmodel"
    run("pack", model.prototxt, model.weights, "-o", out, "--class-names", names)
    result = run("infer", out, model.data, "--top", 2, "--json")
    assert len(result.json["results"]) == 60
    top = result.json["results"][0]["top"]
    assert len(top) == 2
    assert top[0]["score"] >= top[1]["score"]
    assert top[0]["label"] == f"class {top[0]['class']}"
    assert "class" in run("infer", out, model.data, "--top", 1).out


def test_infer_names_inputs_as_they_were_given(run, model, tmp_path):
    from PIL import Image

    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "i.png")
        Image.new("RGB", (8, 8)).save(paths[-1])
    result = run("infer", model.prototxt, "--weights", model.weights, *paths, "--json")
    assert [entry["input"] for entry in result.json["results"]] == [str(path) for path in paths]


def test_json_has_null_where_a_score_is_no_number(run, model, tmp_path):
    np.save(tmp_path / "nan.npy", np.full((1, 3, 8, 8), np.nan, np.float32))
    arguments = ("--weights", model.weights, tmp_path / "nan.npy", "--json")
    result = run("infer", model.prototxt, *arguments)
    assert result.status == 0
    assert "NaN" not in result.out
    assert result.json["results"][0]["top"][0]["score"] is None


def test_a_full_disk_behind_stdout_is_one_error(model):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "cmodel", "inspect", str(model.prototxt)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "cannot write the result" in done.stderr
    assert "Traceback" not in done.stderr


def test_positionals_may_stand_after_options(run, model, tmp_path):
    out = tmp_path / "x.cmodel"
    packed = run("pack", model.prototxt, "--preset", "linear8", model.weights, "-o", out)
    assert packed.status == 0
    data = model.data
    result = run("infer", model.prototxt, "--weights", model.weights, data, "--top", 1, data)
    assert result.status == 0
    assert len(result.out.splitlines()) == 4 * 60


def test_eval_draws_a_seeded_sample(run, model):
    def measured(seed: int) -> dict:
        arguments = ("--weights", model.weights, "--data", model.data, "--limit", 12, "--json")
        return run("eval", model.prototxt, *arguments, "--seed", seed).json

    first, again = measured(1), measured(1)
    assert first["images"] == 12
    assert first["top1"] == again["top1"]


def test_inspect_accounts_for_every_byte(run, model, tmp_path):
    out = tmp_path / "x.cmodel"
    run("pack", model.prototxt, model.weights, "-o", out)
    facts = run("inspect", out, "--json").json
    assert sum(facts["purposes"].values()) == out.stat().st_size == facts["bytes"]
    assert facts["kind"] == "container"
    assert "conv/0" in run("inspect", out).out


def test_inspect_of_caffe_files(run, model):
    net = run("inspect", model.prototxt, "--json").json
    assert net["kind"] == "net"
    assert net["parameters"] == COUNT
    weights = run("inspect", model.weights, "--json").json
    assert weights["kind"] == "caffemodel"
    assert [blob["shape"] for blob in weights["layers"][1]["blobs"]] == [[4, 3, 3, 3], [4]]
    assert "InnerProduct" in run("inspect", model.prototxt, "--weights", model.weights).out


def test_inspect_tells_how_the_engine_runs_a_net(run, model, tmp_path):
    out = tmp_path / "x.cmodel"
    run("pack", model.prototxt, model.weights, "-o", out)
    facts = run("inspect", out, "--plan", "--batch", "2", "--json").json
    layers = [layer["name"] for layer in run("inspect", model.prototxt, "--json").json["layers"]]
    told = [key for step in facts["steps"] for key in step["layers"]]
    assert set(told) <= set(layers)
    assert facts["kind"] == "plan"
    assert all(step["shapes"][0][0] == 2 for step in facts["steps"])
    assert facts["milliseconds"] == pytest.approx(
        sum(step["milliseconds"] for step in facts["steps"])
    )
    # A kernel of 3x3x3 for 4 outputs at the 6x6 positions of two images.
    conv = next(step for step in facts["steps"] if "conv" in step["layers"])
    assert conv["multiply_adds"] == 4 * 27 * 2 * np.prod(conv["shapes"][0][2:])
    assert facts["blob_bytes"] > 0
    weights = ("--weights", model.weights)
    assert "mult-adds" in run("inspect", model.prototxt, *weights, "--plan").out
    assert run("inspect", model.prototxt, "--plan").status == 3


def test_inspect_of_hdf5_weights(run, model, tmp_path):
    write_hdf5(toy_net(), tmp_path / "net.h5")
    facts = run("inspect", tmp_path / "net.h5", "--json").json
    assert facts["kind"] == "hdf5"
    assert facts["parameters"] == COUNT
    conv = next(layer for layer in facts["layers"] if layer["name"] == "conv")
    assert [blob["shape"] for blob in conv["blobs"]] == [[4, 3, 3, 3], [4]]
    assert "4x3x3x3" in run("inspect", tmp_path / "net.h5").out
    out = tmp_path / "x.cmodel"
    assert run("pack", model.prototxt, tmp_path / "net.h5", "-o", out).status == 0


def test_inspect_of_a_net_file_alone(run, tmp_path):
    path = tmp_path / "squeezenet.net"
    path.write_bytes(np.arange(1, 9, dtype="<u4").tobytes() + bytes(5000))
    result = run("inspect", path)
    assert result.status == 3
    assert "states neither layers nor shapes" in result.err
    assert "deploy.prototxt" in result.err


def test_verify_names_damage_and_its_tensors(run, model, tmp_path):
    out = tmp_path / "x.cmodel"
    run("pack", model.prototxt, model.weights, "-o", out)
    offset = run("inspect", out, "--json").json["sections"][1]["offset"]
    data = bytearray(out.read_bytes())
    data[offset + 5] ^= 4
    out.write_bytes(data)
    result = run("verify", out, "--json")
    assert result.status == 1
    assert result.json["damages"][0]["error"] == "checksum"
    assert result.json["damages"][0]["tensors"] == ["conv/0"]
    assert run("infer", out, model.data).status == 3


def test_packing_again_names_the_lossless_preset(run, model, tmp_path):
    first, again = tmp_path / "a.cmodel", tmp_path / "b.cmodel"
    run("pack", model.prototxt, model.weights, "-o", first)
    refused = run("pack", first, "-o", again)
    assert refused.status == 2
    assert "quantized already" in refused.err
    assert "--preset lossless" in refused.err
    assert run("pack", first, "-o", again, "--preset", "lossless").status == 0


def test_the_ratio_is_that_of_the_net_before(run, model, tmp_path):
    """A rewrite changes the number of parameters; `inspect` tells what `pack` told."""
    recipe = tmp_path / "svd.toml"
    recipe.write_text('[[step]]\nmethod = "factorize.svd"\nrank = 2\nselect = { name = "fc" }')
    out = tmp_path / "x.cmodel"
    packed = run("pack", model.prototxt, model.weights, "-o", out, "--recipe", recipe, "--json")
    assert packed.json["bytes_before"] == 4 * COUNT
    facts = run("inspect", out, "--json").json
    assert facts["parameters"] < COUNT
    assert facts["bytes_before"] == 4 * COUNT
    assert facts["ratio"] == packed.json["ratio"]
    again = run("pack", out, "-o", tmp_path / "y.cmodel", "--json")
    assert again.json["bytes_before"] == 4 * COUNT


def test_inspect_tells_inputs_transform_and_labels_in_words(run, model, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\nowl\nfox\nbee\nant\n")
    out = tmp_path / "x.cmodel"
    stated = ("--scale", "0.5", "--mean-value", "1,2,3", "--crop", "8", "--class-names", names)
    run("pack", model.prototxt, model.weights, "-o", out, *stated)
    text = run("inspect", out).out
    assert re.search("inputs: data [0-9]x3x8x8", text)
    assert "transform: crop 8x8; scale 0.5; mean values 1,2,3" in text
    assert "labels: 6 (cat, dog, owl, ...)" in text


def test_infer_names_of_blobs(run, model, tmp_path):
    x = tmp_path / "x.npy"
    np.save(x, np.zeros((1, 3, 8, 8), np.float32))
    call = ("infer", model.prototxt, "--weights", model.weights)
    arrays = ("--input", f"data={x}", "--out", tmp_path / "o")
    wrong = run(*call, *arrays, "--blobs", "conv,fcc")
    assert wrong.status == 2
    assert "no blob `fcc`" in wrong.err
    assert "did you mean `fc`?" in wrong.err
    assert run(*call, *arrays, "--input", f"dat={x}").status == 2
    inner = run(*call, x, "--output", "fc", "--top", "2", "--json")
    assert len(inner.json["results"][0]["top"]) == 2
    assert run(*call, x, "--output", "fcc").status == 2

    text = model.prototxt.read_text()
    for old, new in (("conv", "a/b"), ("fc", "a__b")):
        for end in ("top", "bottom"):
            text = text.replace(f'{end}: "{old}"', f'{end}: "{new}"')
    model.prototxt.write_text(text)
    clash = run(*call, *arrays, "--blobs", "all")
    assert clash.status == 2
    assert "`a/b` and `a__b` have the same file" in clash.err
    assert not (tmp_path / "o").exists()


def test_salvage_saves_what_is_undamaged(run, model, tmp_path, monkeypatch):
    # A section for each tensor, as large files have.
    monkeypatch.setattr("cmodel.container.writer.SMALL_PAYLOAD", 1)
    out = tmp_path / "x.cmodel"
    run("pack", model.prototxt, model.weights, "-o", out)
    sections = run("inspect", out, "--json").json["sections"]
    assert len([s for s in sections if s["type"] == "data"]) == 4
    data = bytearray(out.read_bytes())
    data[sections[3]["offset"]] ^= 1
    out.write_bytes(data)
    refused = run("unpack", out, "-o", tmp_path / "back")
    assert refused.status == 3
    assert "--salvage" in refused.err
    data = bytearray(out.read_bytes())
    for section in sections[1:5]:
        data[section["offset"]] ^= 2
    (tmp_path / "lost.cmodel").write_bytes(data)
    nothing = run("unpack", tmp_path / "lost.cmodel", "-o", tmp_path / "none", "--salvage")
    assert nothing.status == 3
    assert "nothing is undamaged" in nothing.err
    assert not (tmp_path / "none").exists()
    saved = run("unpack", out, "-o", tmp_path / "back", "--salvage", "--json")
    assert saved.status == 1
    assert saved.json["lost"] == ["fc"]
    weights = caffe_pb2.NetParameter.FromString((tmp_path / "back/weights.caffemodel").read_bytes())
    assert {layer.name: len(layer.blobs) for layer in weights.layer if layer.blobs} == {"conv": 2}


def test_salvage_within_a_section(run, model, tmp_path):
    """Small files have one section for all tensors: the tensors' own checksums tell them apart."""
    mean = tmp_path / "mean.npy"
    np.save(mean, np.ones((3, 8, 8), np.float32))
    out = tmp_path / "x.cmodel"
    run("pack", model.prototxt, model.weights, "-o", out, "--mean-file", mean)
    facts = run("inspect", out, "--json").json
    (section,) = [s for s in facts["sections"] if s["type"] == "data"]
    sizes = {p["name"]: p["bytes"] for layer in facts["layers"] for p in layer["parameters"]}
    assert list(sizes) == ["conv/0", "conv/1", "fc/0", "fc/1"]
    whole = out.read_bytes()

    def damaged(*places: int):
        data = bytearray(whole)
        for place in places:
            data[section["offset"] + place] ^= 0x40
        path = tmp_path / "damaged.cmodel"
        path.write_bytes(data)
        return path

    path = damaged(sizes["conv/0"] + sizes["conv/1"] - 1)
    (damage,) = run("verify", path, "--json").json["damages"]
    assert damage["error"] == "checksum"
    assert damage["tensors"] == ["conv/1"]
    assert run("unpack", path, "-o", tmp_path / "a").status == 3
    saved = run("unpack", path, "-o", tmp_path / "a", "--salvage", "--json")
    assert (saved.status, saved.json["lost"]) == (1, ["conv"])
    weights = caffe_pb2.NetParameter.FromString((tmp_path / "a/weights.caffemodel").read_bytes())
    fc = cmodel.load(out).parameters["fc/0"].to_dense()
    (layer,) = [layer for layer in weights.layer if layer.blobs]
    assert layer.name == "fc"
    assert (np.array(layer.blobs[0].data, np.float32) == fc.reshape(-1)).all()
    assert (tmp_path / "a/mean.binaryproto").exists()

    # The mean image is the last tensor; a net without it is better than none.
    path = damaged(section["bytes"] - 1)
    saved = run("unpack", path, "-o", tmp_path / "b", "--salvage", "--json")
    assert (saved.status, saved.json["lost"]) == (1, [])
    assert "damaged" in saved.err
    assert not (tmp_path / "b/mean.binaryproto").exists()


def test_lossless_keeps_every_bit(run, model, tmp_path):
    net = caffe_pb2.NetParameter.FromString(model.weights.read_bytes())
    for layer in net.layer:
        for blob in layer.blobs:
            kept = [round(value, 1) if abs(value) > 0.4 else 0.0 for value in blob.data]
            blob.data[:] = kept
    fc = next(layer for layer in net.layer if layer.name == "fc")
    fc.blobs[0].data[3:6] = [float("nan"), float("inf"), -0.0]
    weights = tmp_path / "w.caffemodel"
    weights.write_bytes(net.SerializeToString())
    out = tmp_path / "x.cmodel"
    result = run("pack", model.prototxt, weights, "-o", out, "--preset", "lossless", "--json")
    assert result.status == 0
    assert result.json["ratio"] > 2.5
    before, after = cmodel.load(model.prototxt, weights), cmodel.load(out)
    for name in before.parameters:
        words = before.parameters[name].to_dense().view(np.uint32)
        assert (after.parameters[name].to_dense().view(np.uint32) == words).all()


def test_doctor(run):
    facts = run("doctor", "--json").json
    assert facts["simd"] in facts["simd_available"]
    assert facts["blas"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = {name for name, needs in project["optional-dependencies"].items() if needs}
    # What only the development of the package needs has no place in it.
    assert set(facts["extras"]) == extras - {"dev", "docs", "coverage"}
    assert "python" in run("doctor").out


def test_as_a_program(model, tmp_path):
    out = tmp_path / "x.cmodel"
    command = [sys.executable, "-m", "cmodel"]
    arguments = ["pack", str(model.prototxt), str(model.weights), "-o", str(out), "--json"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["schema"] == "cmodel.pack/1"
    assert done.stderr == ""
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == f"cmodel {cmodel.__version__}\n"


@pytest.mark.parametrize("command", ["pack", "unpack", "infer", "eval", "inspect", "verify"])
def test_help_has_examples(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"cmodel {command}" in capsys.readouterr().out.split("examples:")[1]
