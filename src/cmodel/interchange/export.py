"""Writing a Net in the format of another program."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmodel.errors import UsageError
from cmodel.files import atomic_files, refuse_existing
from cmodel.interchange.arrays import write_npz, write_safetensors
from cmodel.interchange.caffe_files import caffe_names, write_caffe
from cmodel.interchange.extras import need
from cmodel.net import Net


@dataclass(frozen=True)
class Format:
    """A format that a Net can be written in.

    write : (net, path, form) writes the file, and others beside it; it returns facts, among them
        the names of the "files".
    forms : what it can keep of the tensor forms, the default first.
    """

    suffixes: tuple[str, ...]
    write: Callable[[Net, Path, str], dict[str, Any]]
    forms: tuple[str, ...] = ("dense",)


def _caffemodel(net: Net, path: Path, form: str) -> dict[str, Any]:
    return {"files": write_caffe(net, path.parent, caffe_names(path.name))}


def _hdf5(net: Net, path: Path, form: str) -> dict[str, Any]:
    return {"files": write_caffe(net, path.parent, caffe_names(path.name), hdf5=True)}


def _npz(net: Net, path: Path, form: str) -> dict[str, Any]:
    return {"files": write_npz(net, path)}


def _safetensors(net: Net, path: Path, form: str) -> dict[str, Any]:
    return {"files": write_safetensors(net, path)}


def _onnx(net: Net, path: Path, form: str) -> dict[str, Any]:
    need("onnx", "writing ONNX", "onnx")
    from cmodel.interchange.onnx.writer import write_onnx

    return write_onnx(net, path, form=form)


FORMATS = {
    "caffemodel": Format((".caffemodel",), _caffemodel),
    "hdf5": Format((".h5", ".hdf5"), _hdf5),
    "npz": Format((".npz",), _npz),
    "safetensors": Format((".safetensors",), _safetensors),
    "onnx": Format((".onnx",), _onnx, ("dense", "qdq", "sparse")),
}


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the name of the format that a file's suffix stands for.

    Raises
    ------
    UsageError : it stands for none.
    """
    suffix = Path(path).suffix.lower()
    for name, entry in FORMATS.items():
        if suffix in entry.suffixes:
            return name
    known = ", ".join(suffix for entry in FORMATS.values() for suffix in entry.suffixes)
    raise UsageError(
        f"the suffix of `{path}` stands for no format",
        hint=f"end it with one of {known}, or name the format with --to",
    )


def export(
    net: Net,
    path: str | os.PathLike[str],
    *,
    to: str | None = None,
    form: str = "dense",
    force: bool = False,
    keep: bool = True,
) -> dict[str, Any]:
    """Write a net, whole or not at all, and check what was written.

    Parameters
    ----------
    path : the file to write. A caffemodel and Caffe's HDF5 weights get the prototxt beside them, a
        large ONNX model a file with its parameters.
    to : "caffemodel", "hdf5", "npz", "safetensors" or "onnx"; by default what the suffix stands
        for.
    form : what to keep of the tensor forms: "dense" nothing, "qdq" what is quantised, "sparse" what
        is mostly zeros. ONNX has all three, the others only "dense".
    force : overwrite files.
    keep : without it everything is done but keeping the files.

    Returns
    -------
    Facts: "format", "form", "files" (paths), "bytes" of all files, "parameters" and more.

    Raises
    ------
    UsageError : no such format or form.
    OutputError : a file exists already, or cannot be written.
    MissingExtraError : the format needs a package that is not installed.
    UnsupportedError : the format cannot say what the net does.
    CheckFailed : what was written does not hold.
    """
    target = Path(path)
    name = format_of(target) if to is None else to
    if name not in FORMATS:
        raise UsageError(f"there is no format `{name}`", hint=f"one of {', '.join(FORMATS)}")
    entry = FORMATS[name]
    if form not in entry.forms:
        raise UsageError(
            f"{name} has no form `{form}`, only {', '.join(entry.forms)}",
            hint="ONNX has the forms dense, qdq and sparse",
        )
    if keep:
        refuse_existing(target, force)
    with atomic_files(target.parent, force=force, keep=keep) as folder:
        facts = entry.write(net, folder / target.name, form)
        size = sum((folder / file).stat().st_size for file in facts["files"])
    files = [str(target.with_name(file)) for file in facts["files"]]
    return {"format": name, "form": form} | facts | {"files": files, "bytes": size}
