"""Finds all entries of an LMDB file (format 1 of 64-bit little-endian machines, as Caffe wrote it).

LMDB's own library follows the pointers in the file without doubt: a cut or damaged database ends
the process. Here every page and length is held against the file before it is used, and nothing is
ever written or locked.

A file is a row of pages. Pages 0 and 1 carry a meta record each, the one of the higher transaction
counts. From its root a tree of branch pages leads to leaf pages, whose nodes are the entries in the
order of their keys; a value that is too long for a leaf stands in a run of overflow pages.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from struct import Struct
from typing import NoReturn

import numpy as np

from cmodel.data.source import IntArray
from cmodel.errors import DataError, LimitError, UnsupportedError

MAGIC = bytes.fromhex("dec0efbe")
MAX_ENTRIES = 1 << 26
# LMDB's own limit, MDB_MAXKEYSIZE as it is built everywhere.
MAX_KEY = 511

_PAGE = Struct("<QHHHH")  # number, pad, flags, lower, upper
_META = Struct("<4sIQQ")  # magic, version, address, map size
_TREE = Struct("<IHHQQQQQ")  # pad (the page size), flags, depth, three counts, entries, root
_NODE = Struct("<HHHH")  # two halves of the size or page, flags, size of the key
_NUMBER = Struct("<Q")
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_BIG, _SUB_TREE, _DUPLICATES = 1, 2, 4
_NOTHING = (1 << 64) - 1
_MAX_DEPTH = 64


@dataclass(frozen=True)
class Entries:
    """The entries in the order of their keys: the keys as text, and where their values stand."""

    keys: list[str]
    starts: IntArray
    sizes: IntArray


def read_entries(buffer: mmap.mmap | bytes, where: str) -> Entries:
    """Find all entries.

    Raises
    ------
    DataError : the database is empty, cut or damaged; names the page.
    UnsupportedError : it has named databases or several values under a key, as no Caffe writes.
    LimitError : it has more than `MAX_ENTRIES`.
    """
    return _Walk(buffer, where).entries()


@dataclass
class _Walk:
    buffer: mmap.mmap | bytes
    where: str
    page_size: int = 4096
    keys: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    count: int = 0
    seen: set[int] = field(default_factory=set)

    def fail(self, what: str, page: int) -> NoReturn:
        raise DataError(
            f"the database is cut or damaged: {what}",
            where=f"{self.where}, page {page}",
            hint="copy it again, or make it again with `convert_imageset`",
        )

    def entries(self) -> Entries:
        _, self.count, root = self.meta()
        if root == _NOTHING or not self.count:
            raise DataError("the database has no entries", where=self.where)
        if self.count > MAX_ENTRIES:
            raise LimitError(
                f"the database has more than {MAX_ENTRIES:,} entries", where=self.where
            )
        self.tree(root, _MAX_DEPTH)
        if len(self.keys) != self.count:
            self.fail(f"it states {self.count:,} entries and holds {len(self.keys):,}", root)
        return Entries(self.keys, np.array(self.starts, np.int64), np.array(self.sizes, np.int64))

    def meta(self) -> tuple[int, int, int]:
        """Return transaction, number of entries and root page of the valid meta record."""
        self.page_size = size = self.one_meta(0)[3]
        # The second one is void where a crash cut its writing short.
        records = [self.one_meta(0)[:3]]
        if self.buffer[size + 16 : size + 20] == MAGIC:
            records.append(self.one_meta(size)[:3])
        return max(records)

    def one_meta(self, at: int) -> tuple[int, int, int, int]:
        page = 1 if at else 0
        if len(self.buffer) < at + 152:
            self.fail("the file ends here", page)
        magic, version, _, _ = _META.unpack_from(self.buffer, at + 16)
        if magic != MAGIC:
            self.fail("it does not start as an LMDB does", page)
        if version != 1:
            raise UnsupportedError(f"LMDB format {version} is not supported", where=self.where)
        size, *_ = _TREE.unpack_from(self.buffer, at + 40)
        _, flags, _, _, _, _, count, root = _TREE.unpack_from(self.buffer, at + 88)
        if not 512 <= size <= 65536 or size & (size - 1):
            self.fail(f"pages cannot have {size} bytes", page)
        if flags:
            raise UnsupportedError(
                "the database is of a kind that Caffe does not write", where=self.where
            )
        return _NUMBER.unpack_from(self.buffer, at + 144)[0], count, root, size

    def page(self, number: int, kind: int) -> int:
        """Return the offset of a page of this kind."""
        at = number * self.page_size
        if at + self.page_size > len(self.buffer):
            self.fail("the file ends before this page", number)
        if number in self.seen:
            self.fail("the page stands in the tree twice", number)
        self.seen.add(number)
        own, _, flags, _, _ = _PAGE.unpack_from(self.buffer, at)
        if own != number or not flags & kind:
            self.fail("the page is not what leads to it says", number)
        return at

    def tree(self, number: int, depth: int) -> None:
        """Collect the entries below a page."""
        if not depth:
            self.fail(f"the tree is deeper than {_MAX_DEPTH}", number)
        start = self.page(number, _BRANCH | _LEAF)
        page = self.buffer[start : start + self.page_size]
        _, _, flags, lower, upper = _PAGE.unpack_from(page)
        if not 16 <= lower <= upper <= self.page_size or lower % 2:
            self.fail("its header is impossible", number)
        nodes = np.frombuffer(page, "<u2", (lower - 16) // 2, 16).tolist()
        # Nodes that overlap could make much of a small file.
        room = self.page_size - upper
        for node in nodes:
            if not upper <= node <= self.page_size - 8:
                self.fail("an entry lies outside its part of the page", number)
            low, high, node_flags, key_size = _NODE.unpack_from(page, node)
            if key_size > MAX_KEY:
                self.fail(f"a key has {key_size:,} bytes, LMDB's have up to {MAX_KEY}", number)
            room -= 8 + key_size
            if room < 0:
                self.fail("its entries lie over each other", number)
            if not flags & _LEAF:
                self.tree(low | high << 16 | node_flags << 32, depth - 1)
                continue
            if node_flags & (_SUB_TREE | _DUPLICATES):
                raise UnsupportedError(
                    "the database is of a kind that Caffe does not write", where=self.where
                )
            self.leaf(page, number, node, key_size, low | high << 16, bool(node_flags & _BIG))

    def leaf(
        self, page: bytes, number: int, node: int, key_size: int, size: int, big: bool
    ) -> None:
        """Note one entry."""
        if len(self.keys) == self.count:
            self.fail(f"it states {self.count:,} entries and holds more", number)
        value = node + 8 + key_size
        if value + (8 if big else size) > self.page_size:
            self.fail("an entry is longer than the page", number)
        start = number * self.page_size + value
        if big:
            first = _NUMBER.unpack_from(page, value)[0]
            start = self.page(first, _OVERFLOW) + 16
            if start + size > len(self.buffer):
                self.fail("the file ends inside a value", first)
        self.keys.append(page[node + 8 : value].decode(errors="backslashreplace"))
        self.starts.append(start)
        self.sizes.append(size)
