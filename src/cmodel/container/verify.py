"""Checks a container completely: every section and every decoded tensor."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cmodel.container.reader import MAX_MEMORY, Container
from cmodel.errors import CmodelError


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong, and the tensors that it touches."""

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
    container = Container(path, max_memory=max_memory, threads=threads)
    damages = []
    bad_sections = set()
    for index, section in enumerate(container.sections):
        try:
            container.check_section(index)
        except CmodelError as error:
            bad_sections.add(index)
            touched = tuple(t.name for t in container.tensors if t.section == index)
            damages.append(Damage(f"section {index} ({section.name})", error, touched))
    for tensor in container.tensors:
        if tensor.section in bad_sections:
            continue
        try:
            container.check_tensor(tensor.name)
        except CmodelError as error:
            damages.append(Damage(f"tensor `{tensor.name}`", error, (tensor.name,)))
    for what, read in (("labels", container.labels), ("notes", container.notes)):
        if not any(damage.what.endswith(f"({what})") for damage in damages):
            try:
                read()
            except CmodelError as error:
                damages.append(Damage(what, error, ()))
    return Verification(len(container.sections), len(container.tensors), tuple(damages))
