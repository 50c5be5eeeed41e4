"""Codecs: integer arrays to bytes and back, lossless and the same on every machine."""

from cmodel.codecs import bitpack, huffman, relindex
from cmodel.codecs.streams import CODERS, Encoded, decode_ints, encode_ints

__all__ = ["CODERS", "Encoded", "bitpack", "decode_ints", "encode_ints", "huffman", "relindex"]
