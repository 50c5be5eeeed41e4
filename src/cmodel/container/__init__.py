"""The `.cmodel` container; spec/cmodel-format.md is its law."""

from cmodel.container.directory import MEAN_IMAGE_NAME, StoredTensor
from cmodel.container.layout import SIGNATURE
from cmodel.container.levels import DEFAULT_LEVEL, LEVELS
from cmodel.container.reader import MAX_MEMORY, Container, read
from cmodel.container.store import stored, write
from cmodel.container.verify import Damage, Verification, verify
from cmodel.container.writer import NoteDetail, size_of_form, write_to

__all__ = [
    "DEFAULT_LEVEL",
    "LEVELS",
    "MAX_MEMORY",
    "MEAN_IMAGE_NAME",
    "SIGNATURE",
    "Container",
    "Damage",
    "NoteDetail",
    "StoredTensor",
    "Verification",
    "read",
    "size_of_form",
    "stored",
    "verify",
    "write",
    "write_to",
]
