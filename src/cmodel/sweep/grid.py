"""Grid files: nets, methods with lists of option values, and what to judge them on."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cmodel.compress import Recipe, load_preset, recipe_of
from cmodel.compress.recipe import read_toml
from cmodel.errors import RecipeError, did_you_mean

MAX_SETTINGS = 100_000
TRANSFORM_KEYS = (
    "resize",
    "crop",
    "scale",
    "mean_value",
    "mean_file",
    "channel_order",
    "gray",
    "transform_from",
)
_PATHS = ("prototxt", "weights", "data", "labels", "root", "mean_file", "transform_from")
DEFAULT_IMAGES = 500


@dataclass(frozen=True)
class Calibration:
    """Images for methods that look at some: a source, the folder of its paths, how many of them."""

    data: str
    root: str | None = None
    images: int = DEFAULT_IMAGES


@dataclass(frozen=True)
class NetSpec:
    """A net of a grid and the images that judge it. The paths are as the grid file states them.

    trained : whether the weights are; of random ones no accuracy is told.
    transform : the stated options of the input transform, by the names of TRANSFORM_KEYS.
    """

    name: str
    prototxt: str
    trained: bool
    weights: str | None = None
    data: str | None = None
    labels: str | None = None
    root: str | None = None
    limit: int | None = None
    batch: int | None = None
    output: str | None = None
    transform: tuple[tuple[str, Any], ...] = ()
    calibration: Calibration | None = None


@dataclass(frozen=True)
class Setting:
    """One recipe of a grid: the name of its [[method]], a label that tells it from the others."""

    method: str
    label: str
    recipe: Mapping[str, Any]
    nets: tuple[str, ...] = ("*",)

    def serves(self, net: NetSpec) -> bool:
        """Whether this net is to be compressed by it."""
        return any(fnmatchcase(net.name, pattern) for pattern in self.nets)


@dataclass(frozen=True)
class Grid:
    """A parsed grid file. `folder` is what its paths are relative to."""

    folder: Path
    nets: tuple[NetSpec, ...]
    settings: tuple[Setting, ...]

    def pairs(self) -> list[tuple[NetSpec, Setting]]:
        """Return what is to be measured, in the order of the file, net by net."""
        return [(n, s) for n in self.nets for s in self.settings if s.serves(n)]


def load_grid(path: str | Path) -> Grid:
    """Read a grid file.

    Raises
    ------
    InputError : it cannot be read.
    RecipeError : it is not a valid grid.
    """
    file = Path(path)
    return parse_grid(read_toml(file, "a grid"), str(file), file.parent)


def parse_grid(text: str, where: str, folder: Path) -> Grid:
    """Parse a grid from TOML text; `where` names it in errors."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"it is not valid TOML: {error}", where=where) from error
    _only(data, ("net", "method", "calibration"), "a grid", where)
    shared = _calibration(data.get("calibration"), f"{where}, calibration")
    nets = tuple(
        _net(table, shared, f"{where}, net {i}")
        for i, table in enumerate(_tables(data, "net", where), 1)
    )
    names = [net.name for net in nets]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(f"two nets are called `{name}`", where=where)
    settings: list[Setting] = []
    for i, table in enumerate(_tables(data, "method", where), 1):
        settings += _settings(table, names, f"{where}, method {i}", MAX_SETTINGS - len(settings))
    seen: set[str] = set()
    for setting in settings:
        key = f"{setting.method}: {setting.label}"
        if key in seen:
            raise RecipeError(
                f"two settings are alike: {key}", where=where, hint="give each [[method]] a name"
            )
        seen.add(key)
    return Grid(folder, nets, tuple(settings))


def _net(table: Mapping[str, Any], shared: Calibration | None, where: str) -> NetSpec:
    own = ("name", "trained", "prototxt", "weights", "data", "labels", "root", "limit", "batch")
    _only(table, (*own, "output", "calibration", *TRANSFORM_KEYS), "a [[net]]", where)
    for key in ("name", "prototxt"):
        if key not in table:
            raise RecipeError(f"a [[net]] states its {key}", where=where)
    for key in ("name", "output", "resize", "crop", "channel_order", *_PATHS):
        if key in table and not (isinstance(table[key], str) and table[key]):
            raise RecipeError(f"{key} is a text that is not empty", where=where)
    for key in ("limit", "batch"):
        if key in table:
            _positive(table, key, where)
    if not isinstance(table.get("trained"), bool):
        raise RecipeError(
            "a [[net]] states whether its weights are trained",
            where=where,
            hint="trained = true, or false where they are random",
        )
    for key in ("scale", "mean_value"):
        if key in table:
            values = table[key] if isinstance(table[key], list) else [table[key]]
            if not values or not all(_is_number(value) for value in values):
                raise RecipeError(f"{key} is a number or a list of numbers", where=where)
    if not isinstance(table.get("gray", False), bool):
        raise RecipeError("gray is true or false", where=where)
    if "data" not in table:
        for key in ("labels", "root", "limit"):
            if key in table:
                raise RecipeError(f"{key} says something of data, and there is none", where=where)
    calibration = shared
    if "calibration" in table:
        calibration = _calibration(table["calibration"], f"{where}, calibration")
    if calibration is not None and calibration.data == table.get("data"):
        raise RecipeError(
            "the images that calibrate would judge as well",
            where=where,
            hint="name other images in [calibration]",
        )
    return NetSpec(
        **{key: table[key] for key in (*own, "output") if key in table},
        transform=tuple((key, table[key]) for key in TRANSFORM_KEYS if key in table),
        calibration=calibration,
    )


