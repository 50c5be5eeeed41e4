"""How the engine runs a net: its kernels, their times and memory, as a table."""

from __future__ import annotations

import argparse
from math import prod
from typing import Any

from cmodel.cli.options import load_model
from cmodel.cli.terminal import Terminal, bytes_text, table
from cmodel.errors import UsageError
from cmodel.net import Layer, Net, Shape

RUNS = 10
# Layers whose weights are all used at each position.
PRODUCTS = ("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution", "InnerProduct")


def plan_facts(args: argparse.Namespace, terminal: Terminal) -> tuple[dict[str, Any], str]:
    """Run the net on noise; return what it did, and a text of it.

    Raises
    ------
    UsageError : an input has no declared shape, or the net is none that can be run.
    """
    import numpy as np

    from cmodel.engine import Engine

    args.model = args.file
    net = load_model(args, terminal)
    shapes = {name: _fed(name, shape, args.batch) for name, shape in net.inputs.items()}
    rng = np.random.default_rng(args.seed)
    feed = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    engine = Engine(net, args.threads, math=args.math)
    steps = engine.profile(feed, runs=RUNS)
    work = {layer.key: _multiply_adds(net, layer) for layer in net.layers}
    rows, listed = [], []
    total = sum(step.seconds for step in steps)
    for step in steps:
        positions = _positions(step.shapes[0])
        adds = sum(work[key] for key in step.layers) * positions
        listed.append(
            {
                "layers": step.layers,
                "kernel": step.kernel,
                "shapes": [list(shape) for shape in step.shapes],
                "multiply_adds": adds,
                "milliseconds": 1e3 * step.seconds,
                "space": step.space,
            }
        )
        rows.append(
            [
                " + ".join(step.layers),
                step.kernel,
                "x".join(map(str, step.shapes[0])),
                f"{adds / 1e6:.2f}" if adds else "",
                f"{1e3 * step.seconds:.3f}",
                f"{100 * step.seconds / total:.1f}" if total else "",
                bytes_text(step.space) if step.space else "",
            ]
        )
    space = max((step.space for step in steps), default=0)
    facts: dict[str, Any] = {
        "kind": "plan",
        "name": net.name,
        "inputs": {name: list(shape) for name, shape in shapes.items()},
        "threads": engine.threads,
        "math": engine.math,
        "runs": RUNS,
        "milliseconds": 1e3 * total,
        "blob_bytes": engine.buffer_bytes,
        "space_bytes": space,
        "steps": listed,
    }
    fed = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
    header = ["layers", "kernel", "shape", "M mult-adds", "ms", "%", "memory"]
    text = (
        f"{args.file}: net `{net.name}` on {fed}, {engine.threads} threads, math {engine.math}\n"
        f"{1e3 * total:.3f} ms, medians of {RUNS} runs of each kernel by itself\n"
        f"memory: blobs {bytes_text(engine.buffer_bytes)}, kernels "
        f"{bytes_text(space)} at most\n\n{table(header, rows, left=3)}"
    )
    return facts, text


def _fed(name: str, shape: Shape | None, batch: int | None) -> Shape:
    if not shape:
        raise UsageError(
            f"the input `{name}` has no declared shape",
            hint="state it in the prototxt: input_param { shape { ... } }",
        )
    return shape if batch is None else (batch, *shape[1:])


def _multiply_adds(net: Net, layer: Layer) -> int:
    """Return those of a layer for one position of its result, all outputs of it together."""
    return prod(net.parameters.shape(layer.parameters[0])) if layer.type in PRODUCTS else 0


def _positions(shape: Shape) -> int:
    """Return how many times the weights are used for a result (images, outputs, positions...)."""
    return prod(shape[:1]) * prod(shape[2:])
