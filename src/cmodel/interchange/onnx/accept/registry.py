"""The acceptor of every ONNX operator that becomes layers."""

from __future__ import annotations

from cmodel.interchange.onnx.accept.activation import (
    clip,
    elu,
    hard_sigmoid,
    hard_swish,
    leaky_relu,
    mish,
    plain,
    prelu,
    selu,
    swish,
)
from cmodel.interchange.onnx.accept.arithmetic import add, div, maximum, mul, power, sub, sum_
from cmodel.interchange.onnx.accept.convolution import conv, conv_transpose
from cmodel.interchange.onnx.accept.normalize import (
    batch_normalization,
    log_softmax,
    lrn,
    softmax,
)
from cmodel.interchange.onnx.accept.pooling import average_pool, global_pool, max_pool
from cmodel.interchange.onnx.accept.product import gemm, matmul
from cmodel.interchange.onnx.accept.reduce import reduction
from cmodel.interchange.onnx.accept.structure import (
    cast,
    concat,
    dropout,
    flatten,
    pad,
    reshape,
    same,
    slice_,
    split,
    squeeze,
    transpose,
    unsqueeze,
)
from cmodel.interchange.onnx.netbuilder import Acceptor
from cmodel.net import Registry
from cmodel.proto.caffe_pb2 import ReductionParameter

ACCEPTORS: Registry[Acceptor] = Registry("ONNX operator")
ACCEPTORS.add("Abs", plain("AbsVal"))
ACCEPTORS.add("Add", add)
ACCEPTORS.add("AveragePool", average_pool)
ACCEPTORS.add("BatchNormalization", batch_normalization)
ACCEPTORS.add("Cast", cast)
ACCEPTORS.add("Clip", clip)
ACCEPTORS.add("Concat", concat)
ACCEPTORS.add("Conv", conv)
ACCEPTORS.add("ConvTranspose", conv_transpose)
ACCEPTORS.add("Div", div)
ACCEPTORS.add("Dropout", dropout)
ACCEPTORS.add("Elu", elu)
ACCEPTORS.add("Exp", plain("Exp"))
ACCEPTORS.add("Flatten", flatten)
ACCEPTORS.add("Gemm", gemm)
ACCEPTORS.add("GlobalAveragePool", global_pool(maximum=False))
ACCEPTORS.add("GlobalMaxPool", global_pool(maximum=True))
ACCEPTORS.add("HardSigmoid", hard_sigmoid)
ACCEPTORS.add("HardSwish", hard_swish)
ACCEPTORS.add("Identity", same)
ACCEPTORS.add("LRN", lrn)
ACCEPTORS.add("LeakyRelu", leaky_relu)
ACCEPTORS.add("Log", plain("Log"))
ACCEPTORS.add("LogSoftmax", log_softmax)
ACCEPTORS.add("MatMul", matmul)
ACCEPTORS.add("Max", maximum)
ACCEPTORS.add("MaxPool", max_pool)
ACCEPTORS.add("Mish", mish)
ACCEPTORS.add("Mul", mul)
ACCEPTORS.add("Neg", plain("Power", power_param={"scale": -1}))
ACCEPTORS.add("PRelu", prelu)
ACCEPTORS.add("Pad", pad)
ACCEPTORS.add("Pow", power)
ACCEPTORS.add("Reciprocal", plain("Power", power_param={"power": -1}))
ACCEPTORS.add("ReduceL1", reduction(ReductionParameter.ASUM))
ACCEPTORS.add("ReduceMean", reduction(ReductionParameter.MEAN))
ACCEPTORS.add("ReduceSum", reduction(ReductionParameter.SUM))
ACCEPTORS.add("ReduceSumSquare", reduction(ReductionParameter.SUMSQ))
ACCEPTORS.add("Relu", plain("ReLU"))
ACCEPTORS.add("Reshape", reshape)
ACCEPTORS.add("Selu", selu)
ACCEPTORS.add("Sigmoid", plain("Sigmoid"))
ACCEPTORS.add("Slice", slice_)
ACCEPTORS.add("Softmax", softmax)
ACCEPTORS.add("Softplus", plain("BNLL"))
ACCEPTORS.add("Split", split)
ACCEPTORS.add("Sqrt", plain("Power", power_param={"power": 0.5}))
ACCEPTORS.add("Squeeze", squeeze)
ACCEPTORS.add("Sub", sub)
ACCEPTORS.add("Sum", sum_)
ACCEPTORS.add("Swish", swish)
ACCEPTORS.add("Tanh", plain("TanH"))
ACCEPTORS.add("Transpose", transpose)
ACCEPTORS.add("Unsqueeze", unsqueeze)
