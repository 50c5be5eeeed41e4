"""The `.cmodel` container; spec/cmodel-format.md is its law."""

from cmodel.container.layout import SIGNATURE
from cmodel.container.reader import MAX_MEMORY, Container, StoredTensor, read
from cmodel.container.store import stored, write
from cmodel.container.verify import Damage, Verification, verify
from cmodel.container.writer import FileLayout, TensorLayout, write_to

__all__ = [
    "MAX_MEMORY",
    "SIGNATURE",
    "Container",
    "Damage",
    "FileLayout",
    "StoredTensor",
    "TensorLayout",
    "Verification",
    "read",
    "stored",
    "verify",
    "write",
    "write_to",
]
