"""The backward pass of every layer type that has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cmodel.engine.gradients.affine import BatchNorm, Bias, Scale
from cmodel.engine.gradients.convolution import Convolution, Deconvolution
from cmodel.engine.gradients.elementwise import (
    ELU,
    AbsVal,
    Clip,
    Power,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    Swish,
    TanH,
)
from cmodel.engine.gradients.eltwise import Eltwise
from cmodel.engine.gradients.gradient import Gradient
from cmodel.engine.gradients.inner_product import InnerProduct
from cmodel.engine.gradients.joining import Alias, Concat, Crop, Slice
from cmodel.engine.gradients.lrn import LRN
from cmodel.engine.gradients.pooling import Pooling
from cmodel.engine.gradients.softmax import Softmax
from cmodel.net import Layer, Parameter, Registry

Factory = Callable[[Layer, Sequence[Parameter]], Gradient]

GRADIENTS: Registry[Factory] = Registry("backward pass")
GRADIENTS.add("AbsVal", AbsVal)
GRADIENTS.add("BatchNorm", BatchNorm)
GRADIENTS.add("Bias", Bias)
GRADIENTS.add("Clip", Clip)
GRADIENTS.add("Concat", Concat)
GRADIENTS.add("Convolution", Convolution)
GRADIENTS.add("ConvolutionDepthwise", Convolution)
GRADIENTS.add("Crop", Crop)
GRADIENTS.add("Deconvolution", Deconvolution)
GRADIENTS.add("DepthwiseConvolution", Convolution)
GRADIENTS.add("Dropout", Alias)
GRADIENTS.add("ELU", ELU)
GRADIENTS.add("Eltwise", Eltwise)
GRADIENTS.add("Flatten", Alias)
GRADIENTS.add("InnerProduct", InnerProduct)
GRADIENTS.add("LRN", LRN)
GRADIENTS.add("PReLU", PReLU)
GRADIENTS.add("Pooling", Pooling)
GRADIENTS.add("Power", Power)
GRADIENTS.add("ReLU", ReLU)
GRADIENTS.add("ReLU6", ReLU6)
GRADIENTS.add("Reshape", Alias)
GRADIENTS.add("Scale", Scale)
GRADIENTS.add("Sigmoid", Sigmoid)
GRADIENTS.add("Slice", Slice)
GRADIENTS.add("Softmax", Softmax)
GRADIENTS.add("Split", Alias)
GRADIENTS.add("Swish", Swish)
GRADIENTS.add("TanH", TanH)


def has_gradient(layer: Layer) -> bool:
    """Whether the layer, as it is set up, has a backward pass."""
    param = layer.param.batch_norm_param
    batch = param.HasField("use_global_stats") and not param.use_global_stats
    if layer.type == "BatchNorm" and batch:
        return False
    return layer.type in GRADIENTS
