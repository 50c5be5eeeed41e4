"""What a program calls to load and save a network."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cmodel import container
from cmodel.caffe import load_net
from cmodel.errors import InputError, UsageError
from cmodel.interchange import is_onnx, read_onnx
from cmodel.net import Net


def is_container(path: str | os.PathLike[str]) -> bool:
    """Whether a file starts like a container, by content and not by name.

    Raises
    ------
    InputError : it cannot be read.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            start = stream.read(len(container.SIGNATURE))
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}", where=str(file)) from error
    # The first byte settles it: no prototxt and no caffemodel starts with 0x89.
    return start[:4] == container.SIGNATURE[:4]


def load(
    model: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    *,
    phase: str = "TEST",
    stages: tuple[str, ...] = (),
    level: int = 0,
    strict: bool = False,
    allow_unknown: bool = False,
    require_weights: bool = True,
    max_memory: int = container.MAX_MEMORY,
    threads: int | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> Net:
    """Load a network: a `.cmodel`, an ONNX model, or a prototxt with its weights.

    Parameters
    ----------
    model : a container or an ONNX model (recognised by content), or a prototxt.
    weights : the weights of a prototxt: a caffemodel, HDF5 (the extra `hdf5`), or a `.net` file of
        Deep Compression; told by content. May be left out where no layer has parameters.
    phase, stages, level : the state that include and exclude rules of a prototxt are held against.
    strict : make every warning an error.
    allow_unknown : take fields and layer types that are not Caffe's without a warning.
    require_weights : without it a prototxt alone loads too, with no parameters.
    max_memory : most bytes that a container or HDF5 weights may decode to.
    threads : threads for decoding; default all that the process may use.
    on_warning : called with each warning.

    Raises
    ------
    CmodelError : what is wrong, where, and what to do.
    """
    if is_container(model):
        if weights is not None:
            raise UsageError(f"`{model}` carries its weights", hint="leave the weights out")
        return container.read(model, max_memory=max_memory, threads=threads)
    if is_onnx(model):
        if weights is not None:
            raise UsageError(f"`{model}` carries its weights", hint="leave the weights out")
        return read_onnx(model)
    return load_net(
        Path(model),
        None if weights is None else Path(weights),
        phase=phase,
        stages=stages,
        level=level,
        strict=strict,
        allow_unknown=allow_unknown,
        require_weights=require_weights,
        max_memory=max_memory,
        on_warning=on_warning,
    )


def save(net: Net, path: str | os.PathLike[str]) -> int:
    """Write a network as a container, verified, or not at all; return its bytes.

    Raises
    ------
    OutputError : the file cannot be written.
    """
    return container.write(net, path)
