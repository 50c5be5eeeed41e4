"""Images and labels: sources, seeded samples, Caffe's input transform, batches."""

from cmodel.data.arrays import read_npy
from cmodel.data.batching import Inputs, batches
from cmodel.data.labelled import Labelled
from cmodel.data.options import (
    DataLayer,
    MeanLoader,
    merge,
    open_layer,
    transform_from_layer,
    transform_from_options,
)
from cmodel.data.sampling import sample, split
from cmodel.data.source import FloatArray, IntArray, Item, Items, Source
from cmodel.data.sources import open_source
from cmodel.data.transform import prepare

__all__ = [
    "DataLayer",
    "FloatArray",
    "Inputs",
    "IntArray",
    "Item",
    "Items",
    "Labelled",
    "MeanLoader",
    "Source",
    "batches",
    "merge",
    "open_layer",
    "open_source",
    "prepare",
    "read_npy",
    "sample",
    "split",
    "transform_from_layer",
    "transform_from_options",
]
