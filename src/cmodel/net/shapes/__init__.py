"""Shape inference: the sizes of all blobs and parameters, from the layers alone."""

from cmodel.net.shapes.infer import DYNAMIC_TYPES, Shapes, infer_shapes

__all__ = ["DYNAMIC_TYPES", "Shapes", "infer_shapes"]
