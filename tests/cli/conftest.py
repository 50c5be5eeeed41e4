"""What the command tests share: a small model in Caffe's files, and a way to call the commands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.nets import toy_net

from cmodel.caffe import print_prototxt, write_caffemodel
from cmodel.cli import main


@dataclass(frozen=True)
class Result:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(capsys):
    """Call a command in this process: run("pack", ...) -> Result."""

    def call(*args: object) -> Result:
        status = main([str(arg) for arg in args])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(status, captured.out, captured.err)

    return call


@dataclass(frozen=True)
class Model:
    """Files of the toy net, and labelled arrays for it."""

    prototxt: Path
    weights: Path
    data: Path


@pytest.fixture
def model(tmp_path) -> Model:
    folder = tmp_path / "model"
    folder.mkdir()
    net = toy_net()
    (folder / "deploy.prototxt").write_text(print_prototxt(net))
    with (folder / "net.caffemodel").open("wb") as file:
        write_caffemodel(net, file)
    rng = np.random.default_rng(7)
    np.savez(
        folder / "data.npz",
        x=rng.normal(size=(60, 3, 8, 8)).astype(np.float32),
        y=rng.integers(0, 6, 60),
    )
    return Model(folder / "deploy.prototxt", folder / "net.caffemodel", folder / "data.npz")
