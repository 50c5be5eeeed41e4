"""Writes the databases that tests read, as Caffe's own tools do."""

import io

import h5py
import lmdb
import numpy as np
from PIL import Image

from cmodel.proto import caffe_pb2


def raw_datum(image, label):
    """Return an image (H,W,3) RGB or (H,W) as `convert_imageset` stores it: planes B, G, R."""
    planes = image[None] if image.ndim == 2 else np.moveaxis(image, 2, 0)[::-1]
    channels, height, width = planes.shape
    return caffe_pb2.Datum(
        channels=channels, height=height, width=width, data=planes.tobytes(), label=label
    )


def encoded_datum(image, label, fmt="PNG"):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, fmt)
    return caffe_pb2.Datum(data=stream.getvalue(), label=label, encoded=True)


def write_lmdb(path, datums, *, commit=1000, **options):
    """Write Datums (or bytes) as `convert_imageset` does: keys of eight digits and a name."""
    path.mkdir()
    environment = lmdb.open(str(path), map_size=1 << 28, **options)
    for start in range(0, len(datums), commit):
        with environment.begin(write=True) as transaction:
            for i, datum in enumerate(datums[start : start + commit], start):
                value = datum if isinstance(datum, bytes) else datum.SerializeToString()
                transaction.put(f"{i:08d}_image{i}.png".encode(), value)
    environment.close()
    return path


def write_h5(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path
