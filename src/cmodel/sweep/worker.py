"""Measures one setting in a process of its own: ``python -m cmodel.sweep.worker TASK.json``.

A process of its own has a high water of memory of its own, and takes nothing along when it dies.
The row is written to the file that the task names.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from cmodel import container
from cmodel.compress import compress, recipe_of
from cmodel.engine import Engine
from cmodel.errors import CmodelError, LimitError
from cmodel.evaluate import compare, outputs
from cmodel.sweep.grid import Calibration, NetSpec
from cmodel.sweep.subject import Subject
from cmodel.threads import set_thread_count

REFERENCE, IMAGES = "reference.npy", "images.npy"


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Compress, write, read, run and judge; return the measured part of a row.

    The task has: folder (of the grid), net (a NetSpec's fields), recipe, seed, work (a folder with
    the original's scores and maybe its images).

    Raises
    ------
    CmodelError : the setting cannot be had on this net.
    """
    fields = dict(task["net"])
    if fields.get("calibration") is not None:
        fields["calibration"] = Calibration(**fields["calibration"])
    fields["transform"] = tuple((key, value) for key, value in fields["transform"])
    subject = Subject(Path(task["folder"]), NetSpec(**fields), task["seed"])
    work = Path(task["work"])
    count = subject.net.parameter_count()
    calibration = subject.calibration()

    start = perf_counter()
    packed = compress(
        subject.net,
        recipe_of(task["recipe"], "recipe"),
        data=calibration,
        seed=task["seed"],
    )
    file = work / "packed.cmodel"
    size = container.write(packed, file)
    compressed = perf_counter()
    # The container decodes at access, and the engine keeps what it asked for.
    net = container.read(file)
    for name in net.parameters:
        net.parameters[name] = net.parameters[name]
    decoded = perf_counter()
    row: dict[str, Any] = {
        "parameters": count,
        "bytes": size,
        "bytes_before": 4 * count,
        "ratio": 4 * count / size,
        "bits_per_weight": 8 * size / count if count else None,
        "compress_seconds": compressed - start,
        "decode_seconds": decoded - compressed,
    }
    if subject.inputs is not None:
        images = work / IMAGES
        scores = outputs(
            Engine(net),
            np.load(images, mmap_mode="r") if images.exists() else subject.inputs,
            input_blob=subject.input_blob,
            output_blob=subject.output_blob,
            batch=subject.batch,
        )
        row["eval_seconds"] = perf_counter() - decoded
        row |= _judged(np.load(work / REFERENCE), scores, subject)
    return row


def _judged(reference: Any, scores: Any, subject: Subject) -> dict[str, Any]:
    found = compare(reference, scores, subject.labels)
    return {
        "images": found.images,
        "top1": found.top1,
        "top5": found.top5,
        "baseline_top1": found.baseline,
        "baseline_top5": found.baseline5,
        "loss": found.loss,
        "interval": None if found.interval is None else list(found.interval),
        "worse": found.worse,
        "better": found.better,
        "kl": found.kl if math.isfinite(found.kl) else None,
        "agreement": found.agreement,
    }


def peak_memory() -> int | None:
    """Return the most bytes of memory that this process has held; None where it cannot be told."""
    # Linux hands ru_maxrss of the parent down to a new program, VmHWM is the program's own.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:  # not a POSIX system
        return None
    high = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return high if sys.platform == "darwin" else 1024 * high


def error_facts(error: CmodelError) -> dict[str, Any]:
    """Return an error as JSON data."""
    return {
        "name": error.name,
        "message": error.message,
        "where": error.where,
        "notes": list(error.notes),
        "hint": error.hint,
    }


def main(path: str) -> None:
    """Do the task of this file."""
    task = json.loads(Path(path).read_text("utf-8"))
    set_thread_count(task["threads"])
    try:
        row = measure(task)
    except CmodelError as error:
        row = {"error": error_facts(error)}
    except MemoryError:
        row = {"error": error_facts(LimitError("there is not enough memory"))}
    row["peak_memory"] = peak_memory()
    Path(task["row"]).write_text(json.dumps(row, allow_nan=False), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
