"""Engine: runs a network on arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmodel.engine.blas import single_threaded_blas
from cmodel.engine.selection import Selection, describe_inputs, select
from cmodel.errors import LimitError, NetError, UsageError, WeightsError, did_you_mean
from cmodel.net import INPUT_TYPES, Layer, Net, Shape, Shapes, infer_shapes
from cmodel.net.shapes.rule import text
from cmodel.threads import thread_count

if TYPE_CHECKING:
    from cmodel.engine.ops.op import Op
    from cmodel.engine.plan import Plan

Array = NDArray[np.float32]
MATH = ("exact",)


class Engine:
    """Runs one network.

    Parameters are prepared at the first run that needs them; shapes, kernels and memory are planned
    again only when the fed shapes or the wanted blobs change. The results do not depend on the
    number of threads. One engine runs one call at a time.

    Parameters
    ----------
    net : the network, its parameters in any tensor form.
    threads : how many threads share the work; None means all cores that the process may use.
    math : "exact": no algorithm that changes the error of the results for speed.

    Raises
    ------
    UsageError : for a wrong `threads` or `math`.
    """

    def __init__(self, net: Net, threads: int | None = None, math: str = "exact") -> None:
        if math not in MATH:
            raise UsageError(
                f"math is {' or '.join(map(repr, MATH))}, not {math!r}",
            )
        if threads is None:
            threads = thread_count()
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise UsageError(f"threads is a whole number from 1 up, not {threads!r}")
        # Loads the compiled kernels and SciPy's BLAS, which `import cmodel` does without.
        from cmodel.engine.ops import registry
        from cmodel.engine.plan import Plan

        self.net = net
        self.threads = threads
        self.math = math
        self._factory_of = registry.factory_of
        self._make_plan = Plan
        self._ops: dict[str, Op] = {}
        self._key: tuple[Any, ...] = ()
        self._plan: Plan | None = None
        self._lock = Lock()

    @property
    def inputs(self) -> dict[str, Shape | None]:
        """Blobs that can be fed, with their declared shapes."""
        return self.net.inputs

    @property
    def outputs(self) -> list[str]:
        """Blobs that no layer of the net reads."""
        return self.net.outputs

    def run(
        self, feed: Mapping[str, ArrayLike], blobs: Sequence[str] | str | None = None
    ) -> dict[str, Array]:
        """Run the network on the fed arrays.

        Parameters
        ----------
        feed : arrays by input blob; the shapes may differ from the declared ones in batch and in
            height and width. They are converted to float32 and never changed.
        blobs : what to return: None for the outputs, "all" for every blob as it stands at the end
            (a layer in place has overwritten its bottom), or names. Layers that are not needed, or
            that evaluate labels which are not fed, do not run.

        Returns
        -------
        New float32 arrays by blob name.

        Raises
        ------
        NetError : unknown or missing blobs, shapes that do not fit.
        WeightsError : parameters that are missing or do not fit.
        LimitError : more memory needed than there is.
        UnsupportedError : a layer type, needed for `blobs`, that the engine does not have.
        """
        arrays = {name: self._array(name, value) for name, value in feed.items()}
        shapes = {name: array.shape for name, array in arrays.items()}
        wanted = blobs if blobs is None or isinstance(blobs, str) else tuple(blobs)
        with self._lock, np.errstate(all="ignore"), single_threaded_blas():
            key = (shapes, wanted)
            if self._plan is None or self._key != key:
                # The old buffers go before the new ones come.
                self._plan = None
                try:
                    self._plan = self._planned(shapes, wanted)
                except MemoryError as error:
                    raise LimitError(
                        "there is not enough memory for the parameters and the blobs",
                        hint="feed a smaller batch or smaller images",
                    ) from error
                self._key = key
            return self._plan.run(arrays)

    def _array(self, name: str, value: ArrayLike) -> Array:
        inputs = self.net.inputs
        if name not in inputs:
            raise NetError(
                f"the net has no input blob `{name}`",
                hint=did_you_mean(name, inputs) or describe_inputs(self.net),
            )
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise NetError(f"the array fed to `{name}` holds {array.dtype}, not numbers")
        declared = inputs[name]
        if declared is not None and (
            array.ndim != len(declared) or array.shape[1:2] != declared[1:2]
        ):
            raise NetError(
                f"the array fed to `{name}` has the shape {text(array.shape)}; "
                f"the net declares {text(declared)}: axes and channels have to match",
                hint=describe_inputs(self.net),
            )
        return np.asarray(array, np.float32, order="C")

    def _planned(self, fed: Mapping[str, Shape], blobs: Sequence[str] | str | None) -> Plan:
        selection = select(self.net, fed, blobs)
        part = replace(self.net, layers=selection.layers)
        shapes = infer_shapes(part, {name: fed.get(name) for name in part.inputs})
        ops = self._prepared(selection, shapes, fed)
        return self._make_plan(
            self.net, selection.layers, selection.blobs, fed, shapes, ops, self.threads
        )

    def _prepared(
        self, selection: Selection, shapes: Shapes, fed: Mapping[str, Shape]
    ) -> dict[str, Op]:
        for layer in selection.layers:
            if layer.type in INPUT_TYPES:
                continue
            factory = self._factory_of(layer)
            self._check_parameters(layer, shapes.parameters[layer.key] or [], fed)
            if layer.key not in self._ops:
                forms = [self.net.parameters[name] for name in layer.parameters]
                self._ops[layer.key] = factory(layer, forms)
        return self._ops

    def _check_parameters(
        self, layer: Layer, needed: Sequence[Shape], fed: Mapping[str, Shape]
    ) -> None:
        where = f"layer `{layer.key}` ({layer.type})"
        missing = [name for name in layer.parameters if name not in self.net.parameters]
        if missing or len(layer.parameters) != len(needed):
            raise WeightsError(
                f"the layer needs {len(needed)} parameters and has "
                f"{len(layer.parameters) - len(missing)}",
                where=where,
                hint="load the net together with its weights",
            )
        for name, shape in zip(layer.parameters, needed, strict=True):
            held = self.net.parameters.shape(name)
            if _trimmed(held) == _trimmed(shape):
                continue
            inputs = self.net.inputs
            resized = any(inputs[blob] != size for blob, size in fed.items())
            kind = NetError if resized else WeightsError
            raise kind(
                f"the parameter `{name}` has the shape {text(held)}; "
                f"the layer needs {text(shape)} for what is fed",
                where=where,
                hint=describe_inputs(self.net),
            )


def _trimmed(shape: Shape) -> Shape:
    """Return a shape without leading ones: old files pad with them."""
    start = 0
    while start < len(shape) and shape[start] == 1:
        start += 1
    return shape[start:]
