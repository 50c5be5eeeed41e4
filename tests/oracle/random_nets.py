"""Random valid nets, small enough that two hundred of them run in seconds.

What OpenCV 4.14 does otherwise than Caffe, or not at all, does not occur in them. What Caffe does in
these cases its own outputs show (tests/golden), and the plain reference:

- `round_mode` of a pooling, `k` of LRN and `eps` of MVN: it leaves out the first two, and adds the
  third to the variance instead of the deviation. MVN without the variance is an error.
- A pooling whose kernel is larger than the image: it finds a negative size. Caffe rounds up to 1.
- A Slice without slice_point: it counts the tops that are read instead of those that are named.
- Normalize across places with a factor for each channel is an error, and so are scalar parameters.
- A depthwise 3x3 convolution with dilation, or over images smaller than 4: values at the left and
  right edge are wrong in its special kernel (a convolution with fewer groups is right).
- LRN of values of very different sizes: its running sum loses the small ones.
- A blob that shares another one's memory in Caffe (Flatten, Reshape, Split) and is changed in place:
  it gives every layer its own values.

Layers in place on a blob that an earlier layer reads do not occur either: Caffe refuses such a net.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cmodel.errors import NetError
from cmodel.net import Layer, Net, Parameters, Shape, Sharing, infer_shapes, parameter_name
from cmodel.proto import caffe_pb2
from cmodel.tensors import Dense

# A blob with more values is not taken on: it would only cost time.
MOST_VALUES = 20_000
LEAST_LAYERS, MOST_LAYERS = 4, 20


class Builder:
    """A net that grows by a random layer at a time."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.params: list[caffe_pb2.LayerParameter] = []
        self.shapes: dict[str, Shape] = {}
        self.parameters: dict[str, list[Shape]] = {}
        self.read: set[str] = set()
        self.sharing = Sharing()
        self.shared: set[str] = set()

    def pick(self, *choices):
        """Return one of the choices."""
        return choices[int(self.rng.integers(len(choices)))]

    def number(self, least: int, most: int) -> int:
        """Return a whole number from `least` to `most`."""
        return int(self.rng.integers(least, most + 1))

    def chance(self, odds: float) -> bool:
        """Return True so often."""
        return bool(self.rng.random() < odds)

    def blob(self, rank: int | None = 4) -> str | None:
        """Return a blob of so many axes, the later ones more often."""
        names = [name for name, shape in self.shapes.items() if rank in (None, len(shape))]
        if not names:
            return None
        weights = np.arange(1, len(names) + 1, dtype=float) ** 2
        return names[int(self.rng.choice(len(names), p=weights / weights.sum()))]

    def add(self, kind: str, bottoms: list[str], tops: int = 1, in_place: bool = False, **fields):
        """Add a layer if it is valid; return its tops, or None."""
        name = f"{kind.lower()}{len(self.params)}"
        names = [name] if tops == 1 else [f"{name}_{i}" for i in range(tops)]
        if in_place and bottoms[0] not in self.read | self.shared | {"data"}:
            names = bottoms[:1]
        param = caffe_pb2.LayerParameter(name=name, type=kind, bottom=bottoms, top=names, **fields)
        layer = Layer(param, name)
        header = caffe_pb2.NetParameter(input=dict.fromkeys(bottoms))
        sizes = {bottom: self.shapes[bottom] for bottom in bottoms}
        try:
            found = infer_shapes(Net(header, [layer], Parameters()), sizes)
        except NetError:
            return None
        shapes = [found.blobs[top] for top in names]
        if any(np.prod(shape) > MOST_VALUES for shape in shapes):
            return None
        self.params.append(param)
        self.parameters[name] = found.parameters[name]
        self.read.update(bottoms)
        self.read.difference_update(names)
        self.shapes.update(zip(names, shapes, strict=True))
        before = set(self.shared)
        if kind in ("Flatten", "Reshape", "Split") or (kind == "Slice" and tops == 1):
            self.shared |= {bottoms[0], *names}
        assert not self.sharing.enter(layer), before
        return names

    def net(self) -> Net:
        """Return the net, with parameters that keep the values in bounds."""
        layers, parameters = [], Parameters()
        for param in self.params:
            layer = Layer(param, param.name)
            for i, shape in enumerate(self.parameters.get(param.name, ())):
                name = parameter_name(layer.key, i)
                layer.parameters.append(name)
                parameters[name] = Dense(self.values(param.type, i, shape))
            layers.append(layer)
        return Net(caffe_pb2.NetParameter(name="random"), layers, parameters)

    def values(self, kind: str, index: int, shape: Shape) -> np.ndarray:
        """Return values for a parameter: gains around 1, so that depth neither blows up nor dies."""
        values = self.rng.standard_normal(shape)
        if kind == "BatchNorm":
            values = [values, np.abs(values) + 0.5, np.full(shape, 1.7)][index]
        elif kind in ("Scale", "Normalize") and index == 0:
            values = 1 + values / 4
        elif len(shape) > 1:
            inputs = (
                shape[0] * np.prod(shape[2:]) if kind == "Deconvolution" else np.prod(shape[1:])
            )
            values = values / np.sqrt(inputs)
        else:
            values = values / 4
        return np.asarray(values, np.float32)


