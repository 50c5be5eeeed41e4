"""The emitter of every layer type that ONNX can say."""

from __future__ import annotations

from cmodel.interchange.onnx.emit.activation import (
    clip,
    elu,
    exp,
    log,
    plain,
    power,
    prelu,
    relu,
    swish,
    threshold,
)
from cmodel.interchange.onnx.emit.convolution import convolution, deconvolution
from cmodel.interchange.onnx.emit.forks import (
    axpy,
    bn,
    interp,
    normalize,
    permute,
    relu6,
    reorg,
    shuffle_channel,
    upsample,
)
from cmodel.interchange.onnx.emit.inner_product import (
    batch_reindex,
    embed,
    inner_product,
    parameter,
)
from cmodel.interchange.onnx.emit.normalize import batch_norm, bias, lrn, mvn, scale, softmax
from cmodel.interchange.onnx.emit.pooling import pooling, spp
from cmodel.interchange.onnx.emit.reduce import arg_max, reduction
from cmodel.interchange.onnx.emit.structure import (
    concat,
    crop,
    eltwise,
    flatten,
    reshape,
    same,
    silence,
    slice_,
    tile,
)
from cmodel.interchange.onnx.graph import Emitter
from cmodel.net import Registry

EMITTERS: Registry[Emitter] = Registry("ONNX emitter")
EMITTERS.add("AbsVal", plain("Abs"))
EMITTERS.add("ArgMax", arg_max)
EMITTERS.add("Axpy", axpy)
EMITTERS.add("BN", bn)
EMITTERS.add("BNLL", plain("Softplus"))
EMITTERS.add("BatchNorm", batch_norm)
EMITTERS.add("BatchReindex", batch_reindex)
EMITTERS.add("Bias", bias)
EMITTERS.add("Clip", clip)
EMITTERS.add("Concat", concat)
EMITTERS.add("Convolution", convolution)
EMITTERS.add("ConvolutionDepthwise", convolution)
EMITTERS.add("Crop", crop)
EMITTERS.add("Deconvolution", deconvolution)
EMITTERS.add("DepthwiseConvolution", convolution)
EMITTERS.add("Dropout", same)
EMITTERS.add("ELU", elu)
EMITTERS.add("Eltwise", eltwise)
EMITTERS.add("Embed", embed)
EMITTERS.add("Exp", exp)
EMITTERS.add("Flatten", flatten)
EMITTERS.add("InnerProduct", inner_product)
EMITTERS.add("Interp", interp)
EMITTERS.add("LRN", lrn)
EMITTERS.add("Log", log)
EMITTERS.add("MVN", mvn)
EMITTERS.add("Normalize", normalize)
EMITTERS.add("PReLU", prelu)
EMITTERS.add("Parameter", parameter)
EMITTERS.add("Permute", permute)
EMITTERS.add("Pooling", pooling)
EMITTERS.add("Power", power)
EMITTERS.add("ReLU", relu)
EMITTERS.add("ReLU6", relu6)
EMITTERS.add("Reduction", reduction)
EMITTERS.add("Reorg", reorg)
EMITTERS.add("Reshape", reshape)
EMITTERS.add("SPP", spp)
EMITTERS.add("Scale", scale)
EMITTERS.add("ShuffleChannel", shuffle_channel)
EMITTERS.add("Sigmoid", plain("Sigmoid"))
EMITTERS.add("Silence", silence)
EMITTERS.add("Slice", slice_)
EMITTERS.add("Softmax", softmax)
EMITTERS.add("Split", same)
EMITTERS.add("Swish", swish)
EMITTERS.add("TanH", plain("Tanh"))
EMITTERS.add("Threshold", threshold)
EMITTERS.add("Tile", tile)
EMITTERS.add("Upsample", upsample)
