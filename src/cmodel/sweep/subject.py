"""A net of a grid, loaded, with the images that judge it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cmodel.caffe import load_mean, load_net
from cmodel.data import (
    Inputs,
    IntArray,
    merge,
    open_source,
    sample,
    transform_from_layer,
    transform_from_options,
)
from cmodel.errors import DataError, UsageError, WeightsError
from cmodel.evaluate import moderate_batch
from cmodel.files import digest
from cmodel.net import INPUT_TYPES, InputTransform, Net, image_inputs, score_blobs
from cmodel.sweep.grid import NetSpec


class Subject:
    """A net of a grid and its images. Everything is opened anew for each one made.

    net : as the files have it, its transform among it.
    inputs, labels : of the judged images; None without data, and labels None also where the source
        has none or the weights are not trained: of random weights no accuracy is told.

    Raises
    ------
    CmodelError : files that cannot be read or do not fit.
    """

    def __init__(self, folder: Path, spec: NetSpec, seed: int) -> None:
        self.folder, self.spec, self.seed = folder, spec, seed
        weights = None if spec.weights is None else folder / spec.weights
        self.net = load_net(folder / spec.prototxt, weights)
        if self.net.notes.pop("unfilled", []) and spec.trained:
            raise WeightsError(
                "the weights lack parameters whose fillers are random",
                where=str(weights or folder / spec.prototxt),
                hint="give the right caffemodel, or say `trained = false`",
            )
        self.input_blob = _one(image_inputs(self.net), "input")
        self.output_blob = spec.output or _one(score_blobs(self.net), "output")
        self.shape = self.net.inputs[self.input_blob]
        transform = self._transform()
        self.net.transform = None if transform.is_identity else transform
        self.transform = transform
        self.inputs: Inputs | None = None
        self.labels: IntArray | None = None
        if spec.data is not None:
            source = open_source(
                folder / spec.data,
                labels=None if spec.labels is None else folder / spec.labels,
                root=None if spec.root is None else folder / spec.root,
            )
            if source.as_fed and spec.transform:
                raise UsageError(
                    f"{', '.join(key for key, _ in spec.transform)}: `{source.path}` holds arrays, "
                    "which are fed as they are"
                )
            judged = source.labels if spec.trained else None
            chosen = sample(len(source) if judged is None else judged, spec.limit, seed)
            self.inputs = Inputs(source, chosen, transform, self.shape, self.batch)
            self.labels = None if judged is None else judged[chosen]

    @property
    def batch(self) -> int:
        """Images that are run at a time: those stated, or what makes blobs of a moderate size."""
        if self.spec.batch is not None:
            return self.spec.batch
        return moderate_batch(self.net, self.input_blob)

    def calibration(self) -> Inputs | None:
        """Return the images for methods that look at some, None where the grid names none."""
        wanted = self.spec.calibration
        if wanted is None:
            return None
        root = None if wanted.root is None else self.folder / wanted.root
        source = open_source(self.folder / wanted.data, root=root)
        chosen = sample(len(source), wanted.images, self.seed)
        return Inputs(source, chosen, self.transform, self.shape)

    def _transform(self) -> InputTransform:
        stated = dict(self.spec.transform)
        base = self._from_layer(self.net, self.spec.prototxt) or InputTransform()
        other = stated.pop("transform_from", None)
        if other is not None:
            net = load_net(self.folder / other, require_weights=False)
            found = self._from_layer(net, other)
            if found is None:
                raise DataError("it has no data layer", where=str(self.folder / other))
            base = merge(base, found)
        for key in ("scale", "mean_value"):
            if not isinstance(stated.get(key, ()), list | tuple):
                stated[key] = (stated[key],)
        if "mean_file" in stated:
            stated["mean_file"] = self.folder / stated["mean_file"]
        return merge(base, transform_from_options(**stated, load_mean=load_mean))

    def _from_layer(self, net: Net, path: str) -> InputTransform | None:
        for layer in net.layers:
            if layer.type in INPUT_TYPES - {"Input"}:
                folder = (self.folder / path).parent
                return transform_from_layer(layer.param, folder, load_mean=load_mean).transform
        return None


def identity(folder: Path, spec: NetSpec) -> dict[str, Any]:
    """Return what tells a net from another one: hashes of its files, and the images that judge it.

    Raises
    ------
    InputError : a file cannot be read.
    """
    data = {
        "data": spec.data,
        "labels": spec.labels,
        "root": spec.root,
        "limit": spec.limit,
        "output": spec.output,
        "transform": {key: _plain(value) for key, value in spec.transform},
        "calibration": None if spec.calibration is None else vars(spec.calibration),
    }
    return {
        "net": spec.name,
        "trained": spec.trained,
        "prototxt_sha256": digest(folder / spec.prototxt),
        "weights_sha256": None if spec.weights is None else digest(folder / spec.weights),
        "judged": data,
    }


def files_of(folder: Path, spec: NetSpec) -> list[Path]:
    """Return every file that a net of a grid and its images are read from."""
    stated = dict(spec.transform)
    names = [spec.prototxt, spec.weights, spec.data, spec.labels]
    names += [stated.get("mean_file"), stated.get("transform_from")]
    if spec.calibration is not None:
        names.append(spec.calibration.data)
    return [folder / name for name in names if name is not None]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _one(names: list[str], what: str) -> str:
    if len(names) != 1:
        raise UsageError(
            f"the net has {len(names)} {what}s: {', '.join(names)}",
            hint="name the blob of the scores by `output`" if what == "output" else None,
        )
    return names[0]
