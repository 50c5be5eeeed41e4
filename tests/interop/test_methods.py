"""What every method and preset gives, as a container: all readers read the same bits."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from tests.unit.compress.nets import filled, images

import cmodel
from cmodel import container
from cmodel.compress import load_preset, method_names, parse_recipe, preset_names
from cmodel.net import InputTransform, Net
from cmodel.tensors import Dense, Form, Product, crc32_of, crc32_of_values

SPEC = Path(__file__).resolve().parents[2] / "spec"
Commands = dict[str, list[str | Path]]

LENET = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 dim: 16 dim: 14 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 8 kernel_size: 3 } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
        pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
        convolution_param { num_output: 12 kernel_size: 3 } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "ip1" type: "InnerProduct" bottom: "conv2" top: "ip1" inner_product_param { num_output: 40 } }
layer { name: "relu3" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 8 } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""

RANK = "ratio = 0.5"
VECTORS = "k = 4\ndimension = 2"
# What a method is run with, where its defaults need more or leave something out.
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "cast.half": ('format = "f16"', 'format = "bf16"'),
    "factorize.conv": (f'select.type = "Convolution"\n{RANK}',),
    "factorize.dictionary": (RANK,),
    "factorize.svd": (RANK,),
    "hash.buckets": ("signed = true", "signed = false"),
    "quantize.cartesian": (VECTORS, f"span = 4\n{VECTORS}"),
    "quantize.linear": (
        "bits = 4",
        'bits = 16\nscheme = "affine"\ngranularity = "group"\ngroup_size = 4',
    ),
    "quantize.product": (VECTORS, f"shared = true\n{VECTORS}", f'along = "row"\n{VECTORS}'),
    "quantize.qcnn": (VECTORS,),
    "quantize.rdo": ("knob = 0.1", "knob = 0.01\ntrellis = true"),
    "quantize.residual": (VECTORS, f"stages = 3\n{VECTORS}"),
    "quantize.side": ('select.kind = "biases"',),
}


# What has to be done before a method.
BEFORE: Mapping[str, str] = {
    "quantize.activations": '[[step]]\nmethod = "quantize.linear"\nscheme = "symmetric"\n',
}


def cases() -> list[tuple[str, str]]:
    """Return recipes by their names: one step of each method, and each preset."""
    found = []
    for method in method_names():
        if trains(method):
            continue
        for options in OPTIONS.get(method, ("",)):
            name = f"{method} {options}".strip().replace("\n", ", ")
            step = f'[[step]]\nmethod = "{method}"\n{options}'
            found.append((name, BEFORE.get(method, "") + step))
    plain = [
        preset
        for preset in preset_names()
        if not any(trains(step.method.name) for step in load_preset(preset).steps)
    ]
    return found + [(preset, "") for preset in plain]


def trains(method: str) -> bool:
    """Whether a method needs labelled images; what it stores comes in forms that others make."""
    return method.partition(".")[0] == "retrain"


CASES = cases()


@cache
def small() -> Net:
    """Return a net with weights, a mean image and what rewrites look for."""
    net = filled(LENET)
    mean = np.linspace(90, 130, 4 * 16 * 14, dtype=np.float32).reshape(4, 16, 14)
    net.transform = InputTransform(mean_image=mean)
    return net


@cache
def compressed(name: str, recipe: str) -> Net:
    """Run a recipe, or a preset by its name where there is none."""
    net = small()
    return cmodel.compress(net, parse_recipe(recipe, "r") if recipe else name, data=images(net))


def listed(net: Net) -> dict[str, object]:
    """Return what a reader has to list of a net."""
    tensors = {}
    for name, form in net.parameters.items():
        if isinstance(form, Product) and form.rotation is not None:
            columns = len(form.rotation)
            blocks = [form.blocks().size // columns, columns]
            tensors[f"{name}:blocks"] = blocks, crc32_of(form)
            turn = list(form.rotation.shape)
            tensors[f"{name}:rotation"] = turn, crc32_of_values(form.rotation)
        else:
            tensors[name] = list(form.shape), crc32_of(form)
    if net.transform is not None and net.transform.mean_image is not None:
        mean = net.transform.mean_image
        tensors[":mean"] = list(mean.shape), crc32_of(Dense(mean))
    return {
        name: {"shape": shape, "crc32": f"{crc32:08x}"} for name, (shape, crc32) in tensors.items()
    }


@pytest.fixture(scope="module")
def readers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """Return the commands of the readers that can be built here, by their names in STATUS.md."""
    found: Commands = {}
    if shutil.which("make") and shutil.which("cc"):
        folder = tmp_path_factory.mktemp("c")
        command = [
            "make",
            "-s",
            "-C",
            SPEC / "readers/c",
            f"BUILD={folder}",
            folder / "cmodel-read",
        ]
        subprocess.run(command, check=True)
        found["C"] = [folder / "cmodel-read"]
    if node := shutil.which("node"):
        found["JavaScript"] = [node, SPEC / "readers/js/cmodel-read.mjs"]
    if shutil.which("cargo"):
        found["Rust"] = [request.getfixturevalue("release") / "cmodel-read"]
    if not found:
        pytest.skip("there is neither a C compiler nor node nor cargo")
    return found


def knows_everything(reader: str) -> bool:
    """Whether spec/STATUS.md has no feature that a reader lacks."""
    lines = (SPEC / "STATUS.md").read_text().splitlines()
    rows = [line.split("|") for line in lines if line.startswith("|")]
    titles = [title.strip() for title in rows[0]]
    return all(row[titles.index(reader)].strip() != "no" for row in rows)


@pytest.mark.parametrize(("name", "recipe"), CASES, ids=[name for name, _ in CASES])
def test_all_readers_read_what_a_recipe_gives(readers, tmp_path, name, recipe):
    net = compressed(name, recipe)
    wanted = listed(net)
    for level in container.LEVELS[0], container.LEVELS[-1]:
        path = tmp_path / f"{level}.cmodel"
        container.write(net, path, level=level)
        assert listed(container.read(path)) == wanted
        for reader, command in readers.items():
            done = subprocess.run(
                [*command, path], capture_output=True, encoding="utf-8", check=False
            )
            if done.stderr.startswith("unknown-feature") and not knows_everything(reader):
                continue
            assert (done.returncode, done.stderr) == (0, ""), reader
            assert json.loads(done.stdout)["tensors"] == wanted, reader


def test_the_recipes_give_every_form():
    forms = [form for case in CASES for form in compressed(*case).parameters.values()]
    assert {type(form) for form in forms} == set(get_args(Form))
    assert any(isinstance(form, Product) and form.rotation is not None for form in forms)
