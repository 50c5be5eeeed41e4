"""Writes docs/results.md and the pictures in docs/results from the rows in docs/results/*.jsonl.

    python docs/generate_results.py

`make results` measures the rows first. tests/unit/test_docs.py holds the page to what this writes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmodel.report import rate_accuracy_svg
from cmodel.report.scales import points_of

DOCS = Path(__file__).parent
PAGE = DOCS / "results.md"
FOLDER = DOCS / "results"
METHODS = DOCS / "concepts" / "methods.md"
# What stands above all tables, and what they show.
HEAD, FINDINGS = FOLDER / "head.md", FOLDER / "findings.md"
GOAL = 1.0
NONE = "\N{EN DASH}"

Row = dict[str, Any]


@dataclass(frozen=True)
class Words:
    """What the page says of a net: its heading, its short name in tables, where it comes from."""

    title: str
    short: str
    origin: str


NETS = {
    "lenet_bvlc": Words("LeNet-5, MNIST", "LeNet-5", "trained by BVLC's Caffe example"),
    "lenet300100_dns": Words(
        "LeNet-300-100, MNIST",
        "LeNet-300-100",
        "trained, the original of Dynamic Network Surgery's authors",
    ),
    "cifar10_full": Words(
        "cifar10_full, CIFAR-10", "cifar10_full", "trained by BVLC's Caffe example, 70,000 rounds"
    ),
    "cifar10_resnet20": Words(
        "ResNet-20, CIFAR-10",
        "ResNet-20",
        "trained in PyTorch (akamaster/pytorch_resnet_cifar10), converted",
    ),
    "squeezenet_v1.1": Words(
        "SqueezeNet 1.1, ImageNet", "SqueezeNet 1.1", "trained by DeepScale's authors"
    ),
    "alexnet_cifar": Words(
        "A net of AlexNet's shape, CIFAR-10",
        "AlexNet's shape",
        "trained by `benchmarks/train_alexnet_cifar.py`, seed 0",
    ),
}
RANDOM = {
    "caffenet": Words("CaffeNet", "CaffeNet", "random"),
    "vgg16": Words("VGG-16", "VGG-16", "random"),
}
IMAGES = {
    "data/mnist/train-images-idx3-ubyte.gz": "MNIST's training images",
    "data/mnist/t10k-images-idx3-ubyte.gz": "MNIST's test images",
    "data/cifar10/train.zip": "CIFAR-10's training images (as JPEG)",
    "data/cifar10/test.zip": "CIFAR-10's test images (as JPEG)",
    "imagenet-1k-sample-odd.txt": "the odd lines of a list of 1,000 ImageNet images, one a class",
    "imagenet-1k-sample-even.txt": "its even lines",
}
# Steps that are the same everywhere, or only store what another step left.
COMMON = {"fold.batchnorm", "quantize.side", "mean.image"}


def read(name: str) -> list[Row]:
    """Return the rows of a net, none where it was not swept."""
    path = FOLDER / f"{name}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def every_row() -> dict[str, list[Row]]:
    """Return the rows of all nets, by net."""
    return {name: read(name) for name in (*NETS, *RANDOM)}


def page(rows: Mapping[str, Sequence[Row]]) -> str:
    """Return the page of the rows, by net."""
    trained = {name: rows[name] for name in NETS if rows.get(name)}
    every = [row for found in trained.values() for row in found]
    parts = [HEAD.read_text("utf-8"), "## Summary\n", *summary(trained), *leaders(trained)]
    parts.append(FINDINGS.read_text("utf-8"))
    for name, found in trained.items():
        parts += [f"## {NETS[name].title}\n", *section(name, found, every)]
    if any(rows.get(name) for name in RANDOM):
        parts += ["## Large nets, random weights\n", *random_section(rows)]
    parts += ["## The settings\n", *settings_section(trained)]
    return "\n".join(parts)


def pictures(rows: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Return the SVG files by name."""
    trained = {name: rows[name] for name in NETS if rows.get(name)}
    every = [row for found in trained.values() for row in found]
    drawn = {}
    for name, found in trained.items():
        labels = [", ".join(filter(None, (row["method"], setting_of(row, every)))) for row in found]
        points = [{**row, "label": label} for row, label in zip(found, labels, strict=True)]
        drawn[f"{name}.svg"] = rate_accuracy_svg(points, name) + "\n"
    return drawn


