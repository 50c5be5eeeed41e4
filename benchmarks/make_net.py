"""Writes a known network with random weights, for measurements of speed and memory.

    python benchmarks/make_net.py vgg16 OUTDIR [--seed 0]

Makes OUTDIR/deploy.prototxt and OUTDIR/weights.caffemodel (VGG-16: 553 MB). Weights are normal with
the standard deviation sqrt(2 / inputs), biases are 0: blobs keep their magnitude through the net.
BatchNorm and Scale get values near those that change nothing, a Scale near its filler's.
"""

from __future__ import annotations

import argparse
import shutil
from functools import partial
from math import prod, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmodel.caffe import load_net, write_caffemodel
from cmodel.net import Layer, Net, ParameterLoader, Shape, infer_shapes, parameter_name
from cmodel.tensors import Dense

NETS = Path(__file__).with_name("nets")


def draw(layer: Layer, shape: Shape, seed: tuple[int, ...]) -> Dense:
    """Return the values of one parameter, the same at each call."""
    if layer.type in ("BatchNorm", "Scale"):
        return Dense(draw_norm(layer, shape, seed))
    if len(shape) == 1:
        return Dense(np.zeros(shape, np.float32))
    values = np.random.default_rng(seed).standard_normal(shape, np.float32)
    values *= np.float32(sqrt(2 / prod(shape[1:])))
    return Dense(values)


def draw_norm(layer: Layer, shape: Shape, seed: tuple[int, ...]) -> NDArray[np.float32]:
    """Return mean, variance or their factor of a BatchNorm; factor or offset of a Scale."""
    rng, number = np.random.default_rng(seed), seed[-1]
    if layer.type == "BatchNorm" and number == 2:
        return np.ones(shape, np.float32)
    if (layer.type, number) in (("BatchNorm", 0), ("Scale", 1)):
        return 0.1 * rng.standard_normal(shape, np.float32)
    values = rng.uniform(0.8, 1.2, shape).astype(np.float32)
    filler = layer.param.scale_param.filler
    if layer.type == "Scale" and filler.type == "constant" and filler.HasField("value"):
        values *= np.float32(filler.value)
    return values


def random_net(name: str) -> Net:
    """Return a net of benchmarks/nets with random weights."""
    net = load_net(NETS / f"{name}.prototxt", require_weights=False)
    needed = infer_shapes(net).parameters
    for number, layer in enumerate(net.layers):
        for i, shape in enumerate(needed[layer.key] or ()):
            tensor = parameter_name(layer.key, i)
            layer.parameters.append(tensor)
            net.parameters[tensor] = draw(layer, shape, (0, number, i))
    return net


def make_net(name: str, folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Write the prototxt and the caffemodel of a net; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    prototxt, weights = folder / "deploy.prototxt", folder / "weights.caffemodel"
    shutil.copyfile(NETS / f"{name}.prototxt", prototxt)
    net = load_net(prototxt, require_weights=False)
    needed = infer_shapes(net).parameters
    for number, layer in enumerate(net.layers):
        for i, shape in enumerate(needed[layer.key] or ()):
            tensor = parameter_name(layer.key, i)
            layer.parameters.append(tensor)
            # One after another when they are written: no more than one lies in memory.
            loader = ParameterLoader(shape, partial(draw, layer, shape, (seed, number, i)))
            net.parameters[tensor] = loader  # type: ignore[assignment]
    with weights.open("wb") as file:
        write_caffemodel(net, file)
    return prototxt, weights


def main() -> None:
    """Parse the arguments, write the files, tell their sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", choices=sorted(path.stem for path in NETS.glob("*.prototxt")))
    parser.add_argument("folder", type=Path, metavar="OUTDIR")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for path in make_net(options.net, options.folder, options.seed):
        print(f"{path.stat().st_size / 1e6:9.3f} MB  {path}")


if __name__ == "__main__":
    main()