def _calibration(table: Any, where: str) -> Calibration | None:
    if table is None:
        return None
    if not isinstance(table, dict):
        raise RecipeError("calibration is a table", where=where)
    _only(table, ("data", "root", "images"), "calibration", where)
    for key in ("data", "root"):
        if not isinstance(table.get(key, "" if key == "data" else "."), str):
            raise RecipeError(f"{key} is a text", where=where)
    if not table.get("data"):
        raise RecipeError("calibration names its data", where=where)
    if "images" in table:
        _positive(table, "images", where)
    return Calibration(table["data"], table.get("root"), table.get("images", DEFAULT_IMAGES))


def _settings(
    table: Mapping[str, Any], nets: Sequence[str], where: str, room: int
) -> list[Setting]:
    _only(table, ("name", "nets", "preset", "step"), "a [[method]]", where)
    patterns = table.get("nets", ["*"])
    patterns = patterns if isinstance(patterns, list) else [patterns]
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise RecipeError("nets is a name or a list of names", where=where)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in nets):
            raise RecipeError(
                f"no [[net]] is called `{pattern}`",
                where=where,
                hint=did_you_mean(pattern, nets),
            )
    if ("preset" in table) == ("step" in table):
        raise RecipeError("a [[method]] has either a preset or steps", where=where)
    if "preset" in table:
        if not isinstance(table["preset"], str):
            raise RecipeError("preset is a name", where=where)
        try:
            steps = load_preset(table["preset"]).source["step"]
        except RecipeError as error:
            error.where = error.where or where
            raise
        fixed = table["preset"]
    else:
        steps = table["step"]
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise RecipeError("steps are written [[method.step]]", where=where)
        fixed = None
    methods = [str(step.get("method", "?")) for step in steps]
    name = table.get("name", table.get("preset", " + ".join(methods)))
    if not isinstance(name, str) or not name:
        raise RecipeError("name is a text that is not empty", where=where)
    count = 1
    for step in steps:
        count *= _count(step)
    if count > room:
        raise RecipeError(f"the grid has more than {MAX_SETTINGS:,} settings", where=where)
    if count == 0:
        raise RecipeError("an option has an empty list of values", where=where)
    settings = []
    for chosen in itertools.product(*(list(_expand(step)) for step in steps)):
        source = {"step": list(chosen)}
        checked: Recipe = recipe_of({"name": name, **source}, where)
        settings.append(
            Setting(name, fixed or _label(chosen), dict(checked.source), tuple(patterns))
        )
    return settings


def _count(value: Any, key: str = "") -> int:
    """Return how many values a step (or an option of it) stands for."""
    if key == "select":
        return 1
    if isinstance(value, dict):
        count = 1
        for inner_key, inner in value.items():
            count *= _count(inner, inner_key)
        return count
    return len(value) if isinstance(value, list) else 1


def _expand(table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every choice of one value from each list, the last list fastest; not in `select`."""
    choices: list[list[Any]] = []
    for key, value in table.items():
        if key == "select":
            choices.append([value])
        elif isinstance(value, dict):
            choices.append(list(_expand(value)))
        else:
            choices.append(value if isinstance(value, list) else [value])
    for chosen in itertools.product(*choices):
        yield dict(zip(table, chosen, strict=True))


def _label(steps: Sequence[Mapping[str, Any]]) -> str:
    return " + ".join(" ".join([str(step["method"]), *_stated(step)]) for step in steps)


def _stated(step: Mapping[str, Any]) -> Iterator[str]:
    for key, value in step.items():
        if key in ("type", "name"):
            for who, options in value.items():
                yield from (f"{who}.{option}={inner}" for option, inner in options.items())
        elif key == "select":
            yield from (f"{inner}={_text(wanted)}" for inner, wanted in value.items())
        elif key != "method":
            yield f"{key}={value}"


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _tables(data: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    tables = data.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RecipeError(f"it is written [[{key}]]", where=where)
    if not tables:
        raise RecipeError(f"a grid has at least one [[{key}]]", where=where)
    return tables


def _only(table: Mapping[str, Any], known: Sequence[str], what: str, where: str) -> None:
    for key in table:
        if key not in known:
            raise RecipeError(
                f"{what} has no key `{key}`",
                where=where,
                notes=[f"its keys: {', '.join(known)}"],
                hint=did_you_mean(key.replace("-", "_"), known),
            )


def _positive(table: Mapping[str, Any], key: str, where: str) -> None:
    value = table[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RecipeError(f"{key} is a whole number from 1 up, not {value!r}", where=where)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