def summary(trained: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Yield the table of methods and nets."""
    yield (
        f"The best ratio at a loss of at most 1 point of top-1, without retraining. {NONE}: no "
        "setting within 1 point. n/a: no setting runs on this net. The best of each net is bold.\n"
    )
    best = {name: best_rows(found) for name, found in trained.items()}
    tops = {name: max(filled(found), default=0.0) for name, found in best.items()}
    methods = methods_of(row for found in trained.values() for row in found)
    cells = []
    for method in methods:
        line = [method]
        for name, found in trained.items():
            row = best[name].get(method)
            tried = [one for one in found if one["method"] == method]
            if row is None:
                ran = any("error" not in one for one in tried)
                line.append(NONE if ran else "n/a" if tried else "")
            else:
                text = f"{row['ratio']:.1f}x"
                line.append(f"**{text}**" if row["ratio"] == tops[name] else text)
        cells.append(line)
    cells.sort(key=lambda line: -mean_ratio(line[0], best))
    yield table(["method", *(NETS[name].short for name in trained)], cells)


def leaders(trained: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Yield which methods are in front on each net."""
    lines = []
    for name, found in trained.items():
        rows = [row for row in best_rows(found).values() if row is not None]
        rows.sort(key=lambda row: -row["ratio"])
        named = [f"{row['method']} ({row['ratio']:.1f}x)" for row in rows[:4]]
        lines.append(f"- {NETS[name].short}: {', '.join(named)}\n")
    yield f"In front, by the ratio within 1 point:\n\n{''.join(lines)}"


def filled(found: Mapping[str, Row | None]) -> Iterator[float]:
    """Yield the ratios of the rows that there are."""
    return (row["ratio"] for row in found.values() if row is not None)


def mean_ratio(method: str, best: Mapping[str, Mapping[str, Row | None]]) -> float:
    """Return the geometric mean over all nets, 1 for a net without a setting: for the order."""
    product = 1.0
    for found in best.values():
        row = found.get(method)
        product *= 1.0 if row is None else row["ratio"]
    return product


def section(name: str, found: Sequence[Row], every: Sequence[Row]) -> Iterator[str]:
    """Yield what stands below a net's heading; `every` are the rows of all nets."""
    measured = [row for row in found if "error" not in row]
    first = measured[0]
    judged, calibration = first["judged"], first["judged"]["calibration"]
    yield (
        f"Weights: {NETS[name].origin}; {first['parameters']:,} parameters, top-1 before "
        f"{first['baseline_top1']:.2f} %. Judged on {first['images']:,} of "
        f"{IMAGES[judged['data']]}"
        f"{', a seeded sample' if judged['limit'] else ''}; methods that look at images calibrate "
        f"on {calibration['images']} of {IMAGES[calibration['data']]}. "
        f"{len(found)} settings, {len(found) - len(measured)} of them cannot run.\n"
    )
    yield (
        f"```\npython benchmarks/results.py OUTDIR --net {name}"
        f"{' --alexnet FOLDER' if name == 'alexnet_cifar' else ''}\n"
        f"cmodel sweep OUTDIR/{name}.toml -o {name}.jsonl --threads 1\n```\n"
    )
    yield f"![{NETS[name].title}: top-1 lost against the compression ratio](results/{name}.svg)\n"
    best = best_rows(found)
    cells = []
    for method in sorted(best, key=lambda one: -(best[one] or {"ratio": 0})["ratio"]):
        row = best[method]
        if row is not None:
            cells.append([method, setting_of(row, every), *figures(row)])
        else:
            cells.append([method, *failure(method, found, every), *[""] * 7])
    header = ["method", "setting", "bytes", "ratio", "bits/weight", "top-1", "loss (95 %)", "KL"]
    yield table([*header, "seconds"], cells)
    errors = [row for row in found if "error" in row]
    if errors:
        yield "Settings that cannot run on this net:\n"
        yield "".join(
            f"- {method}: {message}\n" for method, message in dict.fromkeys(map(reason, errors))
        )


def reason(row: Row) -> tuple[str, str]:
    """Return the method and why it cannot run."""
    return row["method"], row["error"]["message"]


def failure(method: str, found: Sequence[Row], every: Sequence[Row]) -> list[str]:
    """Return what stands in a table for a method without a setting within the goal."""
    rows = [row for row in found if row["method"] == method and "error" not in row]
    if not rows:
        return ["cannot run, see below"]
    nearest = min(rows, key=lambda row: (row["loss"], row["bytes"]))
    setting = setting_of(nearest, every)
    return [
        f"none within 1 point (best: {setting + ', ' if setting else ''}{nearest['ratio']:.1f}x, "
        f"loss {nearest['loss']:.2f})"
    ]


def figures(row: Row) -> list[str]:
    """Return the cells of a measured row."""
    low, high = row["interval"]
    return [
        f"{row['bytes']:,}",
        f"{row['ratio']:.1f}x",
        f"{row['bits_per_weight']:.2f}",
        f"{row['top1']:.2f} %",
        f"{points_of(row['loss'])} ({points_of(low)} to {points_of(high)})",
        # Outputs that are not finite have none.
        f"{row['kl']:.2g}" if "kl" in row else "",
        f"{row['compress_seconds']:.1f}",
    ]


def best_rows(found: Sequence[Row]) -> dict[str, Row | None]:
    """Return for each method the row of the best ratio within the goal."""
    best: dict[str, Row | None] = dict.fromkeys(methods_of(found))
    for row in found:
        if "error" in row or row["loss"] > GOAL:
            continue
        known = best[row["method"]]
        if known is None or row["ratio"] > known["ratio"]:
            best[row["method"]] = row
    return best


def methods_of(rows: Iterable[Row]) -> list[str]:
    """Return the methods in the order of the rows."""
    return list(dict.fromkeys(row["method"] for row in rows))


def setting_of(row: Row, every: Sequence[Row]) -> str:
    """Return the options of a row that not all rows of its method have alike."""
    options = dict(options_of(row))
    others = [dict(options_of(one)) for one in every if one["method"] == row["method"]]
    names = dict.fromkeys(name for one in others for name in one)
    varied = [name for name in names if len({str(one.get(name)) for one in others}) > 1]
    return ", ".join(
        name.partition(" ")[2] + ("" if options[name] is True else f" {options[name]}")
        for name in varied
        if name in options
    )


def options_of(row: Row) -> Iterator[tuple[str, Any]]:
    """Yield "method option" and value of the steps of a row that are its own."""
    for step in row["recipe"]["step"]:
        for key, value in step.items():
            if key in ("method", "select", "optional") or step["method"] in COMMON:
                continue
            for option, one in flat(key, value) if isinstance(value, dict) else [(key, value)]:
                yield f"{step['method']} {option}", one


def random_section(rows: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Yield the tables of nets whose weights are random."""
    yield (
        "Bytes, seconds and memory; the weights are random (`benchmarks/make_net.py`, seed 0), so "
        "there is no word on accuracy, and methods that look at images are not here. Trained "
        "weights take fewer bytes. Memory is the most that the process held, reading, packing, "
        "reading again and decoding all tensors included.\n"
    )
    for name, words in RANDOM.items():
        found = rows.get(name)
        if not found:
            continue
        count = next(row["parameters"] for row in found if "error" not in row)
        yield (
            f"{words.title}, {count:,} parameters:\n\n```\n"
            f"python benchmarks/results.py OUTDIR --net {name}\n"
            f"cmodel sweep OUTDIR/{name}.toml -o {name}.jsonl --threads 1\n```\n"
        )
        cells = [
            [
                row["method"],
                chain_of([row]),
                f"{row['bytes']:,}",
                f"{row['ratio']:.1f}x",
                f"{row['bits_per_weight']:.2f}",
                f"{row['compress_seconds']:.1f}",
                f"{row['peak_memory'] / 1e9:.2f} GB",
            ]
            for row in found
            if "error" not in row
        ]
        header = ["method", "steps", "bytes", "ratio", "bits/weight", "seconds", "memory"]
        yield table(header, cells)


def settings_section(trained: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Yield the table of what was measured of each method."""
    yield "What was measured of each method; its own steps, with all values of their options.\n"
    anchors = anchors_of(METHODS.read_text("utf-8"))
    every = [row for found in trained.values() for row in found]
    cells = []
    for method in methods_of(every):
        rows = [row for row in every if row["method"] == method]
        chain = chain_of(rows)
        for name, anchor in anchors.items():
            chain = chain.replace(f"`{name}`", f"[`{name}`](concepts/methods.md#{anchor})")
        cells.append([method, chain])
    yield table(["method", "steps"], cells)
    versions = sorted({row["versions"]["cmodel"] for row in every})
    yield f"Measured with cmodel {', '.join(versions)}, seed 0.\n"


def chain_of(rows: Sequence[Row]) -> str:
    """Return the steps of rows of one method, each option with all its values."""
    steps: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        for step in row["recipe"]["step"]:
            name = step["method"]
            if name in COMMON:
                continue
            options = steps.setdefault(name, {})
            for key, value in step.items():
                if key in ("method", "select", "optional"):
                    continue
                for option, one in flat(key, value):
                    values = options.setdefault(option, [])
                    if str(one) not in values:
                        values.append(str(one))
    return ", then ".join(
        f"`{name}`"
        + "".join(
            f" {key} {'/'.join(sorted(values, key=order))}" for key, values in options.items()
        )
        for name, options in steps.items()
    )


def order(value: str) -> tuple[float, str]:
    """Return what sorts numbers by size and texts by letters."""
    try:
        return float(value), ""
    except ValueError:
        return 0.0, value


def flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield an option, or those of its tables by layer type or name."""
    if isinstance(value, dict):
        for who, options in value.items():
            for option, one in options.items():
                yield f"{option} ({who})", one
    else:
        yield key, "yes" if value is True else "no" if value is False else value


def anchors_of(text: str) -> dict[str, str]:
    """Return the anchor of each heading of the methods, as GitHub makes them."""
    return {
        heading.split()[0]: re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^## (.+)$", text, re.MULTILINE)
    }


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    """Write the page and the pictures."""
    rows = every_row()
    PAGE.write_text(page(rows), encoding="utf-8")
    for name, svg in pictures(rows).items():
        (FOLDER / name).write_text(svg, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
