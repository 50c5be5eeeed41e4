"""An ONNX file becomes a Net with Caffe's layers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, checker, inliner

from cmodel.errors import InputError, LimitError, OnnxError, UnsupportedError
from cmodel.interchange.onnx.accept.registry import ACCEPTORS
from cmodel.interchange.onnx.check import check_shapes
from cmodel.interchange.onnx.constants import BATCH, Constants
from cmodel.interchange.onnx.netbuilder import NetBuilder, NodeView
from cmodel.net import Layer, Net, Shape
from cmodel.proto import caffe_pb2

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
_DOMAINS = ("", "ai.onnx")
# protobuf reads no larger message; parameters of larger models lie beside them.
MAX_BYTES = (1 << 31) - 1


def read_onnx(path: str | Path) -> Net:
    """Read an ONNX model.

    Its nodes become Caffe's layers, its initialisers their parameters: half floats, fixed point
    under DequantizeLinear and sparse initialisers stay tensor forms. An open batch becomes 1; the
    net runs for any batch all the same.

    Raises
    ------
    InputError : it cannot be read.
    OnnxError : it is damaged or contradicts itself.
    UnsupportedError : nodes that Caffe's layers cannot say; all of them are named.
    LimitError : it is larger than protobuf can read, or its constants take too much memory.
    """
    file = Path(path)
    try:
        return _convert(_parse(file), file)
    except (InputError, UnsupportedError, LimitError) as error:
        kind = OnnxError if isinstance(error, InputError) else type(error)
        where = str(file) if error.where is None else f"{file}, {error.where}"
        raise kind(error.message, where=where, notes=error.notes, hint=error.hint) from error


def _parse(file: Path) -> ModelProto:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise LimitError("the model is larger than 2 GB")
        model = ModelProto.FromString(file.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}") from error
    except (DecodeError, UnicodeDecodeError) as error:
        raise OnnxError("the ONNX model is damaged") from error
    _check_names(model.graph)
    return inliner.inline_local_functions(model) if model.functions else model


def _check_names(graph: GraphProto) -> None:
    """Refuse names that are no text: protobuf hands them out as bytes."""
    names: list[object] = [graph.name]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        names += [entry.name for entry in node.attribute]
    names += [value.name for value in (*graph.input, *graph.output)]
    names += [tensor.name for tensor in graph.initializer]
    for name in names:
        if not isinstance(name, str):
            raise OnnxError(f"the ONNX model is damaged: the name {name!r} is no text")


def _convert(model: ModelProto, file: Path) -> Net:
    graph = model.graph
    opset = max((e.version for e in model.opset_import if e.domain in _DOMAINS), default=1)
    constants = Constants(graph, file.parent, opset)
    names = [name for node in graph.node for name in node.output]
    inputs = {value.name: _input(value) for value in graph.input if value.name not in constants}
    net = NetBuilder(constants, opset, [*inputs, *names])
    layers = []
    for name, (shape, is_open) in inputs.items():
        net.shapes[name] = (BATCH, *shape[1:]) if is_open else shape
        net.blobs[name] = name
        layers.append(_input_layer(name, (1, *shape[1:]) if is_open else shape, net))
    net.layers += layers
    net.uses = Counter(name for node in graph.node for name in node.input)
    net.uses.update(value.name for value in graph.output)
    _Walk(net, any(is_open for _, is_open in inputs.values()), model).run(graph)
    _name_outputs(net, graph)
    result = Net(caffe_pb2.NetParameter(name=graph.name or "net"), net.layers, net.parameters)
    check_shapes(model, result, constants)
    return result


def _input(value: ValueInfoProto) -> tuple[Shape, bool]:
    """Return the shape of an input, and whether its batch is open."""
    where = f"input `{value.name}`"
    kind = value.type.tensor_type
    if kind.elem_type not in _FLOATS:
        name = TensorProto.DataType.Name(kind.elem_type)
        raise UnsupportedError(f"the input holds {name}, not floats", where=where)
    sizes = [size.dim_value if size.HasField("dim_value") else 0 for size in kind.shape.dim]
    if not sizes or any(size < 1 for size in sizes[1:]) or sizes[0] < 0:
        raise UnsupportedError(
            "only the batch may be open: the input's other sizes have to be stated",
            where=where,
            hint="export the model with fixed channels, height and width",
        )
    return tuple(sizes), sizes[0] == 0


def _input_layer(name: str, shape: Shape, net: NetBuilder) -> Layer:
    key = net.key(name)
    return Layer(
        caffe_pb2.LayerParameter(
            name=key, type="Input", top=[name], input_param={"shape": [{"dim": shape}]}
        ),
        key,
    )


class _Walk:
    """Goes through the nodes; collects what cannot be said."""

    def __init__(self, net: NetBuilder, batched: bool, model: ModelProto) -> None:
        self.net = net
        self.batched = batched
        self.context = checker.C.CheckerContext()
        self.context.ir_version = model.ir_version
        self.context.opset_imports = {entry.domain: entry.version for entry in model.opset_import}
        self.refused: list[UnsupportedError] = []
        # Values that would come from what cannot be said.
        self.lost: set[str] = set()

    def run(self, graph: GraphProto) -> None:
        for node in graph.node:
            try:
                self.visit(node)
            except UnsupportedError as error:
                self.refused.append(error)
                self.lost.update(node.output)
        if len(self.refused) == 1:
            raise self.refused[0]
        if self.refused:
            raise UnsupportedError(
                f"Caffe's layers cannot say {len(self.refused)} of the nodes",
                notes=[f"{error.where}: {error.message}" for error in self.refused],
            )

    def visit(self, node: NodeProto) -> None:
        net, names = self.net, [name for name in node.input if name]
        view = NodeView(net, node)
        if node.domain not in _DOMAINS:
            raise view.unsupported(f"the operator `{node.domain}.{node.op_type}` is none of ONNX's")
        if net.constants.fold(node):
            return
        if node.op_type == "Shape" and names[0] in net.blobs and names[0] not in net.pads:
            shape = net.shapes[net.blobs[names[0]]]
            net.constants.add_shape(node.output[0], shape, node, self.batched)
            return
        acceptor = ACCEPTORS.get(node.op_type)
        if acceptor is None:
            raise view.unsupported(f"there is no layer for the operator `{node.op_type}`")
        if self.lost.intersection(names):
            # Its own input is unknown; the error about that one will do.
            self.lost.update(node.output)
            return
        for name in names:
            if name not in net.blobs and name not in net.constants:
                raise OnnxError(f"`{name}` is made by no earlier node", where=f"node `{view.name}`")
        start = len(net.layers)
        try:
            checker.check_node(node, self.context)
            tops = acceptor(view)
        except checker.ValidationError as error:
            raise OnnxError(str(error), where=f"node `{view.name}` ({node.op_type})") from error
        except (ValueError, TypeError, IndexError, ArithmeticError) as error:
            # The checker knows no values: an axis beyond the rank, a list that is too short.
            raise OnnxError(
                f"its operands do not fit: {error}", where=f"node `{view.name}` ({node.op_type})"
            ) from error
        for output, top in zip(node.output, tops, strict=False):
            own = any(top in layer.tops for layer in net.layers[start:])
            if own and output not in net.shapes:
                net.rename(top, output, start)
                top = output
            net.blobs[output] = top


def _name_outputs(net: NetBuilder, graph: GraphProto) -> None:
    """Give the outputs their names, where they are blobs of another name."""
    for value in graph.output:
        blob = net.blobs.get(value.name)
        if blob is None or value.name in net.pads:
            raise UnsupportedError("the output is no blob", where=f"output `{value.name}`")
        if blob != value.name:
            key = net.key(value.name)
            param = caffe_pb2.LayerParameter(
                name=key, type="Split", bottom=[blob], top=[value.name]
            )
            net.layers.append(Layer(param, key))
