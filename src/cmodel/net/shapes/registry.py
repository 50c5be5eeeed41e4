"""The shape rule of every layer type. Input and data layers are the walk's own business."""

from __future__ import annotations

from cmodel.net.registry import Registry
from cmodel.net.shapes.arg_max import arg_max
from cmodel.net.shapes.axpy import axpy
from cmodel.net.shapes.batch_norm import batch_norm
from cmodel.net.shapes.batch_reindex import batch_reindex
from cmodel.net.shapes.bn import bn
from cmodel.net.shapes.concat import concat
from cmodel.net.shapes.convolution import convolution, deconvolution, im2col
from cmodel.net.shapes.crop import crop
from cmodel.net.shapes.detection_output import detection_output
from cmodel.net.shapes.elementwise import elementwise
from cmodel.net.shapes.eltwise import eltwise
from cmodel.net.shapes.embed import embed
from cmodel.net.shapes.filter import filter_
from cmodel.net.shapes.flatten import flatten
from cmodel.net.shapes.inner_product import inner_product
from cmodel.net.shapes.interp import interp
from cmodel.net.shapes.losses import (
    accuracy,
    contrastive_loss,
    hinge_loss,
    infogain_loss,
    pairwise_loss,
    softmax_loss,
)
from cmodel.net.shapes.lrn import lrn
from cmodel.net.shapes.normalize import normalize
from cmodel.net.shapes.permute import permute
from cmodel.net.shapes.pooling import pooling
from cmodel.net.shapes.prelu import prelu
from cmodel.net.shapes.prior_box import prior_box
from cmodel.net.shapes.recurrent import lstm, lstm_unit, rnn
from cmodel.net.shapes.reduction import reduction
from cmodel.net.shapes.reorg import reorg
from cmodel.net.shapes.reshape import reshape
from cmodel.net.shapes.roi_pooling import roi_pooling
from cmodel.net.shapes.rule import Rule
from cmodel.net.shapes.scale import bias, scale
from cmodel.net.shapes.shuffle_channel import shuffle_channel
from cmodel.net.shapes.slice import slice_
from cmodel.net.shapes.softmax import softmax
from cmodel.net.shapes.source import dummy_data, parameter
from cmodel.net.shapes.split import sink, split
from cmodel.net.shapes.spp import spp
from cmodel.net.shapes.tile import tile
from cmodel.net.shapes.upsample import upsample

RULES: Registry[Rule] = Registry("shape rule")
RULES.add("AbsVal", elementwise)
RULES.add("Accuracy", accuracy)
RULES.add("ArgMax", arg_max)
RULES.add("Axpy", axpy)
RULES.add("BN", bn)
RULES.add("BNLL", elementwise)
RULES.add("BatchNorm", batch_norm)
RULES.add("BatchReindex", batch_reindex)
RULES.add("Bias", bias)
RULES.add("Clip", elementwise)
RULES.add("Concat", concat)
RULES.add("ContrastiveLoss", contrastive_loss)
RULES.add("Convolution", convolution)
RULES.add("ConvolutionDepthwise", convolution)
RULES.add("Crop", crop)
RULES.add("Deconvolution", deconvolution)
RULES.add("DepthwiseConvolution", convolution)
RULES.add("DetectionOutput", detection_output)
RULES.add("Dropout", elementwise)
RULES.add("DummyData", dummy_data)
RULES.add("ELU", elementwise)
RULES.add("Eltwise", eltwise)
RULES.add("Embed", embed)
RULES.add("EuclideanLoss", pairwise_loss)
RULES.add("Exp", elementwise)
RULES.add("Filter", filter_)
RULES.add("Flatten", flatten)
RULES.add("HDF5Output", sink)
RULES.add("HingeLoss", hinge_loss)
RULES.add("Im2col", im2col)
RULES.add("InfogainLoss", infogain_loss)
RULES.add("InnerProduct", inner_product)
RULES.add("Interp", interp)
RULES.add("LRN", lrn)
RULES.add("LSTM", lstm)
RULES.add("LSTMUnit", lstm_unit)
RULES.add("Log", elementwise)
RULES.add("MVN", elementwise)
RULES.add("MultinomialLogisticLoss", hinge_loss)
RULES.add("Normalize", normalize)
RULES.add("PReLU", prelu)
RULES.add("Parameter", parameter)
RULES.add("Permute", permute)
RULES.add("Pooling", pooling)
RULES.add("Power", elementwise)
RULES.add("PriorBox", prior_box)
RULES.add("RNN", rnn)
RULES.add("ROIPooling", roi_pooling)
RULES.add("ReLU", elementwise)
RULES.add("ReLU6", elementwise)
RULES.add("Reduction", reduction)
RULES.add("Reorg", reorg)
RULES.add("Reshape", reshape)
RULES.add("SPP", spp)
RULES.add("Scale", scale)
RULES.add("ShuffleChannel", shuffle_channel)
RULES.add("Sigmoid", elementwise)
RULES.add("SigmoidCrossEntropyLoss", pairwise_loss)
RULES.add("Silence", sink)
RULES.add("Slice", slice_)
RULES.add("Softmax", softmax)
RULES.add("SoftmaxWithLoss", softmax_loss)
RULES.add("Split", split)
RULES.add("Swish", elementwise)
RULES.add("TanH", elementwise)
RULES.add("Threshold", elementwise)
RULES.add("Tile", tile)
RULES.add("Upsample", upsample)
