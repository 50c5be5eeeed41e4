"""Net <-> manifest: everything but the tensors (specification, sections 3 and 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from google.protobuf.message import DecodeError

from cmodel.caffe import is_text
from cmodel.container.directory import Place
from cmodel.errors import BadManifest, LimitMemory, UnknownFeature
from cmodel.net import InputTransform, Layer, Net, Parameters, UnknownField, layer_keys
from cmodel.proto import caffe_pb2, manifest_pb2
from cmodel.tensors import Form

KNOWN_FEATURES: frozenset[str] = frozenset()
MAX_LAYERS = 65536
_ORDERS = {
    "bgr": manifest_pb2.Transform.BGR,
    "rgb": manifest_pb2.Transform.RGB,
    "gray": manifest_pb2.Transform.GRAY,
}
_ORDER_NAMES: dict[int, str | None] = {
    manifest_pb2.Transform.UNSPECIFIED: None,
    **{number: name for name, number in _ORDERS.items()},
}


def build_manifest(net: Net) -> manifest_pb2.Manifest:
    """Return the manifest of `net` without its tensors."""
    manifest = manifest_pb2.Manifest()
    manifest.network.CopyFrom(net.header)
    for layer in net.layers:
        manifest.network.layer.append(layer.param)
    for index, fields in enumerate([net.unknown, *(layer.unknown for layer in net.layers)]):
        for field in fields:
            entry = manifest.unknown.add(path=field.path)
            if index:
                entry.layer = index
            if field.wire:
                entry.wire = field.wire
            else:
                entry.text = field.text
    if net.transform is not None and not net.transform.is_identity:
        _write_transform(net.transform, manifest.transform)
    for index, layer in enumerate(net.layers):
        if layer.range is not None:
            manifest.ranges.layer.append(index)
            manifest.ranges.low.append(layer.range[0])
            manifest.ranges.high.append(layer.range[1])
    return manifest


def minor_version(manifest: manifest_pb2.Manifest) -> int:
    """Return the lowest minor version of the format that has all that the manifest uses."""
    return 1 if manifest.HasField("ranges") else 0


def _write_transform(transform: InputTransform, message: manifest_pb2.Transform) -> None:
    message.SetInParent()
    if transform.resize:
        message.resize_height, message.resize_width = transform.resize
    if transform.crop:
        message.crop_height, message.crop_width = transform.crop
    message.scale.extend(transform.scale)
    message.mean_value.extend(transform.mean_values)
    if transform.channel_order:
        message.channel_order = _ORDERS[transform.channel_order]


def parse_manifest(data: bytes) -> manifest_pb2.Manifest:
    """Parse and check the manifest message.

    Raises
    ------
    BadManifest, UnknownFeature
    """
    try:
        manifest = manifest_pb2.Manifest.FromString(data)
    except (DecodeError, UnicodeDecodeError) as error:
        raise BadManifest("the manifest is not a valid message") from error
    for feature in manifest.required:
        if feature not in KNOWN_FEATURES:
            raise UnknownFeature(
                f"the file needs the feature `{feature}`, which this reader does not know",
                hint="a newer release of cmodel may read it",
            )
    layers = manifest.network.layer
    if any(layer.blobs for layer in layers) or manifest.network.layers:
        raise BadManifest("the network in the manifest carries weights or layers of an old format")
    if len(layers) > MAX_LAYERS:
        raise LimitMemory(f"the network has {len(layers)} layers, at most {MAX_LAYERS} are allowed")
    if not is_text(manifest):
        raise BadManifest("a string of the manifest is not UTF-8")
    for entry in manifest.unknown:
        if entry.layer > len(layers):
            raise BadManifest(f"an unknown field of layer {entry.layer} of {len(layers)}")
    _check_ranges(manifest.ranges, len(layers))
    return manifest


def _check_ranges(ranges: manifest_pb2.Ranges, layers: int) -> None:
    if not len(ranges.layer) == len(ranges.low) == len(ranges.high):
        raise BadManifest(
            f"ranges of {len(ranges.layer)} layers have {len(ranges.low)} lower and "
            f"{len(ranges.high)} upper ends"
        )
    before = -1
    for index, low, high in zip(ranges.layer, ranges.low, ranges.high, strict=True):
        if not before < index < layers:
            raise BadManifest(f"a range of layer {index} of {layers}, after that of {before}")
        # Not a NaN either.
        if not (-math.inf < low <= 0 <= high < math.inf):
            raise BadManifest(f"the range of layer {index} is {low:g} to {high:g}")
        before = index


def keys_of(network: caffe_pb2.NetParameter) -> list[str]:
    """Return the unique key of each layer of the network."""
    return layer_keys(layer.name for layer in network.layer)


def layer_parameters(
    network: caffe_pb2.NetParameter, places: Sequence[Place | None]
) -> list[list[str]]:
    """Return for each layer the names of its tensors; shared ones have their owner's name."""
    keys = keys_of(network)
    stored: list[dict[int, str]] = [{} for _ in keys]
    for place in places:
        if place is not None:
            stored[place[0]][place[1]] = f"{keys[place[0]]}/{place[1]}"
    owners: dict[str, str] = {}
    result = []
    for index, layer in enumerate(network.layer):
        own = stored[index]
        for blob, spec in enumerate(layer.param):
            if not spec.name:
                continue
            if blob in own:
                owners.setdefault(spec.name, own[blob])
            elif spec.name in owners:
                own[blob] = owners[spec.name]
        if sorted(own) != list(range(len(own))):
            raise BadManifest(f"the blobs of layer `{keys[index]}` have gaps")
        result.append([own[blob] for blob in range(len(own))])
    return result


