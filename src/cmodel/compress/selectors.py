"""Selectors: which parameters a step works on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from cmodel.errors import RecipeError, did_you_mean
from cmodel.net import Layer, Net

KINDS = ("weights", "biases", "all")

# Layers whose blob 0 is a matrix or a bank of filters, the forks' types of published nets included.
WEIGHT_TYPES = frozenset(
    {
        "CConvolution",
        "CInnerProduct",
        "Convolution",
        "ConvolutionDepthwise",
        "Deconvolution",
        "DepthwiseConvolution",
        "Embed",
        "InnerProduct",
    }
)


@dataclass(frozen=True)
class Target:
    """One parameter with the layer that owns it."""

    layer: Layer
    blob: int
    name: str


@dataclass(frozen=True)
class Selector:
    """Chooses parameters by layer name (globs), layer type, kind and size.

    Everything that is stated must hold; nothing stated selects the weights of all layers that have
    any. `exclude` takes layer names (globs) out again.
    """

    name: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    kind: str = "weights"
    min_size: int = 1

    @classmethod
    def from_recipe(cls, values: Mapping[str, Any], where: str) -> Selector:
        """Build a selector from the `select` table of a recipe step."""
        known = ("name", "type", "exclude", "kind", "min_size")
        made: dict[str, Any] = {}
        for key, value in values.items():
            if key not in known:
                raise RecipeError(
                    f"select has no key `{key}`",
                    where=where,
                    notes=[f"its keys: {', '.join(known)}"],
                    hint=did_you_mean(key, known),
                )
            if key in ("name", "type", "exclude"):
                made[key] = _strings(key, value, where)
            elif key == "kind":
                if value not in KINDS:
                    raise RecipeError(
                        f"select.kind is one of {', '.join(KINDS)}, not {value!r}", where=where
                    )
                made[key] = value
            else:
                if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                    raise RecipeError("select.min_size is a positive integer", where=where)
                made[key] = value
        return cls(**made)

    def matches(self, target: Target, size: int) -> bool:
        """Whether the parameter, of `size` elements, is selected."""
        key = target.layer.key
        return (
            (self.kind == "all" or (self.kind == "weights") == is_weight(target))
            and (not self.name or matches_any(key, self.name))
            and (not self.type or target.layer.type in self.type)
            and not matches_any(key, self.exclude)
            and size >= self.min_size
        )


def targets_of(net: Net) -> Iterator[Target]:
    """Yield every parameter once, with its owner."""
    done: set[str] = set()
    for layer in net.layers:
        for blob, name in enumerate(layer.parameters):
            if name not in done:
                done.add(name)
                yield Target(layer, blob, name)


def is_weight(target: Target) -> bool:
    """Whether a parameter is a weight matrix or filter bank, and not a bias or statistic."""
    return target.blob == 0 and target.layer.type in WEIGHT_TYPES


def matches_any(name: str, patterns: Sequence[str]) -> bool:
    """Whether `name` matches one of the globs."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _strings(key: str, value: Any, where: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, str) for item in values):
        raise RecipeError(f"select.{key} is a name or a list of names", where=where)
    return tuple(values)
