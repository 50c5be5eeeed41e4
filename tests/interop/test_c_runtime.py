"""The C runtime of spec/readers/c runs networks as the engine does, here and on 32-bit ARM."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.interop.test_c_reader import ROOT, SOURCES, make
from tests.nets import dense_net, fire_net, make_net, random_net, toy_net
from tests.unit.container import making

import cmodel
from cmodel import container
from cmodel.compress import apply_recipe
from cmodel.net import Net

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("cc") is None, reason="needs make and a C compiler"
)
ARM = "arm-linux-gnueabihf-gcc"
HERE = Path(__file__).parent


@pytest.fixture(scope="module", params=["run", "run-sanitized", "arm"])
def command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the command: from the two files for boards, with sanitizers, and on 32-bit ARM."""
    folder = tmp_path_factory.mktemp("runtime")
    if request.param != "arm":
        return [str(make(request.param, folder))]
    if shutil.which(ARM) is None or shutil.which("qemu-arm") is None:
        pytest.skip("needs arm-linux-gnueabihf-gcc and qemu-arm")
    return ["qemu-arm", str(make("run", folder, f"CC={ARM}", "LDFLAGS=-static"))]


def run(command: list[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command with arguments."""
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, timeout=300
    )


def check(command: list[str], path: Path, scale: float = 1) -> None:
    """Compare what the command answers to random values with what the engine answers."""
    net = container.read(path)
    engine = cmodel.Engine(net)
    (name,) = engine.inputs
    shape = (1, *engine.inputs[name][1:])
    x = np.random.default_rng(0).normal(size=shape, scale=scale).astype(np.float32)
    wanted = list(engine.run({name: x}).values())[-1]
    image = path.with_suffix(".f32")
    x.tofile(image)
    done = run(command, "--top", "0", path, image)
    assert (done.returncode, done.stderr) == (0, "")
    found = [float(line.split()[1]) for line in done.stdout.splitlines()]
    np.testing.assert_allclose(found, wanted.ravel(), rtol=1e-5, atol=1e-4)


def refused(command: list[str], *arguments: str | Path) -> str:
    """Return what the command says of a file that it does not run."""
    done = run(command, *arguments)
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    return done.stderr


@pytest.mark.parametrize("preset", ["linear8", "rdo", "kmeans-huffman", "deep-compression"])
@pytest.mark.parametrize("maker", [toy_net, dense_net, fire_net])
def test_packed_networks_run_as_in_the_engine(
    command: list[str], tmp_path: Path, maker: Callable[[], Net], preset: str
) -> None:
    net = maker()
    (shape,) = cmodel.Engine(net).inputs.values()
    x = np.random.default_rng(1).normal(size=(64, *shape[1:])).astype(np.float32)
    small = apply_recipe(net, preset, data=x)
    check(command, making.write(tmp_path / "a.cmodel", making.packed(small)))


@pytest.mark.parametrize("maker", [making.every_form, making.more_forms, making.trellis_forms])
def test_every_form_runs(command: list[str], tmp_path: Path, maker: Callable[[], Net]) -> None:
    check(command, making.write(tmp_path / "a.cmodel", making.packed(maker())), 1e-2)


INPUT = """layer { name: "data" type: "Input" top: "x"
                   input_param { shape { dim: 1 dim: %d dim: %d dim: %d } } }"""
POOLINGS = {
    # name: height, width, settings
    "a last window that begins in the pad": (6, 6, "kernel_size: 2 stride: 2 pad: 1"),
    "that is dropped on one axis": (7, 6, "kernel_size: 3 stride: 3 pad: 1"),
    "pads that differ": (7, 9, "kernel_h: 3 kernel_w: 4 stride: 2 pad_h: 0 pad_w: 2"),
    "a pad on one axis that drops on the other": (
        5, 5, "kernel_h: 1 kernel_w: 3 stride_h: 3 stride_w: 2 pad_h: 0 pad_w: 1"
    ),
    "windows cut off": (8, 7, "kernel_size: 3 stride: 2"),
    "rounding down": (8, 7, "kernel_size: 3 stride: 2 round_mode: FLOOR"),
    "a kernel larger than the input": (2, 3, "kernel_size: 3 stride: 2"),
    "gaps": (11, 13, "kernel_size: 2 stride_h: 3 stride_w: 4"),
    "overlap": (9, 9, "kernel_size: 5 stride: 1 pad: 2"),
    "global": (5, 3, "global_pooling: true"),
}  # fmt: skip


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("name", POOLINGS)
def test_pooling(command: list[str], tmp_path: Path, name: str, method: str) -> None:
    height, width, settings = POOLINGS[name]
    text = (
        INPUT % (3, height, width)
        + f"""layer {{ name: "pool" type: "Pooling" bottom: "x" top: "y"
        pooling_param {{ pool: {method} {settings} }} }}"""
    )
    check(command, making.write(tmp_path / "a.cmodel", making.packed(make_net(text, {}))))


CONVOLUTIONS = {
    # name: channels, height, width, outputs, kernel, groups, settings
    "strides": (3, 11, 9, 6, (3, 3), 1, "kernel_size: 3 stride_h: 2 stride_w: 3"),
    "pads that differ": (2, 6, 7, 5, (3, 5), 1, "kernel_h: 3 kernel_w: 5 pad_h: 0 pad_w: 2"),
    "groups": (6, 7, 7, 9, (3, 3), 3, "kernel_size: 3 pad: 1 group: 3"),
    "each channel alone": (5, 6, 6, 5, (3, 3), 5, "kernel_size: 3 stride: 2 pad: 1 group: 5"),
    "dilation": (2, 12, 13, 4, (3, 3), 1, "kernel_size: 3 dilation: 2 dilation: 3 pad: 2"),
    "groups of pixels": (8, 5, 6, 12, (1, 1), 2, "kernel_size: 1 group: 2"),
    "pixels with a stride": (4, 7, 6, 3, (1, 1), 1, "kernel_size: 1 stride: 2"),
    "pixels with a pad": (4, 3, 4, 3, (1, 1), 1, "kernel_size: 1 pad: 1"),
    "long rows": (1, 3, 600, 5, (3, 3), 1, "kernel_size: 3 pad: 1"),
    "a kernel beyond the input": (2, 2, 2, 3, (5, 5), 1, "kernel_size: 5 pad: 2"),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(command: list[str], tmp_path: Path, name: str) -> None:
    channels, height, width, outputs, kernel, groups, settings = CONVOLUTIONS[name]
    text = (
        INPUT % (channels, height, width)
        + f"""layer {{ name: "conv" type: "Convolution" bottom: "x"
        top: "y" convolution_param {{ num_output: {outputs} {settings} }} }}"""
    )
    net = random_net(text, {"conv": (outputs, channels // groups, *kernel)})
    check(command, making.write(tmp_path / "a.cmodel", making.packed(net)))


OTHERS = {
    "ReLU": 'type: "ReLU" relu_param { negative_slope: 0.25 }',
    "Softmax": 'type: "Softmax" softmax_param { axis: -1 }',
    "Flatten": 'type: "Flatten" flatten_param { axis: 2 }',
    "Concat": 'type: "Concat" bottom: "x" concat_param { axis: -2 }',
    "Eltwise": 'type: "Eltwise" bottom: "x"',
    "Dropout": 'type: "Dropout"',
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_layers(command: list[str], tmp_path: Path, name: str) -> None:
    text = INPUT % (2, 3, 4) + f'layer {{ name: "a" bottom: "x" top: "y" {OTHERS[name]} }}'
    check(command, making.write(tmp_path / "a.cmodel", making.packed(make_net(text, {}))))


REFUSED = {
    "a type": ('type: "LRN"', "unknown-feature", "does not have the type LRN"),
    "stochastic pooling": (
        'type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 }',
        "unknown-feature",
        "it pools neither MAX nor AVE",
    ),
    "a window beside the input": (
        'type: "Pooling" pooling_param { kernel_size: 1 stride: 3 }',
        "unknown-feature",
        "a window lies beside its input",
    ),
    "a product": (
        'type: "Eltwise" bottom: "x" eltwise_param { operation: PROD }',
        "unknown-feature",
        "it is not a sum without coefficients",
    ),
    "a pad as large as the kernel": (
        'type: "Pooling" pooling_param { kernel_size: 2 pad: 2 }',
        "bad-manifest",
        "its pad is not smaller than its kernel",
    ),
    "a large pad": (
        'type: "Convolution" convolution_param { num_output: 1 kernel_size: 1 pad: 65536 }',
        "unknown-feature",
        "above 65,535",
    ),
    "a large kernel": (
        'type: "Convolution" convolution_param { num_output: 1 kernel_size: 9 }',
        "bad-manifest",
        "its kernel is larger than its input",
    ),
    "groups that do not fit": (
        'type: "Convolution" convolution_param { num_output: 3 kernel_size: 1 group: 2 }',
        "bad-manifest",
        "its groups do not divide its channels",
    ),
    "no weights": (
        'type: "InnerProduct" inner_product_param { num_output: 2 }',
        "bad-manifest",
        "it has no weights",
    ),
    "an axis that is not there": (
        'type: "Softmax" softmax_param { axis: 4 }',
        "bad-manifest",
        "its input does not have the axis",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_run_is_named(command: list[str], tmp_path: Path, name: str) -> None:
    settings, status, why = REFUSED[name]
    text = INPUT % (2, 5, 6) + f'layer {{ name: "odd" bottom: "x" top: "y" {settings} }}'
    path = making.write(tmp_path / "a.cmodel", making.packed(make_net(text, {})))
    said = refused(command, path)
    assert said.startswith(f'{status}: layer "odd": ')
    assert why in said


def test_a_form_that_is_not_run_is_named(command: list[str], tmp_path: Path) -> None:
    path = making.write(tmp_path / "a.cmodel", making.packed(making.rotated_forms()))
    assert refused(command, path) == "unknown-feature: tensor 2 is held rotated\n"


def test_memory_is_bounded_before_it_is_taken(command: list[str], tmp_path: Path) -> None:
    path = making.write(tmp_path / "a.cmodel", making.packed(fire_net()))
    sizes = [int(line.split()[1]) for line in run(command, path).stdout.splitlines()[:2]]
    exact = sum(sizes)
    assert run(command, "--max-memory", str(exact), path).returncode == 0
    assert refused(command, "--max-memory", str(exact - 1), path).startswith("limit-memory: ")


def test_mutated_files_are_errors_or_run(command: list[str], tmp_path: Path) -> None:
    whole = making.packed(toy_net())
    (tmp_path / "x.f32").write_bytes(bytes(4 * 3 * 8 * 8))
    rng = np.random.default_rng(3)
    for _ in range(40):

        def change(manifest: object) -> None:
            layer = manifest.network.layer[int(rng.integers(1, 5))]  # type: ignore[attr-defined]
            param = layer.convolution_param if layer.name == "conv" else layer.inner_product_param
            field = ("num_output", "axis", "group")[int(rng.integers(3))]
            if hasattr(param, field):
                setattr(param, field, int(rng.integers(2**31)))

        path = making.write(tmp_path / "b.cmodel", making.resealed(whole, change))
        done = run(command, "--max-memory", "65536", path, tmp_path / "x.f32")
        assert done.returncode in (0, 3), done.stderr


def test_a_run_allocates_nothing(tmp_path: Path) -> None:
    """A program that counts what is allocated, in memory of its own."""
    make("one-file/cmodel_run.c", tmp_path)
    program = tmp_path / "use_runtime"
    wrapped = [f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "realloc", "free")]
    sources = [HERE / "use_runtime.c", tmp_path / "one-file/cmodel_run.c"]
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]
    subprocess.run(
        ["cc", *flags, f"-I{tmp_path}/one-file", *wrapped, "-o", program, *sources, "-lm"],
        check=True,
    )
    path = making.write(tmp_path / "a.cmodel", making.packed(fire_net()))
    done = run([str(program)], path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "during runs: 0 allocations"


def test_the_two_files_have_all_they_need(tmp_path: Path) -> None:
    one = make("one-file/cmodel_run.c", tmp_path)
    for file in (one, one.with_suffix(".h")):
        included = [line for line in file.read_text().splitlines() if line.startswith("#include")]
        assert [line for line in included if '"' in line] in ([], ['#include "cmodel_run.h"'])
    listed = subprocess.run(
        ["sh", "-c", f"cc -std=c11 -Os -c {one} -o {tmp_path}/a.o && nm -g --defined-only {tmp_path}/a.o"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = {line.split()[-1] for line in listed.stdout.splitlines()}
    assert {"cmodel_open", "cmodel_net_run"} <= names
    assert all(name.startswith("cmodel_") for name in names)
    assert (SOURCES / "one_file.sh").is_file()


MODELS = {
    # folder of docs/data.md: images to calibrate on, options of `cmodel pack`
    "lenet300100_mnist": (
        "mnist/t10k-images-idx3-ubyte.gz",
        ["--gray", "--scale", "0.00390625"],
    ),
    "lenet_bvlc": ("mnist/t10k-images-idx3-ubyte.gz", ["--gray", "--scale", "0.00390625"]),
    "squeezenet_v1.1": (
        "imagenet-1k-sample/images",
        ["--resize", "256", "--crop", "227", "--mean-value", "104,117,123"],
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for containers of published nets: packed once for all commands."""
    return tmp_path_factory.mktemp("published")


def pack(shared_data: Path, folder: Path, name: str, preset: str) -> Path:
    """Pack a published net where that has not been done, and return its container."""
    images, options = MODELS[name]
    place = shared_data / "data" / "models" / name
    path = folder / f"{name}-{preset}.cmodel"
    if path.exists():
        return path
    (weights,) = place.glob("*.caffemodel")
    arguments = ["pack", place / "deploy.prototxt", weights, "-o", path, "--preset", preset, "-q"]
    if preset == "rdo":
        options = [*options, "--calib", shared_data / "data" / images, "--calib-images", "16"]
    subprocess.run(
        [sys.executable, "-m", "cmodel", *arguments, *options, "--no-cache"],
        env=os.environ | {"PYTHONPATH": os.fspath(ROOT / "src")},
        check=True,
        timeout=900,
    )
    return path


@pytest.mark.data
@pytest.mark.parametrize("preset", ["rdo", "linear8"])  # what `pack` takes with and without images
@pytest.mark.parametrize("name", MODELS)
def test_published_networks_run_as_in_the_engine(
    command: list[str], shared_data: Path, folder: Path, name: str, preset: str
) -> None:
    path = pack(shared_data, folder, name, preset)
    check(command, path, 50 if name == "squeezenet_v1.1" else 1)
