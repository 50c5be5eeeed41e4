"""Holds the shapes of a Net against those that ONNX infers."""

from __future__ import annotations

from math import prod

from onnx import ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper, shape_inference

from cmodel.errors import OnnxError, UnsupportedError
from cmodel.interchange.onnx.constants import Constants
from cmodel.net import Net, infer_shapes

# Constants with more elements are only named to the shape inference, not given.
MAX_ELEMENTS = 1024


def check_shapes(model: ModelProto, net: Net, constants: Constants) -> None:
    """Compare every blob that has an ONNX value's name, but for open sizes.

    Raises
    ------
    OnnxError : ONNX's own inference finds the model at fault.
    UnsupportedError : a shape differs, so a layer does something else than its node.
    """
    try:
        inferred = shape_inference.infer_shapes(light_model(model, constants), data_prop=True)
    except (shape_inference.InferenceError, ValueError) as error:
        raise OnnxError(f"ONNX's shape inference finds fault with it: {error}") from error
    ours = infer_shapes(net).blobs
    for value in (*inferred.graph.value_info, *inferred.graph.output):
        kind = value.type.tensor_type
        found = ours.get(value.name)
        if found is None or not kind.HasField("shape"):
            continue
        theirs = [size.dim_value for size in kind.shape.dim]
        if len(theirs) != len(found) or any(
            size not in (0, own) for size, own in zip(theirs, found, strict=False)
        ):
            raise UnsupportedError(
                f"Caffe's layers give the shape {found} where ONNX has {tuple(theirs)}",
                where=f"value `{value.name}`",
            )


def light_model(model: ModelProto, constants: Constants) -> ModelProto:
    """Return the model without values of large constants, and without inferred shapes.

    What is worked out already stands there as its value: the shape inference would work it out
    again, at any size.
    """
    light = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = light.graph
    graph.input.extend(model.graph.input)
    named = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if prod(tensor.dims) <= MAX_ELEMENTS and tensor.data_location != TensorProto.EXTERNAL:
            graph.initializer.append(tensor)
        elif tensor.name not in named:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    for sparse in model.graph.sparse_initializer:
        kind = sparse.values.data_type
        graph.input.append(helper.make_tensor_value_info(sparse.values.name, kind, sparse.dims))
    for node in model.graph.node:
        names = [name for name in node.output if name]
        if not all(constants.is_computed(name) for name in names) or any(
            constants.depends_on_batch(name) and _is_small(constants.describe(name))
            for name in names
        ):
            graph.node.append(node)
            continue
        for name in names:
            value = constants.describe(name)
            graph.input.append(value)
            if constants.depends_on_batch(name):
                graph.input[-1].type.tensor_type.ClearField("shape")
            elif _is_small(value):
                graph.initializer.append(numpy_helper.from_array(constants.array(name), name))
    graph.output.extend(
        helper.make_empty_tensor_value_info(value.name) for value in model.graph.output
    )
    return light


def _is_small(value: ValueInfoProto) -> bool:
    return prod(size.dim_value for size in value.type.tensor_type.shape.dim) <= MAX_ELEMENTS
