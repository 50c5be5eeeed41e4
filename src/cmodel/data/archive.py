"""A zip of images with a list.txt, read member by member, never unpacked to disk."""

from __future__ import annotations

import posixpath
import zipfile
from pathlib import Path

from cmodel.data.arrays import ZIP_ERRORS
from cmodel.data.images import LIST_NAME, decode_image
from cmodel.data.labels import parse_list
from cmodel.data.source import MAX_IMAGE_BYTES, IntArray, Items, Source, decode_text
from cmodel.errors import DataError, LimitError

_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")


class ZipSource(Source):
    """Images in a zip file, which stays open; paths in its list are relative to the list."""

    def __init__(
        self, path: Path, archive: zipfile.ZipFile, *, own_labels: bool, gray: bool = False
    ) -> None:
        self._archive = archive
        list_name = _find_list(archive, path)
        where = f"{path}, {list_name}"
        listing = parse_list(decode_text(_read_member(archive, list_name, path), where), where)
        folder = posixpath.dirname(list_name)
        members = [posixpath.normpath(posixpath.join(folder, entry)) for entry in listing.paths]
        known = set(archive.namelist())
        for number, member in zip(listing.lines, members, strict=True):
            if member not in known:
                raise DataError(f"the zip has no file {member!r}", where=f"{where}:{number}")
        super().__init__(path, listing.paths, gray=gray)
        self._members = members
        if own_labels and listing.labels is not None:
            self.set_labels(listing.labels, where)

    def close(self) -> None:
        """Close the zip file."""
        self._archive.close()

    def _read(self, indices: IntArray) -> Items:
        members = (self._members[i] for i in indices)
        return [
            decode_image(_read_member(self._archive, member, self.path), f"{self.path}, {member}")
            for member in members
        ]


def is_zip(head: bytes) -> bool:
    """Whether a file that starts so is a zip."""
    return head.startswith(_MAGICS)


def open_zip(path: Path, *, own_labels: bool, gray: bool) -> Source:
    """Open a zip with a list.txt inside."""
    try:
        archive = zipfile.ZipFile(path)
    except ZIP_ERRORS as error:
        raise DataError(f"the zip file is damaged: {error}", where=str(path)) from error
    try:
        return ZipSource(path, archive, own_labels=own_labels, gray=gray)
    except BaseException:
        archive.close()
        raise


def _find_list(archive: zipfile.ZipFile, path: Path) -> str:
    """Return the list nearest to the top."""
    lists = [name for name in archive.namelist() if posixpath.basename(name) == LIST_NAME]
    top = min((name.count("/") for name in lists), default=0)
    lists = [name for name in lists if name.count("/") == top]
    if not lists:
        raise DataError(
            f"the zip holds no {LIST_NAME}",
            where=str(path),
            hint="a list has a line `path label` for each image, the path relative to the list",
        )
    if len(lists) > 1:
        raise DataError(f"the zip holds several lists: {', '.join(lists[:4])}", where=str(path))
    return lists[0]


def _read_member(archive: zipfile.ZipFile, member: str, path: Path) -> bytes:
    """Return a member's bytes; zipfile reads no more of them than the checked size."""
    where = f"{path}, {member}"
    info = archive.getinfo(member)
    if info.file_size > MAX_IMAGE_BYTES:
        raise LimitError(
            f"the file unpacks to {info.file_size} bytes; {MAX_IMAGE_BYTES} is the limit",
            where=where,
        )
    try:
        data = archive.read(info)
    except ZIP_ERRORS as error:
        raise DataError(f"the zip file is damaged here: {error}", where=where) from error
    if len(data) != info.file_size:
        raise DataError(
            f"the zip states {info.file_size} bytes, {len(data)} are there", where=where
        )
    return data
