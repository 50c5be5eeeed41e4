"""The operation of every layer type.

A factory sees the layer and the forms of its parameters: here a kernel for a form is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cmodel.engine.ops.abs_val import AbsVal
from cmodel.engine.ops.accuracy import Accuracy
from cmodel.engine.ops.arg_max import ArgMax
from cmodel.engine.ops.axpy import Axpy
from cmodel.engine.ops.batch_norm import BatchNorm
from cmodel.engine.ops.batch_reindex import BatchReindex
from cmodel.engine.ops.bias import Bias
from cmodel.engine.ops.bn import BN
from cmodel.engine.ops.bnll import BNLL
from cmodel.engine.ops.clip import Clip
from cmodel.engine.ops.concat import Concat
from cmodel.engine.ops.contrastive_loss import ContrastiveLoss
from cmodel.engine.ops.convolution import Convolution
from cmodel.engine.ops.crop import Crop
from cmodel.engine.ops.deconvolution import Deconvolution
from cmodel.engine.ops.detection_output import DetectionOutput
from cmodel.engine.ops.dropout import Dropout
from cmodel.engine.ops.dummy_data import DummyData
from cmodel.engine.ops.eltwise import Eltwise
from cmodel.engine.ops.elu import ELU
from cmodel.engine.ops.embed import Embed
from cmodel.engine.ops.euclidean_loss import EuclideanLoss
from cmodel.engine.ops.exp import Exp
from cmodel.engine.ops.filter import Filter
from cmodel.engine.ops.flatten import Flatten
from cmodel.engine.ops.hdf5_output import HDF5Output
from cmodel.engine.ops.hinge_loss import HingeLoss
from cmodel.engine.ops.im2col import Im2col
from cmodel.engine.ops.infogain_loss import InfogainLoss
from cmodel.engine.ops.inner_product import InnerProduct
from cmodel.engine.ops.interp import Interp
from cmodel.engine.ops.log import Log
from cmodel.engine.ops.lrn import LRN
from cmodel.engine.ops.lstm import LSTM
from cmodel.engine.ops.lstm_unit import LSTMUnit
from cmodel.engine.ops.multinomial_logistic_loss import MultinomialLogisticLoss
from cmodel.engine.ops.mvn import MVN
from cmodel.engine.ops.normalize import Normalize
from cmodel.engine.ops.op import DynamicOp, Op
from cmodel.engine.ops.parameter import Parameter as ParameterOp
from cmodel.engine.ops.permute import Permute
from cmodel.engine.ops.pooling import Pooling
from cmodel.engine.ops.power import Power
from cmodel.engine.ops.prelu import PReLU
from cmodel.engine.ops.prior_box import PriorBox
from cmodel.engine.ops.reduction import Reduction
from cmodel.engine.ops.relu import ReLU
from cmodel.engine.ops.relu6 import ReLU6
from cmodel.engine.ops.reorg import Reorg
from cmodel.engine.ops.reshape import Reshape
from cmodel.engine.ops.rnn import RNN
from cmodel.engine.ops.roi_pooling import ROIPooling
from cmodel.engine.ops.scale import Scale
from cmodel.engine.ops.shuffle_channel import ShuffleChannel
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
from cmodel.engine.ops.upsample import Upsample
from cmodel.errors import UnsupportedError, nearest
from cmodel.net import Layer, Parameter, Registry

Factory = Callable[[Layer, Sequence[Parameter]], Op | DynamicOp]

OPS: Registry[Factory] = Registry("operation")
OPS.add("AbsVal", AbsVal)
OPS.add("Accuracy", Accuracy)
OPS.add("ArgMax", ArgMax)
OPS.add("Axpy", Axpy)
OPS.add("BN", BN)
OPS.add("BNLL", BNLL)
OPS.add("BatchNorm", BatchNorm)
OPS.add("BatchReindex", BatchReindex)
OPS.add("Bias", Bias)
OPS.add("Clip", Clip)
OPS.add("Concat", Concat)
OPS.add("ContrastiveLoss", ContrastiveLoss)
OPS.add("Convolution", Convolution)
OPS.add("ConvolutionDepthwise", Convolution)
OPS.add("Crop", Crop)
OPS.add("Deconvolution", Deconvolution)
OPS.add("DepthwiseConvolution", Convolution)
OPS.add("DetectionOutput", DetectionOutput)
OPS.add("Dropout", Dropout)
OPS.add("DummyData", DummyData)
OPS.add("ELU", ELU)
OPS.add("Eltwise", Eltwise)
OPS.add("Embed", Embed)
OPS.add("EuclideanLoss", EuclideanLoss)
OPS.add("Exp", Exp)
OPS.add("Filter", Filter)
OPS.add("Flatten", Flatten)
OPS.add("HDF5Output", HDF5Output)
OPS.add("HingeLoss", HingeLoss)
OPS.add("Im2col", Im2col)
OPS.add("InfogainLoss", InfogainLoss)
OPS.add("InnerProduct", InnerProduct)
OPS.add("Interp", Interp)
OPS.add("LRN", LRN)
OPS.add("LSTM", LSTM)
OPS.add("LSTMUnit", LSTMUnit)
OPS.add("Log", Log)
OPS.add("MVN", MVN)
OPS.add("MultinomialLogisticLoss", MultinomialLogisticLoss)
OPS.add("Normalize", Normalize)
OPS.add("PReLU", PReLU)
OPS.add("Parameter", ParameterOp)
OPS.add("Permute", Permute)
OPS.add("Pooling", Pooling)
OPS.add("Power", Power)
OPS.add("PriorBox", PriorBox)
OPS.add("RNN", RNN)
OPS.add("ROIPooling", ROIPooling)
OPS.add("ReLU", ReLU)
OPS.add("ReLU6", ReLU6)
OPS.add("Reduction", Reduction)
OPS.add("Reorg", Reorg)
OPS.add("Reshape", Reshape)
OPS.add("SPP", SPP)
OPS.add("Scale", Scale)
OPS.add("ShuffleChannel", ShuffleChannel)
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
OPS.add("Upsample", Upsample)


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
