"""Shape inference: the sizes of all blobs and parameters, from the layers alone."""

from cmodel.net.shapes.infer import Shapes, infer_shapes

__all__ = ["Shapes", "infer_shapes"]
