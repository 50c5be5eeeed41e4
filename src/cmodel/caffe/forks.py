"""What a prototxt has beyond Caffe's own schema and layer types, told all together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from google.protobuf.descriptor import Descriptor

from cmodel.caffe.filter import is_included
from cmodel.caffe.prototxt import ParsedNet
from cmodel.errors import CmodelError, PrototxtError, UnsupportedError, did_you_mean
from cmodel.net import INPUT_TYPES, UnknownField
from cmodel.net.shapes.registry import RULES
from cmodel.proto import caffe_pb2

# Types of Caffe's own that shape inference has no rule for.
CAFFE_TYPES = frozenset(
    {
        "Filter",
        "HDF5Output",
        "InfogainLoss",
        "LSTM",
        "LSTMUnit",
        "MultinomialLogisticLoss",
        "Python",
        "RNN",
    }
)
MOST = 20

_NET = cast("Descriptor", caffe_pb2.NetParameter.DESCRIPTOR)
_V1_LAYER = cast("Descriptor", caffe_pb2.V1LayerParameter.DESCRIPTOR)
_V2_LAYER = cast("Descriptor", caffe_pb2.LayerParameter.DESCRIPTOR)


@dataclass(frozen=True)
class Unknown:
    """A field or layer type that is not Caffe's, however often it stands in a net.

    name : of the field, or the type.
    path : of the message that a field stands in, without indices ("convolution_param"); None for a
        layer type.
    line, column : where it stands first.
    count : how often.
    hint : the nearest known name, or None.
    """

    name: str
    path: str | None
    line: int
    column: int
    count: int
    hint: str | None

    def __str__(self) -> str:
        if self.path is None:
            what = f"layer type `{self.name}`"
        else:
            what = f"field `{self.name}`" + (f" in `{self.path}`" if self.path else "")
        times = f", {self.count} times" if self.count > 1 else ""
        return f"{self.line}:{self.column} {what}{times}" + (f"; {self.hint}" if self.hint else "")


def unknown_names(parsed: ParsedNet, state: caffe_pb2.NetState) -> list[Unknown]:
    """Return all fields, and the types of the layers of this state, in the order of their places.

    Raises
    ------
    NetError : a layer has both include and exclude rules.
    """
    found = [*_fields(parsed), *_types(parsed, state)]
    return sorted(found, key=lambda item: (item.line, item.column))


def report(unknown: list[Unknown], path: str) -> CmodelError:
    """Return one error (or warning) about all of these; a layer type outweighs fields."""
    lines = [str(item) for item in unknown[:MOST]]
    if len(unknown) > MOST:
        lines.append(f"and {len(unknown) - MOST} more")
    types = any(item.path is None for item in unknown)
    fields = any(item.path is not None for item in unknown)
    what = "fields and layer types" if types and fields else "layer types" if types else "fields"
    kept = "they are kept as they are" + (", but such layers cannot run" if types else "")
    kind = UnsupportedError if types else PrototxtError
    return kind(
        f"the net has {what} that are not known; {kept}",
        where=f"{path}:{unknown[0].line}:{unknown[0].column}",
        notes=lines,
        hint="`--allow-unknown` takes them without a word",
    )


def _fields(parsed: ParsedNet) -> Iterable[Unknown]:
    groups: list[tuple[Descriptor, list[UnknownField]]] = [(_NET, parsed.unknown)]
    groups += [(_V1_LAYER, fields) for fields in parsed.layers_unknown.values()]
    groups += [(_V2_LAYER, fields) for fields in parsed.layer_unknown.values()]
    found: dict[tuple[str, str, str], tuple[Descriptor, list[UnknownField]]] = {}
    for descriptor, fields in groups:
        for entry in fields:
            path = re.sub(r"\[\d+\]", "", entry.path)
            key = (descriptor.name, path, field_name(entry))
            found.setdefault(key, (descriptor, []))[1].append(entry)
    for (_, path, name), (descriptor, fields) in found.items():
        for step in path.split(".") if path else ():
            descriptor = cast("Descriptor", descriptor.fields_by_name[step].message_type)
        hint = _hint(name, descriptor.fields_by_name) if len(found) < 100 else None
        first = fields[0]
        yield Unknown(name, path, first.line, first.column, len(fields), hint)


def _types(parsed: ParsedNet, state: caffe_pb2.NetState) -> Iterable[Unknown]:
    known = {*RULES, *INPUT_TYPES, *CAFFE_TYPES}
    found: dict[str, list[int]] = {}
    for i, layer in enumerate(parsed.message.layer):
        if layer.type not in known and is_included(layer, state):
            found.setdefault(layer.type, []).append(i)
    for name, layers in found.items():
        hint = _hint(name, known) if len(found) < 100 else None
        # A layer without any type has no place of it.
        line, column = parsed.type_places.get(layers[0], (0, 0))
        yield Unknown(name, None, line, column, len(layers), hint)


def _hint(name: str, known: Iterable[str]) -> str | None:
    """Return the nearest known name: Caffe takes names in their own case only."""
    known = list(known)
    same = [other for other in known if other.lower() == name.lower()]
    return did_you_mean(same[0] if same else name, known)


def field_name(unknown: UnknownField) -> str:
    """Name of an unknown field that was read from text."""
    return unknown.text.split(":", 1)[0].split("{", 1)[0].split("<", 1)[0].strip()
