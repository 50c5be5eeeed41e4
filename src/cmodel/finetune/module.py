"""A net as a torch module, with Caffe's semantics, and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cmodel.engine import Engine
from cmodel.errors import CmodelError, UnsupportedError
from cmodel.finetune.forms import Fixed, Free, Trainable, trainable
from cmodel.finetune.layers import affine, joining, normalisation, pointwise, pooling
from cmodel.finetune.layers.registry import TWINS, Call
from cmodel.net import INPUT_TYPES, Layer, Net, Parameters, unfolded
from cmodel.net.shapes.rule import place
from cmodel.proto import caffe_pb2
from cmodel.tensors import Dense, Form

LOADED = (affine, joining, normalisation, pointwise, pooling)
# What these layers hold is counted, not learned.
_STATISTICS = {"BatchNorm": (0, 1, 2), "BN": (2, 3)}
_JUDGES = frozenset({"Accuracy", "SoftmaxWithLoss", "Silence"})


class NetModule(nn.Module):
    """A net whose parameters train.

    Parameters
    ----------
    net : any net whose layers have twins.
    frozen : keys of layers whose parameters do not train. A layer type without a twin runs on the
        engine if it is frozen, where no gradient has to pass through it.

    dropout : factor of every Dropout layer's own ratio, by layer key.
    batch_statistics : whether BatchNorm layers normalise by the batch and follow it in training.

    Raises
    ------
    UnsupportedError : a layer type has no twin.
    RecipeError : a parameter's form has nothing that trains.
    """

    def __init__(self, net: Net, *, frozen: Collection[str] = ()) -> None:
        super().__init__()
        self.net = net
        self.frozen = frozenset(frozen)
        self.dropout: dict[str, float] = {}
        self.batch_statistics = False
        self._layers = [layer for layer in unfolded(net).layers if layer.type not in INPUT_TYPES]
        self._names = list(net.parameters)
        statistics = {
            name
            for layer in net.layers
            for i, name in enumerate(layer.parameters)
            if i in _STATISTICS.get(layer.type, ())
        }
        still = {n for layer in net.layers if layer.key in self.frozen for n in layer.parameters}
        made = [self._make(name, name in still, name in statistics) for name in self._names]
        self.values = nn.ModuleList(made)
        self._place = {name: i for i, name in enumerate(self._names)}
        self._engines: dict[str, Engine] = {}
        for layer in self._layers:
            if layer.type not in TWINS and layer.type not in _JUDGES:
                if layer.key not in self.frozen:
                    raise _untrainable(layer)
                self._engines[layer.key] = _alone(net, layer)

    def _make(self, name: str, still: bool, statistics: bool) -> Trainable:
        form: Form = self.net.parameters[name]  # type: ignore[assignment]
        if still or (statistics and not isinstance(form, Dense)):
            return Fixed(form)
        return Free(form, statistics=True) if statistics else trainable(form, name)  # type: ignore[arg-type]

    def parameter(self, name: str) -> Trainable:
        """Return what holds a parameter of the net."""
        held: Trainable = self.values[self._place[name]]
        return held

    def replace(self, name: str, held: Trainable) -> None:
        """Let something else hold a parameter."""
        self.values[self._place[name]] = held

    def forward(
        self, feed: Mapping[str, Tensor], blobs: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Return blobs by name: those asked for, or all (in-place values under unfolded names)."""
        values: dict[str, Tensor] = dict(feed)
        wanted = None if blobs is None else set(blobs)
        dense: dict[str, Tensor] = {}
        for layer in self._needed(wanted):
            for name in layer.parameters:
                if name not in dense:
                    dense[name] = self.parameter(name)()
            call = Call(
                layer,
                [values[name] for name in layer.bottoms],
                [dense[name] for name in layer.parameters],
                self.training,
                self.dropout.get(layer.key, 1.0),
                self.batch_statistics and layer.key not in self.frozen,
            )
            tops = self._run(call)
            values.update(zip(layer.tops, tops, strict=True))
            if call.updates:
                self._update(layer, call.updates)
        return values if wanted is None else {name: values[name] for name in wanted}

    def _needed(self, wanted: set[str] | None) -> list[Layer]:
        layers = [layer for layer in self._layers if layer.type not in _JUDGES]
        if wanted is None:
            return layers
        asked, needed = set(wanted), []
        for layer in reversed(layers):
            if not asked.isdisjoint(layer.tops):
                asked.update(layer.bottoms)
                needed.append(layer)
        return needed[::-1]

    def _run(self, call: Call) -> list[Tensor]:
        layer = call.layer
        function = TWINS.get(layer.type)
        if function is not None:
            return function(call)
        if any(x.requires_grad for x in call.bottoms):
            raise UnsupportedError(
                f"no gradient passes through the type `{layer.type}`",
                where=place(layer),
                hint="freeze the layers before it too",
            )
        feed = {name: x.numpy() for name, x in zip(layer.bottoms, call.bottoms, strict=True)}
        found = self._engines[layer.key].run(feed, list(layer.tops))
        return [torch.from_numpy(found[name]) for name in layer.tops]

    def _update(self, layer: Layer, updates: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for name, value in zip(layer.parameters, updates, strict=True):
                held = self.parameter(name)
                if isinstance(held, Free):
                    held.values.copy_(value.reshape(held.values.shape))

    def to_net(self) -> Net:
        """Return the net with the values as they stand; one that did not change is bit-equal."""
        net = self.net.copy()
        for name in self._names:
            net.parameters[name] = self.parameter(name).form()
        return net


def _untrainable(layer: Layer) -> CmodelError:
    return UnsupportedError(
        f"the layer type `{layer.type}` cannot be trained",
        where=place(layer),
        hint=f'freeze = ["{layer.key}"] runs it as it is, where no gradient has to pass through it',
    )


def _alone(net: Net, layer: Layer) -> Engine:
    """Return an engine that runs one layer of an unfolded net."""
    header = caffe_pb2.NetParameter(input=dict.fromkeys(layer.bottoms))
    held = Parameters((name, net.parameters[name]) for name in layer.parameters)
    return Engine(Net(header, [layer], held), threads=1)


def feed_of(blob: str, images: np.ndarray) -> dict[str, Any]:
    """Return images as what `forward` takes."""
    return {blob: torch.from_numpy(np.ascontiguousarray(images))}
