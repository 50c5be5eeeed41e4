"""The parameters alone, by name: npz and safetensors."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmodel.errors import CheckFailed
from cmodel.interchange.extras import need
from cmodel.net import Net

Floats = NDArray[np.float32]


def check_bits(name: str, expected: Floats, found: Floats) -> None:
    """Raise CheckFailed where two tensors differ in a bit."""
    if _words(expected) != _words(found):
        raise CheckFailed(f"`{name}` differs in what was written", hint="is the disk sound?")


def _words(values: Floats) -> bytes:
    return np.ascontiguousarray(values, "<f4").tobytes()


def write_npz(net: Net, path: Path) -> list[str]:
    """Write NumPy's npz, one parameter in memory at a time; the same net gives the same bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in net.parameters:
            # Without a time of its own an entry has a fixed one.
            entry = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, net.parameters[name].to_dense())
    with np.load(path) as again:
        for name in net.parameters:
            check_bits(name, net.parameters[name].to_dense(), again[name])
    return [path.name]


def write_safetensors(net: Net, path: Path) -> list[str]:
    """Write safetensors, all float32.

    Raises
    ------
    MissingExtraError : the package safetensors is not installed.
    """
    need("safetensors", "writing safetensors", "safetensors")
    from safetensors import safe_open
    from safetensors.numpy import save_file

    save_file(
        {name: np.ascontiguousarray(net.parameters[name].to_dense()) for name in net.parameters},
        path,
    )
    with safe_open(path, "np") as again:
        for name in net.parameters:
            check_bits(name, net.parameters[name].to_dense(), again.get_tensor(name))
    return [path.name]