def _window(b: Builder, sizes: Shape = (4, 4)) -> dict[str, list[int]]:
    """Return kernel, stride and pad of both axes; the kernel is within `sizes`."""
    kernel = [b.number(1, min(4, size)) for size in sizes]
    stride = [b.number(1, min(3, k)) for k in kernel]
    pad = [b.number(0, (k - 1) // 2) if b.chance(0.5) else 0 for k in kernel]
    return {"kernel": kernel, "stride": stride, "pad": pad}


def _convolve(b: Builder, kind: str) -> None:
    bottom = b.blob()
    channels = b.shapes[bottom][1]
    group = b.pick(*(g for g in (1, 1, 2, 3, channels) if channels % g == 0))
    if kind == "ConvolutionDepthwise":
        group = channels
    window = _window(b)
    param = caffe_pb2.ConvolutionParameter(
        num_output=channels if kind == "ConvolutionDepthwise" else group * b.number(1, 4),
        group=group,
        bias_term=b.chance(0.8),
    )
    if b.chance(0.5):
        for name, (first, _) in window.items():
            getattr(param, "kernel_size" if name == "kernel" else name).append(first)
        if kind == "Convolution" and b.chance(0.3):
            param.dilation.append(2)
    else:
        for name, (first, second) in window.items():
            setattr(param, f"{name}_h", first)
            setattr(param, f"{name}_w", second)
    if group == channels > 1 and kind != "Deconvolution":
        # OpenCV's own kernel for these.
        if min(b.shapes[bottom][2:]) < 4:
            return
        del param.dilation[:]
    tops = b.add(kind, [bottom], convolution_param=param)
    if tops and b.chance(0.5):
        b.add("ReLU", tops, in_place=True)


def _pool(b: Builder) -> None:
    bottom = b.blob()
    param = caffe_pb2.PoolingParameter(pool=b.pick(0, 1))
    if b.chance(0.2):
        param.global_pooling = True
    else:
        for name, (first, second) in _window(b, b.shapes[bottom][2:]).items():
            setattr(param, f"{name}_h", first)
            setattr(param, f"{name}_w", second)
    b.add("Pooling", [bottom], pooling_param=param)


def _batch_norm(b: Builder) -> None:
    tops = b.add("BatchNorm", [b.blob()], in_place=b.chance(0.5))
    if tops and b.chance(0.8):
        param = caffe_pb2.ScaleParameter(bias_term=b.chance(0.8))
        b.add("Scale", tops, in_place=b.chance(0.7), scale_param=param)


def _lrn(b: Builder) -> None:
    within = b.chance(0.4)
    param = caffe_pb2.LRNParameter(
        local_size=b.pick(3, 5), alpha=b.pick(1e-4, 0.5, 2.0), beta=0.75, norm_region=int(within)
    )
    b.add("LRN", [b.blob()], lrn_param=param)


def _inner_product(b: Builder) -> None:
    param = caffe_pb2.InnerProductParameter(num_output=b.number(1, 8), bias_term=b.chance(0.8))
    tops = b.add("InnerProduct", [b.blob(None)], inner_product_param=param)
    if tops and b.chance(0.5):
        b.add("ReLU", tops, in_place=True)


def _eltwise(b: Builder) -> None:
    bottom = b.blob(None)
    shape = b.shapes[bottom]
    alike = [name for name, other in b.shapes.items() if other == shape]
    param = caffe_pb2.EltwiseParameter(operation=b.pick(0, 1, 1, 2))
    # Longer products, as higher powers, would leave values of too many sizes side by side.
    bottoms = [b.pick(*alike) for _ in range(b.number(2, 3) if param.operation else 2)]
    if param.operation == 1 and b.chance(0.5):
        param.coeff.extend(round(float(value), 2) for value in b.rng.uniform(-1, 1, len(bottoms)))
    b.add("Eltwise", bottoms, eltwise_param=param)


def _concat(b: Builder) -> None:
    shape = b.shapes[b.blob()]
    alike = [
        name
        for name, other in b.shapes.items()
        if len(other) == 4 and other[0] == shape[0] and other[2:] == shape[2:]
    ]
    bottoms = [b.pick(*alike) for _ in range(b.number(2, 4))]
    b.add("Concat", bottoms, concat_param=caffe_pb2.ConcatParameter(axis=b.pick(1, 1, -3)))


def _slice(b: Builder) -> None:
    bottom = b.blob()
    axis = b.pick(1, 1, 2, 3)
    size = b.shapes[bottom][axis]
    param = caffe_pb2.SliceParameter(axis=axis)
    tops = b.number(2, 3)
    if size < tops:
        return
    cuts = b.rng.choice(np.arange(1, size), tops - 1, replace=False)
    param.slice_point.extend(sorted(map(int, cuts)))
    b.add("Slice", [bottom], tops, slice_param=param)


def _crop(b: Builder) -> None:
    bottom = b.blob()
    if min(b.shapes[bottom][2:]) < 3:
        return
    window = caffe_pb2.PoolingParameter(kernel_size=b.number(2, 3), stride=b.number(1, 2))
    smaller = b.add("Pooling", [bottom], pooling_param=window)
    if smaller:
        room = [x - y for x, y in zip(b.shapes[bottom][2:], b.shapes[smaller[0]][2:], strict=True)]
        if min(room) >= 0:
            param = caffe_pb2.CropParameter(axis=2, offset=[b.number(0, most) for most in room])
            b.add("Crop", [bottom, *smaller], crop_param=param)


def _unary(b: Builder) -> None:
    kind = b.pick(
        "ReLU", "ReLU", "ReLU", "PReLU", "ELU", "Sigmoid", "TanH", "AbsVal", "BNLL", "Power", "ReLU6",
        "Dropout", "Softmax",
    )  # fmt: skip
    fields = {}
    if kind == "ReLU" and b.chance(0.4):
        fields["relu_param"] = caffe_pb2.ReLUParameter(negative_slope=0.1)
    elif kind == "PReLU":
        fields["prelu_param"] = caffe_pb2.PReLUParameter(channel_shared=False)
    elif kind == "ELU":
        fields["elu_param"] = caffe_pb2.ELUParameter(alpha=b.pick(1.0, 0.5))
    elif kind == "Power":
        fields["power_param"] = caffe_pb2.PowerParameter(
            power=b.pick(1.0, 2.0), scale=b.pick(0.5, -1.5), shift=b.pick(0.0, 0.25)
        )
    bottom = b.blob(4 if kind in ("PReLU", "Softmax") else None)
    b.add(kind, [bottom], in_place=b.chance(0.5) and kind != "Softmax", **fields)


def _reshape(b: Builder) -> None:
    bottom = b.blob()
    if b.chance(0.5):
        b.add("Flatten", [bottom])
        return
    param = caffe_pb2.ReshapeParameter()
    images, _, height, width = b.shapes[bottom]
    param.shape.dim.extend(b.pick([0, -1, height, width], [images, 1, -1, width], [0, 0, -1, 1]))
    b.add("Reshape", [bottom], reshape_param=param)


def _reorder(b: Builder) -> None:
    bottom = b.blob()
    kind = b.pick("Permute", "ShuffleChannel", "Reorg")
    channels = b.shapes[bottom][1]
    if kind == "Permute":
        order = [0, *map(int, b.rng.permutation(3) + 1)]
        b.add(kind, [bottom], permute_param=caffe_pb2.PermuteParameter(order=order))
    elif kind == "ShuffleChannel":
        group = b.pick(*(g for g in (1, 2, 3, 4) if channels % g == 0))
        param = caffe_pb2.ShuffleChannelParameter(group=group)
        b.add(kind, [bottom], shuffle_channel_param=param)
    else:
        b.add(kind, [bottom], reorg_param=caffe_pb2.ReorgParameter(stride=2))


def _normalise(b: Builder) -> None:
    kind = b.pick("MVN", "Normalize", "Scale")
    if kind == "MVN":
        param = caffe_pb2.MVNParameter(across_channels=b.chance(0.5))
        # The rounding of values that hardly differ would be all that is left of them.
        b.add(kind, ["data"], mvn_param=param)
    elif kind == "Scale":
        param = caffe_pb2.ScaleParameter(bias_term=b.chance(0.5))
        b.add(kind, [b.blob()], in_place=b.chance(0.5), scale_param=param)
    else:
        norm = caffe_pb2.NormalizeParameter(across_spatial=False, channel_shared=False)
        b.add(kind, [b.blob()], norm_param=norm)


def _interp(b: Builder) -> None:
    param = caffe_pb2.InterpParameter()
    if b.chance(0.5):
        param.zoom_factor = 2
    else:
        param.height, param.width = b.number(1, 12), b.number(1, 12)
    b.add("Interp", [b.blob()], interp_param=param)


STEPS: list[tuple[float, Callable[[Builder], None]]] = [
    (5, lambda b: _convolve(b, "Convolution")),
    (1.5, lambda b: _convolve(b, "Deconvolution")),
    (1, lambda b: _convolve(b, "ConvolutionDepthwise")),
    (2.5, _pool),
    (2, _batch_norm),
    (1, _lrn),
    (1.5, _inner_product),
    (2, _eltwise),
    (2, _concat),
    (1.5, _slice),
    (0.7, _crop),
    (4, _unary),
    (1, _reshape),
    (1.2, _reorder),
    (1, _normalise),
    (0.7, _interp),
]


def random_net(seed: int) -> tuple[Net, np.ndarray]:
    """Return a net with one input, `data`, and values for it."""
    b = Builder(seed)
    shape = (b.number(1, 2), b.number(1, 6), b.number(5, 14), b.number(5, 14))
    b.shapes["data"] = shape
    param = caffe_pb2.LayerParameter(name="data", type="Input", top=["data"])
    param.input_param.shape.add().dim.extend(shape)
    b.params.append(param)
    weights = np.array([weight for weight, _ in STEPS])
    wanted = b.number(LEAST_LAYERS, MOST_LAYERS)
    while len(b.params) <= wanted:
        STEPS[int(b.rng.choice(len(STEPS), p=weights / weights.sum()))][1](b)
    return b.net(), b.rng.standard_normal(shape).astype(np.float32)
