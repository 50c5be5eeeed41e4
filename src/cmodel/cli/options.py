"""Options that several commands share, and what they mean."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cmodel.cli.terminal import Terminal
from cmodel.errors import UsageError

if TYPE_CHECKING:
    from cmodel.data import DataLayer, Source
    from cmodel.net import InputTransform, Net

_TRANSFORM_OPTIONS = (
    "resize",
    "crop",
    "scale",
    "mean_value",
    "mean_file",
    "channel_order",
    "gray",
    "transform_from",
)


DEFAULT_BATCH = 50


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command has."""
    group = parser.add_argument_group("common options")
    group.add_argument("--json", action="store_true", help="print one JSON document")
    group.add_argument("-q", "--quiet", action="count", default=0, help="no warnings, no progress")
    group.add_argument("-v", "--verbose", action="count", default=0, help="tell more")
    group.add_argument("--no-progress", action="store_true", help="no progress bar")
    group.add_argument(
        "--threads", type=positive, metavar="N", help="threads (default: all cores it may use)"
    )
    group.add_argument("--seed", type=natural, default=0, help="of every random choice (default 0)")
    group.add_argument(
        "--max-memory",
        type=byte_size,
        default=byte_size("4GiB"),
        metavar="SIZE",
        help="most bytes that a container or HDF5 weights may decode to (default 4GiB)",
    )


def positive(text: str) -> int:
    """Parse a positive integer."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def natural(text: str) -> int:
    """Parse an integer from 0 on."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def more_than_none(text: str) -> float:
    """Parse a positive number."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def more_than_one(text: str) -> float:
    """Parse a number above 1."""
    value = more_than_none(text)
    if value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not more than 1")
    return value


def byte_size(text: str) -> int:
    """Parse a size such as 300KB, 1.5MB, 4GiB or plain bytes."""
    units = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "B": 1}
    unit = next((unit for unit in units if text.endswith(unit)), "")
    try:
        value = int(float(text.removesuffix(unit)) * units.get(unit, 1))
    except (ValueError, OverflowError):
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 300KB or 4GiB")
    return value


def numbers(text: str) -> tuple[float, ...]:
    """Parse one number, or several separated by commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number or a list such as 104,117,123"
        ) from error


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add MODEL and what is needed to load it."""
    parser.add_argument(
        "model", metavar="MODEL", help="a .cmodel, an ONNX model, or a prototxt with --weights"
    )
    parser.add_argument(
        "--weights", metavar="W", help="the weights of a prototxt: caffemodel, HDF5 or .net"
    )
    add_state_options(parser)


def add_math_option(parser: argparse._ActionsContainer) -> None:
    """Add the choice between exact and faster kernels."""
    parser.add_argument(
        "--math",
        choices=["exact", "fast", "int8"],
        default="exact",
        help="fast allows algorithms with larger rounding errors, up to 1e-4; int8 computes with "
        "8-bit integers in the layers that are calibrated for it (default: exact)",
    )


def add_state_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of how a prototxt and its weights are read."""
    group = parser.add_argument_group("reading a prototxt")
    group.add_argument("--phase", choices=["TEST", "TRAIN"], default="TEST", type=str.upper)
    group.add_argument("--stage", action="append", default=[], help="a stage of the net state")
    group.add_argument("--net-level", type=int, default=0, help="the level of the net state")
    group.add_argument(
        "--strict",
        action="store_true",
        help="an error where weights are missing or left over, or names are unknown",
    )
    group.add_argument(
        "--allow-unknown",
        action="store_true",
        help="no warning about fields and layer types that are not Caffe's",
    )


def add_transform_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of how an image becomes the input."""
    group = parser.add_argument_group(
        "input transform",
        "(x - mean) * scale after resize and centre crop; stated options override the model's",
    )
    group.add_argument("--resize", metavar="N|HxW")
    group.add_argument("--crop", metavar="N|HxW")
    group.add_argument("--scale", type=numbers, default=(), metavar="S[,S,S]")
    group.add_argument(
        "--mean-value",
        type=numbers,
        default=(),
        metavar="V[,V,V]",
        help="in the order of the channels as fed",
    )
    group.add_argument("--mean-file", type=Path, metavar="F", help="mean.binaryproto or .npy")
    group.add_argument("--channel-order", choices=["bgr", "rgb"], help="default bgr, as Caffe")
    group.add_argument("--gray", action="store_true", help="feed images as gray")
    group.add_argument(
        "--transform-from", metavar="P", help="a train_val.prototxt whose TEST data layer states it"
    )


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name images and labels."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data",
        metavar="SOURCE",
        help="IDX (.gz), .npz, .npy, image, folder, list file, zip with list.txt, LMDB, HDF5 "
        "(default: what the TEST data layer names)",
    )
    group.add_argument("--labels", metavar="L", help="labels where they do not lie beside the data")
    group.add_argument("--root", metavar="DIR", help="folder that the paths of a list start from")
    group.add_argument("--limit", type=positive, metavar="N", help="a seeded sample of N images")
    group.add_argument(
        "--batch",
        type=positive,
        metavar="N",
        help="default: as the data layer says, or a moderate one",
    )


def add_calibration_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name images to calibrate on."""
    group = parser.add_argument_group("calibration")
    group.add_argument(
        "--calib", metavar="SOURCE", help="images for methods that need some; never those of --data"
    )
    group.add_argument(
        "--calib-images", type=positive, default=1000, metavar="N", help="of them (default 1000)"
    )


