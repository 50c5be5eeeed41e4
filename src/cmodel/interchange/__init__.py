"""Other files than ours: a Net as caffemodel, npz, safetensors or ONNX, and ONNX as a Net."""

from cmodel.interchange.export import FORMATS, export, format_of

__all__ = ["FORMATS", "export", "format_of"]
