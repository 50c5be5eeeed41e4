"""Checks a container completely: every section and every decoded tensor."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cmodel.container.reader import MAX_MEMORY, Container
from cmodel.errors import CmodelError


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong, and the tensors that do not decode right because of it."""

    what: str
    error: CmodelError
    tensors: tuple[str, ...]


@dataclass(frozen=True)
class Verification:
    """Result of `verify`: what was checked and what is damaged."""

    sections: int
    tensors: int
    damages: tuple[Damage, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damages


def verify(
    path: str | os.PathLike[str], *, max_memory: int = MAX_MEMORY, threads: int | None = None
) -> Verification:
    """Check every CRC-32 and decode every tensor of a container.

    A file that cannot even be opened (header or manifest damaged) raises what `Container` raises;
    all other damage is collected.
    """
    container = Container(path, max_memory=max_memory, threads=threads, salvage=True)
    damages = []
    wrong: dict[int, list[str]] = {}
    errors: dict[str, CmodelError] = {}
    for tensor in container.tensors:
        try:
            container.check_tensor(tensor.name)
        except CmodelError as error:
            errors[tensor.name] = error
            wrong.setdefault(tensor.section, []).append(tensor.name)
    for index, section in enumerate(container.sections):
        touched = wrong.get(index, [])
        try:
            container.check_section(index)
        except CmodelError as error:
            damages.append(Damage(f"section {index} ({section.name})", error, tuple(touched)))
        else:
            damages += [Damage(f"tensor `{name}`", errors[name], (name,)) for name in touched]
    for what, read in (("labels", container.labels), ("notes", container.notes)):
        if not any(damage.what.endswith(f"({what})") for damage in damages):
            try:
                read()
            except CmodelError as error:
                damages.append(Damage(what, error, ()))
    return Verification(len(container.sections), len(container.tensors), tuple(damages))
