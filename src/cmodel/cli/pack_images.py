"""The images that `cmodel pack` is given, shared out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from cmodel.cli.options import batch_of, one_blob, refuse_transform, source_of
from cmodel.errors import UsageError

if TYPE_CHECKING:
    from cmodel.compress import Cache, Calibration, Goal, Judge
    from cmodel.data import FloatArray, Inputs
    from cmodel.evaluate import Comparison
    from cmodel.net import InputTransform, Net

# Most bytes of prepared images that are kept for a search, for calibrating and for judging each.
MAX_HELD = 512 << 20


class PackImages:
    """The images of --data and --calib, shared out; none is used for two purposes."""

    def __init__(
        self, args: argparse.Namespace, net: Net, transform: InputTransform, goal: Goal | None
    ) -> None:
        import numpy as np

        from cmodel.compress import parts_of
        from cmodel.data import Inputs, open_source, sample
        from cmodel.evaluate import moderate_batch
        from cmodel.net import image_inputs, score_blobs

        self.goal = goal
        self.net = net
        self._calibrate: Inputs | None = None
        self._held: dict[int, FloatArray | Inputs] = {}
        self._select: Inputs | None = None
        self._report: Inputs | None = None
        if goal is not None and not (args.data or args.calib):
            raise UsageError(
                "a target needs images",
                hint="name some with --data SOURCE; labels help, but are "
                "not needed for --size, --ratio and --max-kl",
            )
        if not (args.data or args.calib):
            return
        self._input = one_blob(image_inputs(net), None, "input", "--input")
        self._output = one_blob(score_blobs(net), None, "output", "--output")
        shape = net.inputs[self._input]
        batch = batch_of(args, net, moderate_batch(net, self._input))
        if args.calib:
            source = open_source(args.calib)
            chosen = sample(len(source), args.calib_images, args.seed)
            self._calibrate = Inputs(source, chosen, transform, shape, batch)
        if not args.data:
            return
        source = source_of(args, net)
        refuse_transform(args, source)
        self._labels = source.labels
        every = np.arange(len(source), dtype=np.int64)
        if args.limit is not None:
            labels_or_n = len(source) if source.labels is None else source.labels
            every = sample(labels_or_n, args.limit, args.seed)
        if goal is None:
            # A recipe without a target: nothing is decided by these images.
            self._report = Inputs(source, every, transform, shape, batch)
            return
        parts = parts_of(
            len(every) if source.labels is None else source.labels[every],
            goal,
            separate=self._calibrate is not None,
            most=args.calib_images,
            seed=args.seed,
        )
        if self._calibrate is None:
            self._calibrate = Inputs(source, every[parts.calibrate], transform, shape, batch)
        if len(parts.select):
            self._select = Inputs(source, every[parts.select], transform, shape, batch)
        if len(parts.report):
            self._report = Inputs(source, every[parts.report], transform, shape, batch)

    def calibration(self, cache: Cache | None) -> Calibration | None:
        """Return the images to calibrate on, where there are any, with what is known of them."""
        from cmodel.compress import Calibration

        if self._calibrate is None:
            return None
        return Calibration(self.net, self._prepared(self._calibrate), cache)

    def _prepared(self, images: Inputs) -> FloatArray | Inputs:
        """Return images that a search runs again and again: read once, unless they are too many."""
        if id(images) not in self._held:
            self._held[id(images)] = images.held(MAX_HELD)
        return self._held[id(images)]

    def judge(self) -> Judge | None:
        """Return what the search judges by: a size needs no images that were kept apart."""
        from cmodel.compress import Judge

        images = self._calibrate if self._select is None else self._select
        if images is None:
            return None
        labels = images.source.labels
        return Judge.of(
            self.net,
            self._prepared(images),
            None if labels is None else labels[images.indices],
            self._input,
            self._output,
        )

    def report(self, packed: Net, update: Callable[[int, int, str], None]) -> Comparison | None:
        """Compare the file with the original on the images that nothing has seen."""
        from cmodel.engine import Engine
        from cmodel.evaluate import compare, outputs

        images = self._report
        if images is None:
            return None

        def scores(net: Net, what: str) -> FloatArray:
            return outputs(
                Engine(net),
                images,
                input_blob=self._input,
                output_blob=self._output,
                on_progress=lambda done, total: update(done, total, what),
            )

        labels = images.source.labels
        return compare(
            scores(self.net, "before"),
            scores(packed, "after"),
            None if labels is None else labels[images.indices],
        )
