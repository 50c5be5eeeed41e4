"""The operations: one file for each Caffe layer type, one line each in `registry`."""
