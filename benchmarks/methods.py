"""Seconds and peak memory of `cmodel pack` on the largest layers that are in common use.

    python benchmarks/methods.py [--threads 2] [--only NAME ...] [--folder build/random]

Each line is one `pack` in a process of its own, reading, coding, writing and verifying included:
product codes (k = 256, blocks of 8) and the randomised decomposition (rank 512) of VGG-16's fc6,
a layer of 25088 x 4096 weights, and k-means with entropy coding of all of VGG-16. The weights are
random, as benchmarks/make_net.py draws them. `goal` is what the line should stay below on two
cores that do nothing else; CPU seconds tell what other work on the machine hides.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from make_net import make_net

FC6, VGG16 = "vgg16_fc6", "vgg16"


@dataclass(frozen=True)
class Task:
    """A net of benchmarks/nets, the steps of a recipe, and the most seconds and bytes for it."""

    net: str
    steps: str
    seconds: float
    memory: float | None = None


TASKS = {
    "product": Task(FC6, '{method = "quantize.product", k = 256, dimension = 8}', 60),
    "svd": Task(FC6, '{method = "factorize.svd", rank = 512}', 30),
    "k-means": Task(
        VGG16,
        '{method = "quantize.kmeans", k = 32, init = "linear", type.Convolution.k = 256}',
        15,
        2.5e9,
    ),
}


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds by the clock and of the processor, most bytes held."""

    wall: float
    cpu: float
    memory: int


def cost_of(command: list[str]) -> Cost:
    """Run a command to its end.

    Raises
    ------
    ChildProcessError : it failed.
    """
    start = perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall = perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise ChildProcessError(f"status {child.returncode}: {' '.join(command)}")
    # ru_maxrss is in KiB on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(wall, usage.ru_utime + usage.ru_stime, unit * usage.ru_maxrss)


def pack(task: Task, nets: Path, threads: int) -> tuple[Cost, int]:
    """Return what packing takes, and the bytes of the file."""
    net = nets / task.net
    weights = net / "weights.caffemodel"
    if not weights.exists():
        make_net(task.net, net)
    with tempfile.TemporaryDirectory(prefix="cmodel-methods-") as name:
        recipe, packed = Path(name) / "recipe.toml", Path(name) / "packed.cmodel"
        recipe.write_text(f"step = [{task.steps}]\n", "utf-8")
        options = ["--recipe", str(recipe), "--threads", str(threads), "--quiet"]
        files = [str(net / "deploy.prototxt"), str(weights), "-o", str(packed)]
        cost = cost_of([sys.executable, "-m", "cmodel", "pack", *files, *options])
        return cost, packed.stat().st_size


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--folder", type=Path, default=Path("build/random"), help="for the nets")
    options = parser.parse_args()
    print("method     net               bytes     wall      CPU     goal    memory")
    for name in options.only:
        task = TASKS[name]
        cost, size = pack(task, options.folder, options.threads)
        limit = "" if task.memory is None else f" of {task.memory / 1e9:.2f}"
        print(
            f"{name:10} {task.net:10} {size:12,} {cost.wall:6.1f} s {cost.cpu:6.1f} s"
            f" {task.seconds:6.0f} s {cost.memory / 1e9:6.2f}{limit} GB",
            flush=True,
        )


if __name__ == "__main__":
    main()