def add_executor_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice of where the work is done; `open_executor` takes its value."""
    parser.add_argument(
        "--executor",
        default="local",
        metavar="local|dask://HOST:PORT",
        help="where the work is done: here, or on the workers of a dask scheduler (extra `dask`), "
        "with --threads for each piece, 1 if not given (default: local)",
    )


def load_model(
    args: argparse.Namespace, terminal: Terminal, *, require_weights: bool = True
) -> Net:
    """Load the net that the arguments name, warnings to the terminal."""
    from cmodel.api import load

    return load(
        args.model,
        args.weights,
        phase=args.phase,
        stages=tuple(args.stage),
        level=args.net_level,
        strict=args.strict,
        allow_unknown=args.allow_unknown,
        require_weights=require_weights,
        max_memory=args.max_memory,
        on_warning=terminal.warn,
    )


def refuse_transform(args: argparse.Namespace, source: Source) -> None:
    """Refuse transform options where the source holds arrays as they are fed.

    Raises
    ------
    UsageError
    """
    stated = [
        f"--{name.replace('_', '-')}"
        for name in _TRANSFORM_OPTIONS
        if getattr(args, name) not in (None, (), False)
    ]
    if source.as_fed and stated:
        raise UsageError(
            f"{', '.join(stated)}: `{source.path}` holds arrays, which are fed as they are"
        )
    order = [option for option in stated if option in ("--channel-order", "--gray")]
    if source.planes and order:
        raise UsageError(
            f"{order[0]}: `{source.path}` holds planes, which are fed in the order they stand in"
        )


def transform_of(args: argparse.Namespace, net: Net) -> InputTransform:
    """Return the transform: the model's, overridden by the options, field by field."""
    from cmodel.caffe import load_mean, load_net
    from cmodel.data import merge, transform_from_options
    from cmodel.net import InputTransform

    # A mean file that an option overrides may be missing.
    with_mean = args.mean_file is None and not args.mean_value
    other = InputTransform()
    if args.transform_from:
        named = load_net(args.transform_from, phase=args.phase, require_weights=False)
        layer = data_layer(named, args.transform_from, with_mean=with_mean)
        if layer is None:
            raise UsageError(f"`{args.transform_from}` has no data layer in phase {args.phase}")
        other = layer.transform
        with_mean &= not other.mean_values and other.mean_image is None
    base = net.transform
    if base is None:
        layer = data_layer(net, args.model, with_mean=with_mean)
        base = layer.transform if layer is not None else InputTransform()
    stated = transform_from_options(
        resize=args.resize,
        crop=args.crop,
        scale=args.scale,
        mean_value=args.mean_value,
        mean_file=args.mean_file,
        channel_order=args.channel_order,
        gray=args.gray,
        load_mean=load_mean,
    )
    return merge(merge(base, other), stated)


def data_layer(net: Net, path: str, *, with_mean: bool = False) -> DataLayer | None:
    """Return what the net's data layer says, its mean file if asked for; None where it has none."""
    from cmodel.caffe import load_mean
    from cmodel.data import transform_from_layer
    from cmodel.net import INPUT_TYPES

    for layer in net.layers:
        if layer.type in INPUT_TYPES - {"Input"}:
            return transform_from_layer(
                layer.param, Path(path).parent, load_mean=load_mean, with_mean=with_mean
            )
    return None


def source_of(args: argparse.Namespace, net: Net) -> Source:
    """Open the data source that the arguments name, or else the net's own data layer."""
    from cmodel.data import open_layer, open_source

    if args.data is not None:
        return open_source(args.data, labels=args.labels, root=args.root)
    layer = data_layer(net, args.model)
    if layer is None:
        raise UsageError("the net names no images of its own", hint="name them with --data SOURCE")
    return open_layer(layer, labels=args.labels, root=args.root)


def batch_of(args: argparse.Namespace, net: Net, default: int = DEFAULT_BATCH) -> int:
    """Return the batch size: the one stated, or the data layer's, or the default."""
    if args.batch is not None:
        return int(args.batch)
    layer = data_layer(net, args.model)
    return layer.batch_size if layer is not None and layer.batch_size else default


def one_blob(names: Sequence[str], wanted: str | None, what: str, option: str) -> str:
    """Return the blob to use: the one wanted, or the only one there is.

    Raises
    ------
    UsageError
    """
    if wanted is not None:
        if wanted not in names:
            raise UsageError(f"`{wanted}` is no {what}", notes=[f"{what}s: {', '.join(names)}"])
        return wanted
    if len(names) != 1:
        raise UsageError(
            f"the net has {len(names)} {what}s: {', '.join(names)}", hint=f"choose with {option}"
        )
    return names[0]
