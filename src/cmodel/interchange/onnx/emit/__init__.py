"""ONNX nodes for Caffe's layers: one file for each family, one line for each type in `registry`."""
