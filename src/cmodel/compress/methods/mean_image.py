"""The mean image of the input transform, coded in as few bytes as leave the outputs unchanged."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cmodel.compress.mean_image import choose_mean
from cmodel.compress.options import check_number
from cmodel.compress.registry import IMAGES, RewriteTask, Rewritten, rewrite
from cmodel.compress.statistics import digest_of
from cmodel.container import MEAN_IMAGE_NAME


@dataclass(frozen=True)
class Options:
    """tolerance : most mean KL between the outputs with the exact mean and with the coded, nats."""

    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        check_number("tolerance", self.tolerance, 0, 1e6)


@rewrite("mean.image", Options, needs=IMAGES)
def mean_image(task: RewriteTask[Options]) -> Rewritten:
    """Code the mean image; a net without one stays as it is. What is selected does not matter."""
    net = task.net
    transform = net.transform
    if transform is None or transform.mean_image is None:
        return Rewritten(net)
    tolerance = min(options.tolerance for options in task.options.values())
    # Judged on the net as it was: how the weights are compressed does not sway the choice.
    key = (transform.mean_image.tobytes(), transform.scale, tolerance)
    choice = task.images.remembered(
        ("mean image", digest_of(task.original), *key),
        4 * transform.mean_image.size,
        lambda: choose_mean(task.original, task.images, tolerance=tolerance, threads=task.threads),
    )
    net.transform = replace(transform, mean_image=choice.form.to_dense(), mean_form=choice.form)
    facts = {"bytes": choice.size, "kl": choice.kl, "tried": choice.tried}
    return Rewritten(net, {MEAN_IMAGE_NAME: facts})
