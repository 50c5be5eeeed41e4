"""What each part of the preset `rdo` gains: tensor bytes at equal KL, one part added after another.

    python benchmarks/ablation.py [--nets NAME...] [--json OUT.json]

The first row is a scalar grid without feedback (`quantize.uniform`); each later one adds a part to
the row before, up to those that change one thing in "the last". The layers' shares are those of the
budget search, from the calibration images. Files are written at level 9, with the context coder;
those of the last row at level 2, with rANS and Huffman codes. Of the residual net BatchNorm is
folded first in all rows. Judged on the first 2000 test images; bytes are interpolated between
knobs, a factor 1.6 apart, on both sides of the KL, as in benchmarks/peers_compression.py, whose
nets and measures these are. docs/generate_ablation.py puts the table into docs/concepts/rdo.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from compression_cases import CASES
from compression_rows import Row, bytes_at_kl
from peers_compression import LEVEL, Ours

from cmodel.compress import Recipe, load_preset, recipe_of
from cmodel.compress.knobs import KNOB_METHOD
from cmodel.threads import set_thread_count

JSON = Path(__file__).parent / "results" / "ablation.json"
IMAGES = 2000
FAST_LEVEL = 2
# Between one knob and the next.
APART = 1.6


@dataclass(frozen=True)
class Net:
    """Where to compare, and where to begin.

    kl : to compare at. knob : the first. step : the first, of the grid without feedback, in
    deviations of the weights. residual : whether it has shortcuts.
    """

    kl: float
    knob: float
    step: float
    residual: bool = False


NETS = {
    "cifar10_full": Net(0.02, knob=0.005, step=0.2),
    "lenet_bvlc": Net(0.01, knob=0.0012, step=0.3),
    "lenet300100_dns": Net(0.004, knob=0.0008, step=0.6),
    "cifar10_resnet20": Net(0.05, knob=0.003, step=0.3, residual=True),
}


@dataclass(frozen=True)
class Variant:
    """A row: what it adds, and the options of `quantize.rdo`, for all layers and for convolutions.

    side : whether biases are quantized too. shares : whether the layers have shares of their own.
    """

    name: str
    options: dict[str, Any] | None = None
    convolution: dict[str, Any] = field(default_factory=dict)
    side: bool = False
    shares: bool = False
    level: int = LEVEL


_SCALAR = {"trellis": False, "fisher": 0, "shrink": 0}
_TRELLIS = {**_SCALAR, "trellis": "auto"}
_RATED = {**_TRELLIS, "rate_weight": 0.03}
_CORRECTED = {**_TRELLIS, "correct": True}
_FISHER: dict[str, Any] = {"fisher": 0.95}
_LAST = Variant("biases quantized by outputs", _TRELLIS, _FISHER, side=True, shares=True)
VARIANTS = (
    Variant("scalar grid, no feedback"),
    Variant("feedback, one knob for all layers", _SCALAR),
    Variant("trellis", _TRELLIS),
    Variant("input side of the Fisher information", _TRELLIS, _FISHER),
    Variant("layers' shares", _TRELLIS, _FISHER, shares=True),
    _LAST,
    replace(_LAST, name="the last, with rate_weight = 0.03", options=_RATED),
    replace(_LAST, name="the last, with shrink = 0.05", options={**_TRELLIS, "shrink": 0.05}),
    replace(_LAST, name="the last, fitted to the responses", options=_CORRECTED),
    replace(_LAST, name="the last, in rANS instead of contexts", level=FAST_LEVEL),
)


def recipe_for(variant: Variant) -> Recipe:
    """Return the preset `rdo` with what the variant has."""
    steps = []
    for step in load_preset("rdo").source["step"]:
        changed = dict(step)
        if step["method"] == "quantize.side" and not variant.side:
            continue
        if step["method"] == KNOB_METHOD:
            if variant.options is None:
                selected = {key: step[key] for key in ("select", "optional") if key in step}
                changed = {"method": "quantize.uniform", "step": 1.0, **selected}
            else:
                types = {**step.get("type", {})}
                types["Convolution"] = {**types.get("Convolution", {}), **variant.convolution}
                changed.update(variant.options, type=types)
        steps.append(changed)
    return recipe_of({"step": steps}, variant.name)


def without_feedback(recipe: Recipe, step: float) -> Recipe:
    """Return the recipe of the first variant with a step of the grid."""
    steps = [
        {**s, "step": step} if s["method"] == "quantize.uniform" else s
        for s in recipe.source["step"]
    ]
    return recipe_of({"step": steps}, recipe.name)


def around(net: Net, variant: Variant, ours: Ours) -> list[dict[str, float]]:
    """Return points of a variant on both sides of the KL to compare at."""
    points: dict[float, Row] = {}
    knob = net.step if variant.options is None else net.knob
    while True:
        if variant.options is None:
            points[knob] = ours.pack(without_feedback(ours.recipe, knob), f"{knob:g}")
        else:
            points[knob] = ours(knob)
        below = [point.kl <= net.kl for point in points.values()]
        if any(below) and not all(below):
            break
        knob = max(points) * APART if all(below) else min(points) / APART
    return [
        {"knob": knob, "tensor_bytes": point.tensor_bytes, "kl": point.kl}
        for knob, point in sorted(points.items())
    ]


def measure(name: str) -> dict[str, Any]:
    """Return the rows of a net."""
    case, net = CASES[name], NETS[name]
    whole = case.judge
    vars(case)["judge"] = whole.first(IMAGES)
    factors: Any = None
    rows = []
    for variant in VARIANTS:
        if (variant.options or {}).get("correct") and not net.residual:
            continue
        ours = Ours(name, case, recipe_for(variant), level=variant.level)
        if variant.shares:
            if factors is None:
                ours.search(net.kl)
                factors = ours.factors
            ours.factors = factors
        points = around(net, variant, ours)
        size = bytes_at_kl([(p["kl"], p["tensor_bytes"]) for p in points], net.kl)
        print(f"{name} {variant.name}: {size} {points}", flush=True)
        rows.append({"variant": variant.name, "bytes": size, "points": points})
    return {"kl": net.kl, "images": IMAGES, "shares": factors, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--json", type=Path, default=JSON)
    options = parser.parse_args()
    set_thread_count(1)
    document = json.loads(options.json.read_text("utf-8")) if options.json.exists() else {}
    document["command"] = "python benchmarks/ablation.py"
    for name in options.nets:
        document.setdefault("nets", {})[name] = measure(name)
        options.json.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
