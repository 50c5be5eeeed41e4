"""Where images go into a net and where its scores come out."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from cmodel.errors import UnsupportedError
from cmodel.net import Net, Shape, image_inputs, infer_shapes, score_blobs, unfolded


@dataclass(frozen=True)
class Heads:
    """Blobs of the unfolded net.

    blob : takes the images. scores : before any softmax. classes : how many scores there are.
    """

    blob: str
    scores: str
    classes: int

    @classmethod
    def of(cls, net: Net) -> Heads:
        """Find them.

        Raises
        ------
        UnsupportedError : the net has several inputs or outputs, or scores places, not images.
        """
        flat = unfolded(net)
        inputs, outputs = image_inputs(flat), score_blobs(flat)
        if len(inputs) != 1 or len(outputs) != 1:
            raise UnsupportedError(
                f"training is for nets of one input and one output of scores, not {len(inputs)} "
                f"and {len(outputs)}",
                notes=[f"inputs: {', '.join(inputs)}", f"outputs: {', '.join(outputs)}"],
            )
        scores = outputs[0]
        for layer in flat.layers:
            if scores in layer.tops and layer.type == "Softmax":
                scores = layer.bottoms[0]
        shape = infer_shapes(flat).blobs.get(scores) or ()
        if len(shape) < 2 or prod(shape[2:]) != 1:
            raise UnsupportedError(
                f"training needs one score for each class; `{scores}` has the shape {shape}"
            )
        return cls(inputs[0], scores, shape[1])

    @staticmethod
    def input_shape(net: Net) -> Shape | None:
        """Return the declared shape of the images."""
        return net.inputs[image_inputs(net)[0]]
