"""Caffe's files: prototxt, caffemodel and binaryproto, to and from a Net."""
