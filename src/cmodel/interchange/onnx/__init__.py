"""ONNX, both ways. Needs the extra `onnx`; only `detect` does without."""
