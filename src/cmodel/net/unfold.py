"""A name of its own for each value: layers in place overwrite what earlier layers read."""

from __future__ import annotations

from dataclasses import replace

from cmodel.net.net import INPUT_TYPES, Net
from cmodel.proto import caffe_pb2


def unfolded(net: Net) -> Net:
    """Return the net, its parameters shared, in which no layer writes to a blob that is there.

    The first value of a blob keeps the name, later ones get a "'" more each. A net that is unfolded
    already comes out with the same names.
    """
    current = {name: name for name in net.inputs}
    taken = set(current).union(*(layer.tops for layer in net.layers))
    layers = []
    for layer in net.layers:
        param = caffe_pb2.LayerParameter()
        param.CopyFrom(layer.param)
        param.bottom[:] = [current.get(name, name) for name in layer.bottoms]
        for i, name in enumerate(layer.tops):
            fresh = name
            while fresh in taken and name in current and layer.type not in INPUT_TYPES:
                fresh += "'"
            taken.add(fresh)
            current[name] = fresh
            param.top[i] = fresh
        layers.append(replace(layer, param=param))
    return replace(net, layers=layers)
