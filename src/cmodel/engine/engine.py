"""Engine: runs a network on arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeGuard, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmodel.blas import limit_threads
from cmodel.engine.sections import Section, cut
from cmodel.engine.selection import describe_inputs, select
from cmodel.errors import DataError, LimitError, NetError, UsageError, WeightsError, did_you_mean
from cmodel.net import Layer, Net, Parameter, Parameters, Shape, infer_shapes
from cmodel.net.shapes.rule import check_shape, text
from cmodel.proto import caffe_pb2
from cmodel.threads import thread_count

if TYPE_CHECKING:
    from cmodel.engine.ops.op import DynamicOp, Op
    from cmodel.engine.plan import Plan, Step

Array = NDArray[np.float32]
MATH = ("exact", "fast", "int8")
FLOAT32 = np.dtype(np.float32)


@dataclass
class _Stage:
    """A section of a run, and its plan for the shapes that its inputs have had last."""

    section: Section
    shapes: dict[str, Shape] | None = None
    plan: Plan | None = None
    closing: DynamicOp | None = None


@dataclass(frozen=True)
class _Ready:
    """A plan that is all of a run, and the runs that it serves as they come.

    Checking the fed arrays again would take as long as a small layer.
    """

    shapes: dict[str, Shape]
    wanted: str | tuple[str, ...] | None
    plan: Plan

    def takes(
        self, feed: Mapping[str, ArrayLike], blobs: Sequence[str] | str | None
    ) -> TypeGuard[Mapping[str, Array]]:
        """Return whether a run is as planned, its arrays as they are used."""
        if blobs != self.wanted or len(feed) != len(self.shapes):
            return False
        for name, shape in self.shapes.items():
            array = feed.get(name)
            if type(array) is not np.ndarray or array.shape != shape:
                return False
            if array.dtype is not FLOAT32:
                return False
        return True


class Engine:
    """Runs one network.

    Parameters are prepared at the first run that needs them; shapes, kernels and memory are planned
    again only when the fed shapes or the wanted blobs change. The results do not depend on the
    number of threads. One engine runs one call at a time.

    Parameters
    ----------
    net : the network, its parameters in any tensor form.
    threads : how many threads share the work; None means all cores that the process may use.
    math : "exact": no algorithm that changes the error of the results for speed. "fast": layers
        may use Winograd's filtering; errors stay below 1e-4 of a blob's largest magnitude.
        "int8": layers that are calibrated for it, and whose weights are 8-bit integers, compute
        with integers (`quantize.activations`); the others as with "fast".
    compressed : layers whose weights are sparse, or share few values, are computed from these as
        they are, where that is expected to be quicker; results differ in the last bits, and a
        weight that is not stored takes no part even where the input is infinite or NaN. False:
        all weights are made dense first.

    Raises
    ------
    UsageError : for a wrong `threads` or `math`, or for "int8" where no layer is calibrated.
    """

    def __init__(
        self,
        net: Net,
        threads: int | None = None,
        math: str = "exact",
        compressed: bool = True,
    ) -> None:
        if math not in MATH:
            raise UsageError(
                f"math is {' or '.join(map(repr, MATH))}, not {math!r}",
            )
        if math == "int8" and not any(layer.range for layer in net.layers):
            raise UsageError(
                "no layer of the net is calibrated for 8-bit integers",
                hint="pack it with `--preset int8 --calib SOURCE`, or with a recipe that has the "
                "steps `quantize.linear` and `quantize.activations`",
            )
        if threads is None:
            threads = thread_count()
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise UsageError(f"threads is a whole number from 1 up, not {threads!r}")
        # Loads the compiled kernels and SciPy's BLAS, which `import cmodel` does without.
        from cmodel.engine.ops import registry
        from cmodel.engine.plan import Plan

        self.net = net
        self._inputs = net.inputs
        self.threads = threads
        self.math = math
        self.compressed = compressed
        self._factory_of = registry.factory_of
        self._make_plan = Plan
        self._ops: dict[str, Op | DynamicOp] = {}
        self._key: tuple[Any, ...] = ()
        self._blobs: list[str] = []
        self._stages: list[_Stage] = []
        self._ready: _Ready | None = None
        self._lock = Lock()

    @property
    def inputs(self) -> dict[str, Shape | None]:
        """Blobs that can be fed, with their declared shapes."""
        return dict(self._inputs)

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
        try:
            with self._lock:
                if self._ready is not None and self._ready.takes(feed, blobs):
                    return self._ready.plan.run(feed)
                return self._run_checked(feed, blobs)
        except MemoryError as error:
            raise LimitError(
                "there is not enough memory for the parameters and the blobs",
                hint="feed a smaller batch or smaller images",
            ) from error

    def _run_checked(
        self, feed: Mapping[str, ArrayLike], blobs: Sequence[str] | str | None
    ) -> dict[str, Array]:
        arrays = {name: self._array(name, value) for name, value in feed.items()}
        shapes = {name: array.shape for name, array in arrays.items()}
        wanted = blobs if blobs is None or isinstance(blobs, str) else tuple(blobs)
        key = (shapes, wanted)
        if self._key != key:
            # The old buffers go before the new ones come.
            self._key, self._stages, self._ready = (), [], None
            selection = select(self.net, shapes, wanted)
            self._blobs = selection.blobs
            self._stages = [_Stage(section) for section in cut(selection)]
            self._key = key
        values = dict(arrays)
        with np.errstate(all="ignore"):
            for stage in self._stages:
                self._run_stage(stage, values, shapes)
        self._ready = self._prepared(shapes, wanted)
        # An array that was fed and not changed is the caller's.
        return {
            name: values[name].copy() if values[name] is arrays.get(name) else values[name]
            for name in self._blobs
        }

    def _prepared(
        self, shapes: dict[str, Shape], wanted: str | tuple[str, ...] | None
    ) -> _Ready | None:
        """Return what the next run may go by if it is like this one."""
        if len(self._stages) != 1:
            return None
        stage = self._stages[0]
        plan = stage.plan
        if stage.closing is not None or plan is None or not plan.native:
            return None
        if list(shapes) != list(stage.section.inputs) or self._blobs != list(stage.section.outputs):
            return None
        return _Ready(shapes, wanted, plan)

    def profile(
        self,
        feed: Mapping[str, ArrayLike],
        blobs: Sequence[str] | str | None = None,
        runs: int = 10,
    ) -> list[Step]:
        """Run the network as `run` does, then each kernel by itself; return what they are and took.

        A layer whose shapes depend on values is no step of it.

        Raises
        ------
        As `run`.
        """
        self.run(feed, blobs)
        arrays = {name: self._array(name, value) for name, value in feed.items()}
        steps: list[Step] = []
        with self._lock, np.errstate(all="ignore"), limit_threads(1):
            values = dict(arrays)
            for stage in self._stages:
                if stage.plan is not None:
                    inputs = {name: values[name] for name in stage.section.inputs}
                    steps += stage.plan.timed(inputs, runs)
                self._run_stage(stage, values, {name: x.shape for name, x in arrays.items()})
        return steps

    @property
    def buffer_bytes(self) -> int:
        """Bytes of the buffers that the last run used for its blobs."""
        return sum(stage.plan.buffer_bytes for stage in self._stages if stage.plan is not None)

    def _run_stage(self, stage: _Stage, values: dict[str, Array], fed: Mapping[str, Shape]) -> None:
        """Run a section; put what it makes into `values`."""
        section = stage.section
        shapes = {name: values[name].shape for name in section.inputs}
        if stage.shapes != shapes:
            stage.plan = stage.closing = stage.shapes = None
            for name, shape in shapes.items():
                if 0 in shape:
                    raise DataError(
                        "the blob is empty: no entry of the batch, or no detection, is left for "
                        "the layers behind it",
                        where=f"blob `{name}`",
                        hint="ask for this blob only",
                    )
            self._plan_stage(stage, shapes, fed)
            stage.shapes = shapes
        if stage.plan is not None:
            # Taking hold of BLAS costs as much time as a small layer.
            with limit_threads(1) if stage.plan.multiplies else nullcontext():
                values.update(stage.plan.run({name: values[name] for name in section.inputs}))
        if section.last is not None and stage.closing is not None:
            with limit_threads(1):
                tops = stage.closing.compute([values[name] for name in section.last.bottoms])
            values.update(zip(section.last.tops, tops, strict=True))

    def _plan_stage(
        self, stage: _Stage, inputs: dict[str, Shape], fed: Mapping[str, Shape]
    ) -> None:
        from cmodel.engine.ops.op import Op

        section = stage.section
        closing = [] if section.last is None else [section.last]
        layers = [*section.layers, *closing]
        header = caffe_pb2.NetParameter(input=list(inputs))
        shapes = infer_shapes(Net(header, layers, Parameters()), inputs)
        for layer in layers:
            factory = self._factory_of(layer)
            self._check_parameters(layer, shapes.parameters[layer.key] or [], fed)
            if layer.key not in self._ops:
                op = factory(layer, _Forms(self.net.parameters, layer.parameters))
                if isinstance(op, Op):
                    op.fast = self.math != "exact"
                    op.range = layer.range if self.math == "int8" else None
                    op.compressed = self.compressed
                self._ops[layer.key] = op
        ops = {layer.key: self._ops[layer.key] for layer in layers}
        if section.layers:
            static = {key: op for key, op in ops.items() if isinstance(op, Op)}
            stage.plan = self._make_plan(section, inputs, shapes, static, self.threads)
        for layer in closing:
            op = ops[layer.key]
            stage.closing = None if isinstance(op, Op) else op

    def _array(self, name: str, value: ArrayLike) -> Array:
        inputs = self._inputs
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
        check_shape(f"input `{name}`", array.shape, "the blob")
        return np.asarray(array, np.float32, order="C")

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


class _Forms(Sequence[Parameter]):
    """The parameters of a layer; those of a file are decoded at each access, and not kept."""

    def __init__(self, parameters: Parameters, names: Sequence[str]) -> None:
        self._parameters, self._names = parameters, names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> Parameter: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Parameter]: ...

    def __getitem__(self, index: int | slice) -> Parameter | Sequence[Parameter]:
        if isinstance(index, slice):
            return [self._parameters[name] for name in self._names[index]]
        return self._parameters[self._names[index]]


def _trimmed(shape: Shape) -> Shape:
    """Return a shape without leading ones: old files pad with them."""
    start = 0
    while start < len(shape) and shape[start] == 1:
        start += 1
    return shape[start:]
