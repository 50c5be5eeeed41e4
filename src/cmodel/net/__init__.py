"""The network: Net, Layer, parameters, input transform, and shape inference."""

from cmodel.net.net import (
    INPUT_TYPES,
    Layer,
    Net,
    Parameter,
    ParameterLoader,
    Parameters,
    Shape,
    UnknownField,
    layer_keys,
    parameter_name,
)
from cmodel.net.registry import Registry
from cmodel.net.shapes import Shapes, infer_shapes
from cmodel.net.transform import InputTransform

__all__ = [
    "INPUT_TYPES",
    "InputTransform",
    "Layer",
    "Net",
    "Parameter",
    "ParameterLoader",
    "Parameters",
    "Registry",
    "Shape",
    "Shapes",
    "UnknownField",
    "infer_shapes",
    "layer_keys",
    "parameter_name",
]
