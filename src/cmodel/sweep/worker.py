"""One setting of a sweep, measured: the job of a sweep's pieces."""

from __future__ import annotations

import json
import math
import platform
import shutil
import tempfile
import weakref
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import scipy

from cmodel import container
from cmodel._version import __version__
from cmodel.compress import compress, recipe_of
from cmodel.engine import Engine
from cmodel.errors import CmodelError, error_facts
from cmodel.evaluate import compare, outputs
from cmodel.executor import Kept, Tell, in_child
from cmodel.sweep.grid import Calibration, NetSpec
from cmodel.sweep.subject import Subject

# The images of a net are kept prepared where they take no more.
MAX_HELD = 1 << 30
_REFERENCE, _IMAGES, _PACKED = "reference.npy", "images.npy", "packed.cmodel"


def measure_setting(task: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Return the measured part of a row; of a setting that fails, its `error`.

    The task has: token (of the executor), folder (of the grid), net (a NetSpec's fields), recipe,
    seed, threads. The original is run once in a process, each setting in one of its own.
    """
    tell(0, 1, "")
    key = json.dumps([task[name] for name in ("token", "folder", "net", "seed", "threads")])
    baseline = _BASELINES.get(key, lambda: _Baseline(task))
    row: dict[str, Any] = {"versions": versions()}
    if baseline.error is not None:
        return row | {"error": baseline.error}
    with tempfile.TemporaryDirectory(dir=baseline.folder) as work:
        places = {"held": str(baseline.folder), "work": work}
        found = in_child(measure, task | places, task["threads"])
    row |= found.pop("answer", {})
    return row | found


class _Baseline:
    """The original's scores and prepared images, in files; or the error that stands in their way.

    folder : of the files; it goes when this object does.
    """

    def __init__(self, task: dict[str, Any]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cmodel-sweep-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.error: dict[str, Any] | None = None
        try:
            subject = _subject(task)
            if subject.inputs is None:
                return
            images = subject.inputs.held(MAX_HELD)
            scores = outputs(
                Engine(subject.net, task["threads"]),
                images,
                input_blob=subject.input_blob,
                output_blob=subject.output_blob,
                batch=subject.batch,
            )
        except CmodelError as error:
            self.error = error_facts(error)
            return
        np.save(self.folder / _REFERENCE, scores)
        if isinstance(images, np.ndarray):
            np.save(self.folder / _IMAGES, images)


_BASELINES: Kept[_Baseline] = Kept()


def measure(task: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Compress, write, read, run and judge; return the measured part of a row.

    The task of `measure_setting`, with: held (the folder with the original's scores and maybe its
    images), work (an empty folder).

    Raises
    ------
    CmodelError : the setting cannot be had on this net.
    """
    subject = _subject(task)
    held = Path(task["held"])
    count = subject.net.parameter_count()
    calibration = subject.calibration()

    start = perf_counter()
    packed = compress(
        subject.net,
        recipe_of(task["recipe"], "recipe"),
        data=calibration,
        seed=task["seed"],
    )
    file = Path(task["work"]) / _PACKED
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
        images = held / _IMAGES
        scores = outputs(
            Engine(net),
            np.load(images, mmap_mode="r") if images.exists() else subject.inputs,
            input_blob=subject.input_blob,
            output_blob=subject.output_blob,
            batch=subject.batch,
        )
        row["eval_seconds"] = perf_counter() - decoded
        row |= _judged(np.load(held / _REFERENCE), scores, subject)
    return row


def versions() -> dict[str, str]:
    """Return what a row says of the software that measured it."""
    return {
        "cmodel": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def _subject(task: dict[str, Any]) -> Subject:
    fields = dict(task["net"])
    if fields.get("calibration") is not None:
        fields["calibration"] = Calibration(**fields["calibration"])
    fields["transform"] = tuple((key, value) for key, value in fields["transform"])
    return Subject(Path(task["folder"]), NetSpec(**fields), task["seed"])


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
