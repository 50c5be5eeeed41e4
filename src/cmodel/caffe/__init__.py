"""Caffe's files: prototxt, caffemodel and binaryproto, to and from a Net."""

from cmodel.caffe.load import load_mean, load_net
from cmodel.caffe.prototxt import ParsedNet, parse_prototxt, print_prototxt, read_prototxt
from cmodel.caffe.save import write_caffemodel, write_mean
from cmodel.caffe.upgrade import UpgradedLayer, upgrade_layers
from cmodel.caffe.wire import BlobRecord, Caffemodel, LayerRecord, read_blob, read_caffemodel

__all__ = [
    "BlobRecord",
    "Caffemodel",
    "LayerRecord",
    "ParsedNet",
    "UpgradedLayer",
    "load_mean",
    "load_net",
    "parse_prototxt",
    "print_prototxt",
    "read_blob",
    "read_caffemodel",
    "read_prototxt",
    "upgrade_layers",
    "write_caffemodel",
    "write_mean",
]
