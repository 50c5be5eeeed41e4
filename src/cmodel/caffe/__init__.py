"""Caffe's files: prototxt, caffemodel and binaryproto, to and from a Net."""

from cmodel.caffe.hdf5 import HDF5_MAGIC, check_dataset, damage_named, load_h5py, write_hdf5
from cmodel.caffe.load import load_mean, load_net
from cmodel.caffe.prototxt import ParsedNet, parse_prototxt, print_prototxt, read_prototxt
from cmodel.caffe.save import write_caffemodel, write_mean
from cmodel.caffe.upgrade import UpgradedLayer, upgrade_layers
from cmodel.caffe.weights import Weights, read_weights
from cmodel.caffe.wire import (
    BlobRecord,
    Caffemodel,
    LayerRecord,
    is_text,
    read_blob,
    read_caffemodel,
)

__all__ = [
    "HDF5_MAGIC",
    "BlobRecord",
    "Caffemodel",
    "LayerRecord",
    "ParsedNet",
    "UpgradedLayer",
    "Weights",
    "check_dataset",
    "damage_named",
    "is_text",
    "load_h5py",
    "load_mean",
    "load_net",
    "parse_prototxt",
    "print_prototxt",
    "read_blob",
    "read_caffemodel",
    "read_prototxt",
    "read_weights",
    "upgrade_layers",
    "write_caffemodel",
    "write_hdf5",
    "write_mean",
]
