"""Runs the studies of docs/results-retraining.md, and writes that page from what they gave.

    python benchmarks/retraining.py run OUTDIR [NAME...]   # one command for each NAME
    python benchmarks/retraining.py report OUTDIR

Each study is one `cmodel pack --recipe benchmarks/retraining/NAME.toml` with a fixed seed, training
and test images apart. What was run is not run again; a study that was stopped goes on from its
checkpoints. Needs the extra `finetune` and the folder of docs/data.md (CMODEL_DATA).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benchmarks" / "retraining"
DATA = Path(os.environ.get("CMODEL_DATA", ROOT.parent / "shared")) / "data"
PAGE = ROOT / "docs" / "results-retraining.md"
RESULTS = ROOT / "benchmarks" / "results" / "retraining.json"
MNIST = ("mnist/train-images-idx3-ubyte.gz", "mnist/t10k-images-idx3-ubyte.gz")
CIFAR = ("cifar10/train.zip", "cifar10/test.zip")
SCALE = "--scale 0.00390625"
IMAGENET = (
    "--channel-order rgb --mean-value 123.675,116.28,103.53 "
    "--scale 0.0171247538,0.0175070028,0.0174291939"
)


@dataclass(frozen=True)
class Study:
    """One command.

    net : folder of the model and name of its weights; train, test : images below DATA, or
        below the repository's examples. goal : what is wanted of it, in words.
    """

    net: tuple[str, str]
    images: tuple[str, str]
    options: str
    goal: str
    seeds: tuple[int, ...] = (0,)


LENET300 = ("models/lenet300100_dns", "caffe_lenet300100_original")
LENET5 = ("models/lenet_bvlc", "lenet_iter_10000")
QUICK = ("models/cifar10_quick", "cifar10_quick_iter_5000")
FULL = ("models/cifar10_full", "cifar10_full_iter_70000")
MEAN = "--channel-order rgb --mean-file {data}/models/cifar10_{which}/mean.binaryproto"
FASHION = ("train5000-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz")
STUDIES = {
    "lenet300-dc": Study(LENET300, MNIST, SCALE, ">= 40x at no loss"),
    "lenet300-200x": Study(LENET300, MNIST, SCALE, ">= 200x at <= 0.3 points"),
    "lenet5-dc": Study(LENET5, MNIST, SCALE, ">= 39x at no loss"),
    "lenet5-500x": Study(LENET5, MNIST, SCALE, ">= 500x at >= 99.0 %"),
    "lenet5-1000x": Study(LENET5, MNIST, SCALE, ">= 1000x at >= 98.5 %"),
    "fashion-60x": Study(("example", "lenet_fashion"), FASHION, SCALE, ">= 60x at <= 0.5 points"),
    "cifar-quick-30x": Study(
        QUICK, CIFAR, MEAN.format(data=DATA, which="quick"), ">= 30x at <= 1.0 points"
    ),
    "cifar-full-30x": Study(
        FULL, CIFAR, MEAN.format(data=DATA, which="full"), ">= 30x at <= 1.0 points"
    ),
    "resnet20-16x": Study(
        ("models/cifar10_resnet20", "resnet20"), CIFAR, IMAGENET, ">= 16x at <= 1.0 points"
    ),
    "student300-alone": Study(LENET300, MNIST, SCALE, "the baseline", (0, 1, 2)),
    "student300-distilled": Study(LENET300, MNIST, SCALE, "above the same alone", (0, 1, 2)),
    "fitnet-alone": Study(
        QUICK, CIFAR, MEAN.format(data=DATA, which="quick"), "the baseline", (0, 1, 2)
    ),
    "fitnet-hinted": Study(
        QUICK, CIFAR, MEAN.format(data=DATA, which="quick"), "above the same alone", (0, 1, 2)
    ),
}


def command(name: str, seed: int, out: Path, threads: int) -> list[str]:
    """Return the command of a study."""
    study = STUDIES[name]
    folder, weights = study.net
    example = folder == "example"
    model = ROOT / "examples" / "lenet-fashion" if example else DATA / folder
    train, test = (model / one if example else DATA / one for one in study.images)
    label = f"{name}-{seed}"
    return [
        *("pack", str(model / "deploy.prototxt"), str(model / f"{weights}.caffemodel")),
        *("-o", str(out / f"{label}.cmodel"), "--recipe", str(HERE / f"{name}.toml")),
        *("--train", str(train), "--data", str(test), *shlex.split(study.options)),
        *("--seed", str(seed), "--threads", str(threads), "--level", "9", "--notes", "none"),
        *("--checkpoints", str(out / f"{label}.checkpoints"), "--force"),
    ]


def run(names: list[str], out: Path, threads: int) -> None:
    """Run what has not been run yet, and keep its figures."""
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        for seed in STUDIES[name].seeds:
            found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            if f"{name}-{seed}" in found:
                continue
            words = command(name, seed, out, threads)
            print(f"== {name}, seed {seed}", flush=True)
            resumed = (out / f"{name}-{seed}.checkpoints").exists()
            start = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "cmodel", *words, "--json"],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            facts = json.loads(done.stdout)
            kept = ("bytes_before", "bytes_after", "ratio", "top1_before", "top1_after", "loss")
            found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            found[f"{name}-{seed}"] = {
                **{key: facts[key] for key in kept},
                # Of a study that went on from checkpoints the time is not known.
                "seconds": None if resumed else round(time.monotonic() - start),
                "layers": tables(out / f"{name}-{seed}.cmodel") if name.endswith("-dc") else [],
            }
            RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


def tables(path: Path) -> list[dict[str, float | str]]:
    """Return a row of Deep Compression's tables for each layer of a file.

    The relative index has the paper's 5 bits; with it come padding zeros.
    """
    import numpy as np

    from cmodel.codecs import relindex
    from cmodel.container import read
    from cmodel.tensors import Codebook, Sparse

    rows: list[dict[str, float | str]] = []
    net = read(path)
    for layer in net.layers:
        form = net.parameters[layer.parameters[0]] if layer.parameters else None
        if not isinstance(form, Sparse) or not isinstance(form.values, Codebook):
            continue
        size = int(np.prod(form.shape))
        gaps = relindex.encode(form.positions, size, INDEX_BITS)
        entries = form.values.entries
        weight_bits = int(np.ceil(np.log2(entries)))
        rows.append(
            {
                "layer": layer.key,
                "weights": size,
                "density": 100 * form.density,
                "weight_bits": weight_bits,
                "weight_bits_h": huffman_mean(form.values.indices),
                "index_bits": INDEX_BITS,
                "index_bits_h": huffman_mean(gaps),
                "stored": form.positions.size,
                "symbols": int(gaps.size),
                "entries": entries,
            }
        )
    return rows


def huffman_mean(symbols: object) -> float:
    """Return the mean length of a Huffman code for symbols, its table not counted."""
    import heapq

    import numpy as np

    counts = np.unique(np.asarray(symbols).reshape(-1), return_counts=True)[1].tolist()
    if len(counts) < 2:
        return float(len(counts))
    total, cost, heap = sum(counts), 0, list(counts)
    heapq.heapify(heap)
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        cost += joined
        heapq.heappush(heap, joined)
    return cost / total


INDEX_BITS = 5
# Layer: weights in thousands, density %, weight bits, with Huffman, index bits, with Huffman,
# size in % of float32 after P+Q and after P+Q+H.
PAPER = {
    "lenet300-dc": {
        "ip1": (235, 8, 6, 4.4, 5, 3.7, 3.1, 2.32),
        "ip2": (30, 9, 6, 4.4, 5, 4.3, 3.8, 3.04),
        "ip3": (1, 26, 6, 4.3, 5, 3.2, 15.7, 12.70),
        "total": (266, 8, 6, 5.1, 5, 3.7, 3.1, 2.49),
    },
    "lenet5-dc": {
        "conv1": (0.5, 66, 8, 7.2, 5, 1.5, 78.5, 67.45),
        "conv2": (25, 12, 8, 7.2, 5, 3.9, 6.0, 5.28),
        "ip1": (400, 8, 5, 4.5, 5, 4.5, 2.7, 2.45),
        "ip2": (5, 19, 5, 5.2, 5, 3.7, 6.9, 6.13),
        "total": (431, 8, 5.3, 4.1, 5, 4.4, 3.05, 2.55),
    },
}


def comparison(name: str, rows: list[dict[str, float]]) -> str:
    """Return the paper's table with ours beside it."""
    lines = [
        "| layer | weights | density | weight bits | Huffman | index bits | Huffman | P | P+Q | "
        "P+Q+H |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    sums = [0.0, 0.0, 0.0, 0.0, 0.0]
    for row in rows:
        size, stored, symbols = row["weights"], row["stored"], row["symbols"]
        book = 32 * row["entries"]
        index = symbols * row["index_bits"]
        plain = 32 * stored
        shared = stored * row["weight_bits"] + index + book
        coded = stored * row["weight_bits_h"] + symbols * row["index_bits_h"] + book
        for i, value in enumerate((size, stored, plain, shared, coded)):
            sums[i] += value
        percents = [100 * bits / (32 * size) for bits in (plain, shared, coded)]
        theirs = PAPER[name].get(str(row["layer"]))
        lines.append(_row(row, percents))
        if theirs is not None:
            lines.append(_paper_row(theirs))
    shares = [100 * bits / (32 * sums[0]) for bits in sums[2:]]
    times = [100 / share for share in shares]
    lines.append(
        f"| **all** | {sums[0]:,.0f} | {100 * sums[1] / sums[0]:.1f} % | | | | | "
        + " | ".join(f"{s:.2f} % ({t:.0f}x)" for s, t in zip(shares, times, strict=True))
        + " |"
    )
    total = PAPER[name]["total"]
    lines.append(
        f"| *paper* | {total[0]}K | {total[1]} % | {total[2]} | {total[3]} | {total[4]} | "
        f"{total[5]} | {total[1]} % (12x) | {total[6]} % | {total[7]} % "
        f"({100 / total[7]:.0f}x) |"
    )
    return "\n".join(lines)


def _row(row: dict[str, float], percents: list[float]) -> str:
    cells = " | ".join(f"{percent:.2f} %" for percent in percents)
    return (
        f"| {row['layer']} | {row['weights']:,} | {row['density']:.1f} % | {row['weight_bits']} | "
        f"{row['weight_bits_h']:.1f} | {row['index_bits']} | {row['index_bits_h']:.1f} | {cells} |"
    )


def _paper_row(theirs: tuple[float, ...]) -> str:
    size, density, bits, bits_h, index, index_h, shared, coded = theirs
    return (
        f"| *paper* | {size}K | {density} % | {bits} | {bits_h} | {index} | {index_h} | | "
        f"{shared} % | {coded} % |"
    )


def report(out: Path) -> None:
    """Write the page between its marks from the figures."""
    found = json.loads(RESULTS.read_text())
    text = PAGE.read_text(encoding="utf-8")
    blocks = {"studies": _studies(found)}
    for name in PAPER:
        entry = found.get(f"{name}-0")
        blocks[name] = comparison(name, entry["layers"]) if entry else "Not run yet."
    for key, block in blocks.items():
        start, end = f"<!-- {key} -->", f"<!-- /{key} -->"
        head, _, rest = text.partition(start)
        _, _, tail = rest.partition(end)
        text = f"{head}{start}\n{block}\n{end}{tail}"
    PAGE.write_text(text, encoding="utf-8")


def _studies(found: dict[str, dict[str, float]]) -> str:
    lines = [
        "| study | wanted | bytes | ratio | top-1 before | top-1 after | time |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, study in STUDIES.items():
        entries = [found[key] for seed in study.seeds if (key := f"{name}-{seed}") in found]
        if not entries:
            lines.append(f"| {name} | {study.goal} | not run yet | | | | |")
            continue
        mean = sum(entry["top1_after"] for entry in entries) / len(entries)
        each = ", ".join(f"{entry['top1_after']:.2f}" for entry in entries)
        after = f"{mean:.2f} %" + (f" ({each})" if len(entries) > 1 else "")
        first = entries[0]
        lines.append(
            f"| {name} | {study.goal} | {first['bytes_after']:,} | {first['ratio']:.1f}x | "
            f"{first['top1_before']:.2f} % | {after} | {_minutes(first['seconds'])} |"
        )
    return "\n".join(lines)


def _minutes(seconds: float | None) -> str:
    return "in parts" if seconds is None else f"{seconds / 60:.0f} min"


def main() -> None:
    """Run or report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("out", type=Path, metavar="OUTDIR")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--threads", type=int, default=2, help="of each command (default 2)")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in STUDIES]
    if unknown:
        parser.error(f"no study {unknown[0]}; there are {', '.join(STUDIES)}")
    if args.what == "run":
        run(args.names or list(STUDIES), args.out, args.threads)
    report(args.out)


if __name__ == "__main__":
    main()
