"""What measures the answers of a compressed net."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cmodel.compress.tails import Tail, run_tails, tail_of, walk_of
from cmodel.data import FloatArray, Inputs, IntArray
from cmodel.engine import Engine
from cmodel.evaluate import Comparison, compare, moderate_batch, outputs
from cmodel.net import Net

# Variants of a net that run side by side take so much, and each so much beside its weights, about.
_MAX_BYTES = 512 << 20
_TAIL_BYTES = 48 << 20
_PIECES = 4


@dataclass(frozen=True, eq=False)
class Judge:
    """What measures the answers: images that are used for nothing else, and the original's scores.

    images : float32 (N, C, H, W) as they are fed, or Inputs.
    labels : int64 (N,), or None.
    reference : the original's scores (N, classes).
    batch : images of an array that are run at a time.
    """

    images: FloatArray | Inputs
    labels: IntArray | None
    input_blob: str
    output_blob: str
    reference: FloatArray
    batch: int = 50

    @classmethod
    def of(
        cls,
        net: Net,
        images: FloatArray | Inputs,
        labels: IntArray | None,
        input_blob: str,
        output_blob: str,
    ) -> Judge:
        """Run the original over the images."""
        shape = None if isinstance(images, Inputs) else images.shape
        batch = moderate_batch(net, input_blob, shape)
        scores = outputs(
            Engine(net), images, input_blob=input_blob, output_blob=output_blob, batch=batch
        )
        return cls(images, labels, input_blob, output_blob, scores, batch)

    def first(self, count: int) -> Judge:
        """Return a judge of the first `count` images."""
        images = (
            replace(self.images, indices=self.images.indices[:count])
            if isinstance(self.images, Inputs)
            else self.images[:count]
        )
        labels = None if self.labels is None else self.labels[:count]
        return replace(self, images=images, labels=labels, reference=self.reference[:count])

    def __call__(self, net: Net) -> Comparison:
        """Compare a net with the original."""
        scores = outputs(
            Engine(net),
            self.images,
            input_blob=self.input_blob,
            output_blob=self.output_blob,
            batch=self.batch,
        )
        return compare(self.reference, scores, self.labels)

    def variants(self, net: Net, variants: Sequence[Net]) -> list[float]:
        """Return the mean KL of nets that differ from `net` in few parameters, in nats.

        What is the same in all of them up to some layer is run once.
        """
        whole = walk_of(net)
        found = []
        group: list[Tail] = []
        taken = 0
        for i, variant in enumerate(variants):
            tail = tail_of(whole, variant, self.output_blob)
            group.append(tail)
            taken += _TAIL_BYTES + tail.weight_bytes
            if taken >= _MAX_BYTES or i + 1 == len(variants):
                runs = run_tails(whole, group, self.input_blob, self._pieces())
                found += [compare(self.reference, scores).kl for scores in runs]
                group, taken = [], 0
        return found

    def _pieces(self) -> Iterator[FloatArray]:
        """Yield fewer images at a time than for one net: the buffers of many lie side by side."""
        size = max(self.batch // _PIECES, 1)
        for given in self.images if isinstance(self.images, Inputs) else [self.images]:
            for start in range(0, len(given), size):
                yield given[start : start + size]
