"""Every error that cmodel raises on purpose, with its exit code and its name in the specification.

An error says what is wrong, where, and what to do about it. `str(error)` gives the whole text as
the command prints it (without the leading ``error:``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar


class CmodelError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    message : what is wrong, one line.
    where : the file, line, section or step concerned.
    notes : further lines of facts.
    hint : what to do about it.
    """

    exit_code: ClassVar[int] = 3
    name: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        notes: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.notes = tuple(notes)
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message]
        if self.where:
            lines.append(f"  --> {self.where}")
        lines += [f"  {note}" for note in self.notes]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class CheckFailed(CmodelError):
    """A check did not hold: a verification or an accuracy budget."""

    exit_code = 1
    name = "check-failed"


class UsageError(CmodelError):
    """The call itself is wrong: an option, an argument, a combination."""

    exit_code = 2
    name = "usage"


class RecipeError(UsageError):
    """A recipe does not parse, or asks for what cannot be done."""

    name = "recipe"


class OutputError(UsageError):
    """An output cannot be written, or exists already."""

    name = "output"


class InputError(CmodelError):
    """An input cannot be read or is corrupt."""

    exit_code = 3
    name = "input"


class PrototxtError(InputError):
    """A prototxt does not parse; `where` carries path, line and column."""

    name = "prototxt"


class CaffemodelError(InputError):
    """A caffemodel or binaryproto is not one, or is damaged."""

    name = "caffemodel"


class OnnxError(InputError):
    """An ONNX model that is damaged or contradicts itself."""

    name = "onnx"


class NetError(InputError):
    """A network that does not fit together: blobs, shapes, cycles."""

    name = "net"


class WeightsError(InputError):
    """The weights do not fit the network."""

    name = "weights"


class DataError(InputError):
    """Images, labels or arrays that cannot be read or do not fit."""

    name = "data"


class UnsupportedError(CmodelError):
    """A layer type or feature that cmodel (or this installation) does not have."""

    exit_code = 4
    name = "unsupported"


class MissingExtraError(UnsupportedError):
    """An optional package is needed; the hint names the extra to install."""

    name = "missing-extra"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the optional extra `{extra}`",
            hint=f"pip install 'cmodel-nn[{extra}]'",
        )


class ExecutorError(CmodelError):
    """The workers that were to do the work cannot be reached, or were lost."""

    name = "executor"


class LimitError(CmodelError):
    """A resource limit would be exceeded."""

    exit_code = 5
    name = "limit"


class ContainerError(InputError):
    """A `.cmodel` file is not one or is damaged. Subclasses carry the specification's names."""

    name = "container"


class BadSignature(ContainerError):
    """The first eight bytes are not the signature."""

    name = "bad-signature"


class BadVersion(UnsupportedError):
    """A format version that this reader does not know."""

    name = "bad-version"


class BadHeader(ContainerError):
    """Header or section table break a rule of the specification."""

    name = "bad-header"


class Truncated(ContainerError):
    """The file ends before the size that its header states."""

    name = "truncated"


class TrailingData(ContainerError):
    """Bytes follow the end that the header states."""

    name = "trailing-data"


class ChecksumMismatch(ContainerError):
    """A CRC-32 does not match."""

    name = "checksum"


class BadManifest(ContainerError):
    """The manifest does not parse or contradicts itself."""

    name = "bad-manifest"


class BadStream(ContainerError):
    """A coded stream is not a valid one."""

    name = "bad-stream"


class UnknownFeature(UnsupportedError):
    """A critical section, form or coder that this reader does not know."""

    name = "unknown-feature"


class LimitMemory(LimitError):
    """Decoding would take more memory than allowed."""

    name = "limit-memory"


def error_facts(error: CmodelError) -> dict[str, Any]:
    """Return an error as JSON data."""
    return {
        "name": error.name,
        "message": error.message,
        "where": error.where,
        "notes": list(error.notes),
        "hint": error.hint,
    }


def error_of(facts: Mapping[str, Any]) -> CmodelError:
    """Return the error of `error_facts`; of a name that is not known here, a CmodelError."""
    kinds = [CmodelError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    found = next((kind for kind in kinds if kind.name == facts["name"]), CmodelError)
    error = found.__new__(found)
    # Subclasses may word their message themselves.
    CmodelError.__init__(
        error,
        facts["message"],
        where=facts["where"],
        notes=facts["notes"],
        hint=facts["hint"],
    )
    return error


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like `word`, or None where none is near."""
    matches = get_close_matches(word, list(known), n=1)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return a hint that names the nearest known word, or None."""
    match = nearest(word, known)
    return f"did you mean `{match}`?" if match else None
