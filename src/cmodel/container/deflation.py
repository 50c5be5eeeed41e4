"""Deflated sections: raw DEFLATE, with the preset dictionary or without (specification, 2.3)."""

from __future__ import annotations

import zlib
from functools import cache
from importlib.resources import files

from cmodel.container.layout import DEFLATED, PRESET, Section
from cmodel.errors import BadManifest


@cache
def preset_dictionary() -> bytes:
    """Return the dictionary: what manifests and notes of common nets have."""
    return files("cmodel.container").joinpath("dictionary.bin").read_bytes()


def deflate(data: bytes) -> tuple[bytes, int]:
    """Return the shortest way to store a text, and its flags."""
    ways = [(data, 0)]
    for flags, dictionary in ((DEFLATED, b""), (DEFLATED | PRESET, preset_dictionary())):
        compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, dictionary)
        ways.append((compressor.compress(data) + compressor.flush(), flags))
    return min(ways, key=lambda way: len(way[0]))


def inflate(section: Section, stored: memoryview | bytes, where: str) -> bytes:
    """Return the decoded bytes of a section of text, of which its size is within the limit.

    Raises
    ------
    BadManifest : the bytes are no valid stream of exactly the stated size.
    """
    if not section.deflated:
        return bytes(stored)
    inflater = zlib.decompressobj(-15, preset_dictionary() if section.preset else b"")
    try:
        data = inflater.decompress(stored, section.decoded_size + 1)
    except zlib.error as error:
        raise BadManifest("the deflated bytes are not valid", where=where) from error
    if len(data) != section.decoded_size or not inflater.eof or inflater.unused_data:
        raise BadManifest("the deflated bytes are not of the stated size", where=where)
    return data
