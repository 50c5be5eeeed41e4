"""Whether what is stored beside a net fits it: its input transform and its labels."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from cmodel.errors import UsageError

if TYPE_CHECKING:
    from cmodel.net import Net


def check_fit(net: Net) -> None:
    """Check transform and labels of a net against its input's channels and its outputs.

    What the net does not tell is not checked.

    Raises
    ------
    UsageError
    """
    _check_transform(net)
    _check_labels(net)


def _check_transform(net: Net) -> None:
    from cmodel.net import image_inputs

    inputs = image_inputs(net)
    shape = net.inputs[inputs[0]] if len(inputs) == 1 else None
    transform = net.transform
    if transform is None or shape is None or len(shape) != 4:
        return
    channels = shape[1]
    for what, values in (("scale", transform.scale), ("mean values", transform.mean_values)):
        if len(values) not in (0, 1, channels):
            raise UsageError(
                f"the {what} of the input transform are {len(values)} numbers, the input "
                f"`{inputs[0]}` has {channels} channels",
                hint=f"give one number, or {channels}",
            )
    mean = transform.mean_image
    if mean is not None and mean.shape[0] != channels:
        raise UsageError(
            f"the mean image has {mean.shape[0]} channels, the input `{inputs[0]}` has {channels}"
        )


def _check_labels(net: Net) -> None:
    from cmodel.net import infer_shapes, score_blobs

    outputs = score_blobs(net)
    if not net.labels or len(outputs) != 1:
        return
    shape = infer_shapes(net).blobs.get(outputs[0])
    # One score for each class; maps and detections have labels of their own meaning.
    if shape is None or len(shape) < 2 or prod(shape[2:]) != 1:
        return
    if len(net.labels) != shape[1]:
        raise UsageError(
            f"there are {len(net.labels)} class names, the output `{outputs[0]}` has {shape[1]} "
            "classes",
            hint="give one name for each class, in the order of the outputs, one a line",
        )
