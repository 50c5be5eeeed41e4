"""The network: Net, Layer, parameters, input transform, and shape inference."""

from cmodel.net.deploy import deployed
from cmodel.net.net import (
    INPUT_TYPES,
    Layer,
    Net,
    Parameter,
    ParameterLoader,
    Parameters,
    Range,
    Shape,
    UnknownField,
    layer_keys,
    parameter_name,
)
from cmodel.net.registry import Registry
from cmodel.net.roles import image_inputs, score_blobs
from cmodel.net.shapes import DYNAMIC_TYPES, Shapes, infer_shapes
from cmodel.net.sharing import Sharing
from cmodel.net.transform import InputTransform
from cmodel.net.unfold import unfolded

__all__ = [
    "DYNAMIC_TYPES",
    "INPUT_TYPES",
    "InputTransform",
    "Layer",
    "Net",
    "Parameter",
    "ParameterLoader",
    "Parameters",
    "Range",
    "Registry",
    "Shape",
    "Shapes",
    "Sharing",
    "UnknownField",
    "deployed",
    "image_inputs",
    "infer_shapes",
    "layer_keys",
    "parameter_name",
    "score_blobs",
    "unfolded",
]
