"""The C runtime of spec/readers/c runs networks as the engine does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.interop.test_c_reader import make
from tests.nets import make_net, toy_net
from tests.unit.container import making

import cmodel
from cmodel import container

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("cc") is None, reason="needs make and a C compiler"
)
ARM = "arm-linux-gnueabihf-gcc"


@pytest.fixture(scope="module", params=["run", "run-sanitized", "arm"])
def command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the command: as it is, with sanitizers, and for 32-bit ARM in an emulator."""
    folder = tmp_path_factory.mktemp("runtime")
    if request.param != "arm":
        return [str(make(request.param, folder))]
    if shutil.which(ARM) is None or shutil.which("qemu-arm") is None:
        pytest.skip("needs arm-linux-gnueabihf-gcc and qemu-arm")
    return ["qemu-arm", str(make("run", folder, f"CC={ARM}", "LDFLAGS=-static"))]


def test_a_network_runs_as_in_the_engine(command: list[str], tmp_path: Path) -> None:
    path = making.write(tmp_path / "a.cmodel", making.packed(toy_net()))
    x = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    x.tofile(tmp_path / "x.f32")
    wanted = cmodel.Engine(container.read(path)).run({"data": x})["prob"].ravel()
    done = subprocess.run(
        [*command, "--top", "0", path, tmp_path / "x.f32"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = [float(line.split()[1]) for line in done.stdout.splitlines()]
    np.testing.assert_allclose(found, wanted, atol=1e-4)


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
        done = subprocess.run(
            [*command, "--max-memory", "65536", path, tmp_path / "x.f32"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode in (0, 3), done.stderr


def test_an_unknown_layer_is_named(command: list[str], tmp_path: Path) -> None:
    text = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
              layer { name: "odd" type: "LRN" bottom: "x" top: "y" }"""
    path = making.write(tmp_path / "a.cmodel", making.packed(make_net(text, {})))
    done = subprocess.run([*command, path], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert 'unknown-feature: layer "odd"' in done.stderr
    assert "LRN" in done.stderr
