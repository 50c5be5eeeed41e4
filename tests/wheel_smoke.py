"""Packs the bundled example and runs it, with the package that is installed, in the current folder.

    python tests/wheel_smoke.py

For wheels: by tests/dist_check.py in a clean environment, by cibuildwheel on each system.
"""

import tempfile
from pathlib import Path

import numpy as np

import cmodel
from cmodel.view import page

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "lenet-fashion"


def main() -> None:
    """Pack, read back, run."""
    assert "site-packages" in cmodel.__file__, cmodel.__file__
    net = cmodel.load(EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_fashion.caffemodel")
    packed = cmodel.compress(net, "deep-compression")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "x.cmodel"
        size = cmodel.save(packed, path)
        engine = cmodel.Engine(cmodel.load(path))
        scores = engine.run({"data": np.zeros((1, 1, 28, 28), np.float32)})["prob"]
        # A mapped file cannot be deleted on Windows.
        del engine
    assert scores.shape == (1, 10)
    assert abs(scores.sum() - 1) < 1e-5
    assert page().startswith("<!DOCTYPE html>")
    print(f"packed into {size} bytes and run from {cmodel.__file__.split('site-packages')[1]}")


if __name__ == "__main__":
    main()