def read_transform(manifest: manifest_pb2.Manifest, mean: Form | None) -> InputTransform | None:
    """Return the input transform, with the mean image where there is one."""
    if not manifest.HasField("transform") and mean is None:
        return None
    message = manifest.transform
    if not all(math.isfinite(value) for value in (*message.scale, *message.mean_value)):
        raise BadManifest("a scale or mean value of the input transform is not finite")
    try:
        return InputTransform(
            resize=_pair(message.resize_height, message.resize_width),
            crop=_pair(message.crop_height, message.crop_width),
            scale=tuple(message.scale),
            mean_values=tuple(message.mean_value),
            mean_form=mean,
            channel_order=_ORDER_NAMES[message.channel_order],
        )
    except (KeyError, ValueError) as error:
        raise BadManifest(f"the input transform is not valid: {error}") from error


def _pair(height: int, width: int) -> tuple[int, int] | None:
    if bool(height) != bool(width):
        raise ValueError("a size has one of its two numbers")
    return (height, width) if height else None


def read_net(
    manifest: manifest_pb2.Manifest, places: Sequence[Place | None], parameters: Parameters
) -> Net:
    """Return the net that the manifest describes; `places` of its tensors, in their order."""
    keys = keys_of(manifest.network)
    header = caffe_pb2.NetParameter()
    header.CopyFrom(manifest.network)
    header.ClearField("layer")
    unknown: list[list[UnknownField]] = [[] for _ in range(len(keys) + 1)]
    for entry in manifest.unknown:
        field = UnknownField(entry.path, text=entry.text, wire=entry.wire)
        unknown[entry.layer].append(field)
    names = layer_parameters(manifest.network, places)
    bounds = zip(manifest.ranges.low, manifest.ranges.high, strict=True)
    ranges = dict(zip(manifest.ranges.layer, bounds, strict=True))
    layers = [
        Layer(param, key, names[index], tuple(unknown[index + 1]), ranges.get(index))
        for index, (key, param) in enumerate(zip(keys, manifest.network.layer, strict=True))
    ]
    return Net(header, layers, parameters, tuple(unknown[0]))
