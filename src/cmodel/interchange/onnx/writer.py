"""A Net becomes an ONNX file."""

from __future__ import annotations

from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, TensorProto, checker, helper

from cmodel._version import __version__
from cmodel.errors import CheckFailed, LimitError
from cmodel.interchange.onnx.build import Graph, Size, build
from cmodel.interchange.onnx.initializers import Initializers
from cmodel.net import Net

# The newest that onnxruntime 1.32 runs in full: it lacks 28's DequantizeLinear.
OPSET = 27
FORMS = ("dense", "qdq", "sparse")
# A protobuf has to stay below 2 GiB; nodes and names take their part.
MAX_INLINE = (1 << 31) - (1 << 27)


def write_onnx(
    net: Net, path: Path, *, form: str = "dense", max_inline: int = MAX_INLINE
) -> dict[str, Any]:
    """Write a net as an ONNX model and check it with ONNX's own checker.

    Parameters
    ----------
    form : "dense": float32 initialisers. "qdq": fixed point stays integers under DequantizeLinear,
        codebooks stay indices under GatherElements, half floats stay halves under Cast; all decode
        to the same bits. "sparse": sparse initialisers for parameters that are mostly zeros.
    max_inline : most bytes of float32 parameters that lie in the model itself; beyond, they go to
        `<path>.data` beside it.

    Returns
    -------
    Facts: the names of files written, opset, batch, inputs, outputs, how parameters are held.

    Raises
    ------
    UnsupportedError : ONNX lacks layers of the net; all of them are named.
    LimitError : a sparse model of over 2 GB.
    CheckFailed : the checker found fault with what was written.
    """
    graph = build(net)
    size = 4 * sum(prod(use.shape) for use in graph.builder.parameters)
    beside = path.with_name(f"{path.name}.data") if size > max_inline else None
    if beside is not None and form == "sparse":
        raise LimitError(
            "ONNX keeps sparse initialisers in the model itself, which ends at 2 GB",
            hint="--form dense or --form qdq write the parameters beside it",
        )
    with ExitStack() as stack:
        data = None if beside is None else stack.enter_context(beside.open("wb"))
        initializers = Initializers(form, data, "" if beside is None else beside.name)
        for use in graph.builder.parameters:
            initializers.parameter(use, net.parameters[use.parameter])  # type: ignore[arg-type]
    model = _model(net, graph, initializers)
    path.write_bytes(model.SerializeToString(deterministic=True))
    _check(path, form)
    return {
        "files": [path.name] if beside is None else [path.name, beside.name],
        "opset": OPSET,
        "batch": "any" if graph.batched else "as declared",
        "inputs": {name: list(sizes) for name, sizes in graph.inputs.items()},
        "outputs": {name: list(sizes) for name, sizes in graph.outputs.items()},
        "parameters": dict(initializers.kinds),
    }


def _model(net: Net, graph: Graph, initializers: Initializers) -> ModelProto:
    for name, values in graph.builder.constants.items():
        initializers.add(name, values)
    made = helper.make_graph(
        [*initializers.nodes, *graph.builder.nodes],
        net.name or "net",
        [_value(name, sizes) for name, sizes in graph.inputs.items()],
        [_value(name, sizes) for name, sizes in graph.outputs.items()],
        initializers.tensors,
        sparse_initializer=initializers.sparse,
    )
    imports = [helper.make_opsetid("", OPSET)]
    return helper.make_model(
        made,
        producer_name="cmodel",
        producer_version=__version__,
        opset_imports=imports,
        ir_version=helper.find_min_ir_version_for(imports),
    )


def _value(name: str, sizes: tuple[Size, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)


def _check(path: Path, form: str) -> None:
    # The checker's shape inference takes weights to be dense; it holds for all else.
    try:
        checker.check_model(path, full_check=form != "sparse")
    except (checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CheckFailed(f"ONNX's checker refuses the model: {error}") from error
