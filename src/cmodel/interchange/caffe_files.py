"""A Net as Caffe's files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from cmodel.caffe import load_net, print_prototxt, write_caffemodel, write_hdf5, write_mean
from cmodel.errors import CheckFailed
from cmodel.interchange.arrays import check_bits
from cmodel.net import Net


class CaffeNames(NamedTuple):
    """Names of the files, inside one folder."""

    prototxt: str = "deploy.prototxt"
    weights: str = "weights.caffemodel"
    mean: str = "mean.binaryproto"
    labels: str = "labels.txt"


def caffe_names(weights: str) -> CaffeNames:
    """Return the names that go with that of the weights: they have its stem."""
    stem = Path(weights).stem.removesuffix(".caffemodel")
    return CaffeNames(f"{stem}.prototxt", weights, f"{stem}.mean.binaryproto", f"{stem}.labels.txt")


def write_caffe(
    net: Net,
    folder: Path,
    names: CaffeNames,
    *,
    hdf5: bool = False,
    without: Collection[str] = (),
) -> list[str]:
    """Write prototxt and weights, and mean image and labels where the net has them.

    What was written is read again and has to give the same bits. The weights are a caffemodel, in
    which the layers whose keys are in `without` are left out, or HDF5.

    Returns
    -------
    The names of the files.

    Raises
    ------
    CheckFailed : Caffe's files cannot hold this net.
    UnsupportedError : HDF5 has no place for a layer's name.
    MissingExtraError : h5py is not installed.
    """
    written = [names.prototxt, names.weights]
    (folder / names.prototxt).write_text(print_prototxt(net), "utf-8")
    if hdf5:
        write_hdf5(net, folder / names.weights)
    else:
        with (folder / names.weights).open("wb") as file:
            write_caffemodel(net, file, without=without)
    if net.transform is not None and net.transform.mean_image is not None:
        with (folder / names.mean).open("wb") as file:
            write_mean(net.transform.mean_image, file)
        written.append(names.mean)
    if net.labels:
        text = "".join(f"{label}\n" for label in net.labels)
        (folder / names.labels).write_text(text, "utf-8")
        written.append(names.labels)
    again = load_net(folder / names.prototxt, folder / names.weights)
    left_out = {name for layer in again.layers if layer.key in without for name in layer.parameters}
    different = sorted((set(again.parameters) - left_out) ^ set(net.parameters))
    if different:
        raise CheckFailed(
            f"Caffe's files do not give the same parameters: {', '.join(different[:10])}",
            hint="are there layers of the same name?",
        )
    for name in net.parameters:
        check_bits(name, net.parameters[name].to_dense(), again.parameters[name].to_dense())
    return written
