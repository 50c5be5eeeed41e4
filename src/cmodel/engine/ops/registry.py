"""The operation of every layer type.

A factory sees the layer and the forms of its parameters: here a kernel for a form is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cmodel.engine.ops.abs_val import AbsVal
from cmodel.engine.ops.accuracy import Accuracy
from cmodel.engine.ops.arg_max import ArgMax
from cmodel.engine.ops.batch_norm import BatchNorm
from cmodel.engine.ops.batch_reindex import BatchReindex
from cmodel.engine.ops.bias import Bias
from cmodel.engine.ops.bnll import BNLL
from cmodel.engine.ops.clip import Clip
from cmodel.engine.ops.concat import Concat
from cmodel.engine.ops.contrastive_loss import ContrastiveLoss
from cmodel.engine.ops.convolution import Convolution
from cmodel.engine.ops.crop import Crop
from cmodel.engine.ops.deconvolution import Deconvolution
from cmodel.engine.ops.dropout import Dropout
from cmodel.engine.ops.dummy_data import DummyData
from cmodel.engine.ops.eltwise import Eltwise
from cmodel.engine.ops.elu import ELU
from cmodel.engine.ops.embed import Embed
from cmodel.engine.ops.euclidean_loss import EuclideanLoss
from cmodel.engine.ops.exp import Exp
from cmodel.engine.ops.flatten import Flatten
from cmodel.engine.ops.hinge_loss import HingeLoss
from cmodel.engine.ops.im2col import Im2col
from cmodel.engine.ops.inner_product import InnerProduct
from cmodel.engine.ops.log import Log
from cmodel.engine.ops.lrn import LRN
from cmodel.engine.ops.lstm import LSTM
from cmodel.engine.ops.lstm_unit import LSTMUnit
from cmodel.engine.ops.mvn import MVN
from cmodel.engine.ops.op import Op
from cmodel.engine.ops.parameter import Parameter as ParameterOp
from cmodel.engine.ops.pooling import Pooling
from cmodel.engine.ops.power import Power
from cmodel.engine.ops.prelu import PReLU
from cmodel.engine.ops.reduction import Reduction
from cmodel.engine.ops.relu import ReLU
from cmodel.engine.ops.reshape import Reshape
from cmodel.engine.ops.scale import Scale
from cmodel.engine.ops.sigmoid import Sigmoid
from cmodel.engine.ops.sigmoid_cross_entropy_loss import SigmoidCrossEntropyLoss
from cmodel.engine.ops.silence import Silence
from cmodel.engine.ops.slice import Slice
from cmodel.engine.ops.softmax import Softmax
from cmodel.engine.ops.softmax_with_loss import SoftmaxWithLoss
from cmodel.engine.ops.split import Split
from cmodel.engine.ops.spp import SPP
from cmodel.engine.ops.swish import Swish
from cmodel.engine.ops.tanh import TanH
from cmodel.engine.ops.threshold import Threshold
from cmodel.engine.ops.tile import Tile
from cmodel.errors import UnsupportedError, nearest
from cmodel.net import Layer, Parameter, Registry

Factory = Callable[[Layer, Sequence[Parameter]], Op]

OPS: Registry[Factory] = Registry("operation")
OPS.add("AbsVal", AbsVal)
OPS.add("Accuracy", Accuracy)
OPS.add("ArgMax", ArgMax)
OPS.add("BNLL", BNLL)
OPS.add("BatchNorm", BatchNorm)
OPS.add("BatchReindex", BatchReindex)
OPS.add("Bias", Bias)
OPS.add("Clip", Clip)
OPS.add("Concat", Concat)
OPS.add("ContrastiveLoss", ContrastiveLoss)
OPS.add("Convolution", Convolution)
OPS.add("Crop", Crop)
OPS.add("Deconvolution", Deconvolution)
OPS.add("Dropout", Dropout)
OPS.add("DummyData", DummyData)
OPS.add("ELU", ELU)
OPS.add("Eltwise", Eltwise)
OPS.add("Embed", Embed)
OPS.add("EuclideanLoss", EuclideanLoss)
OPS.add("Exp", Exp)
OPS.add("Flatten", Flatten)
OPS.add("HingeLoss", HingeLoss)
OPS.add("Im2col", Im2col)
OPS.add("InnerProduct", InnerProduct)
OPS.add("LRN", LRN)
OPS.add("LSTM", LSTM)
OPS.add("LSTMUnit", LSTMUnit)
OPS.add("Log", Log)
OPS.add("MVN", MVN)
OPS.add("PReLU", PReLU)
OPS.add("Parameter", ParameterOp)
OPS.add("Pooling", Pooling)
OPS.add("Power", Power)
OPS.add("ReLU", ReLU)
OPS.add("Reduction", Reduction)
OPS.add("Reshape", Reshape)
OPS.add("SPP", SPP)
OPS.add("Scale", Scale)
OPS.add("Sigmoid", Sigmoid)
OPS.add("SigmoidCrossEntropyLoss", SigmoidCrossEntropyLoss)
OPS.add("Silence", Silence)
OPS.add("Slice", Slice)
OPS.add("Softmax", Softmax)
OPS.add("SoftmaxWithLoss", SoftmaxWithLoss)
OPS.add("Split", Split)
OPS.add("Swish", Swish)
OPS.add("TanH", TanH)
OPS.add("Threshold", Threshold)
OPS.add("Tile", Tile)


def factory_of(layer: Layer) -> Factory:
    """Return the factory for a layer; UnsupportedError where its type has none."""
    factory = OPS.get(layer.type)
    if factory is None:
        near = nearest(layer.type, OPS)
        raise UnsupportedError(
            f"the engine has no layer type `{layer.type}`",
            where=f"layer `{layer.key}`",
            hint=f"did you mean `{near}`?" if near else f"it has: {', '.join(OPS)}",
        )
    return factory
