"""Caffe's layers for ONNX nodes: one file for each family, one line for each in `registry`."""
