"""Codecs: integer arrays to bytes and back, lossless and the same on every machine."""

from cmodel.codecs import bitpack, context, huffman, mask, planes, rans, relindex, split
from cmodel.codecs.streams import (
    CODERS,
    WORD_CODERS,
    Encoded,
    decode_ints,
    decode_words,
    encode_ints,
    encode_words,
)

__all__ = [
    "CODERS",
    "WORD_CODERS",
    "Encoded",
    "bitpack",
    "context",
    "decode_ints",
    "decode_words",
    "encode_ints",
    "encode_words",
    "huffman",
    "mask",
    "planes",
    "rans",
    "relindex",
    "split",
]
