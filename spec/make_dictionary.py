"""How the preset dictionary of section 2.3 came about, and where its copies are.

    python spec/make_dictionary.py          writes dictionary.bin and the copies in the readers
    python spec/make_dictionary.py --check  says which of them differ; exit code 1 where any does

The dictionary belongs to format 1.0 and never changes: files that were written with it must stay
readable. It has what the manifests and notes of common nets have, what is most common last: a match
that is near costs fewer bits.
"""

from __future__ import annotations

import base64
import struct
import sys
import zlib
from pathlib import Path

SPEC = Path(__file__).resolve().parent
sys.path.insert(0, str(SPEC / "vectors"))

from builder import message, varint  # noqa: E402 - the folder of the vectors is no package

NOTES = (
    '"calibration","images":"method":"prune.magnitude","density":0.1},{"method":"quantize.kmeans",'
    '"bits":4"granularity":"channel","layers":["steps":[{"recipe":{"name":"rdo"},"seed":0}'
    '{"recipe":{"name":"deep-compression"},"seed":0}{"recipe":{"name":"kmeans-huffman"},"seed":0}'
    '{"recipe":{"name":"linear8"},"seed":0}'
)
TYPES = (
    *("ArgMax", "Bias", "Crop", "Embed", "LSTM", "MVN", "SPP", "Permute", "Normalize", "PriorBox"),
    *("Reduction", "Parameter", "Accuracy", "PReLU", "ELU", "Power", "Slice", "Split", "Reshape"),
    *("Sigmoid", "TanH", "Flatten", "Deconvolution"),
)
LABELS = (
    "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n"
    "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"
)
Fields = tuple[tuple[int, bytes | int], ...]


def number32(field: int, value: float) -> bytes:
    """A float field."""
    return varint(field << 3 | 5) + struct.pack("<f", value)


def layer(name: str, kind: str, bottom: str, top: str = "", more: bytes = b"") -> bytes:
    """A layer of a network (field 100); `bottom` has its names between spaces."""
    fields: Fields = ((1, name.encode()), (2, kind.encode()))
    fields += tuple((3, one.encode()) for one in bottom.split())
    return message((100, message(*fields, (4, (top or name).encode())) + more))


def convolution(
    name: str, bottom: str, *numbers: int, bias: bool = True, group: int = 0, more: bytes = b""
) -> bytes:
    """Of outputs, kernel, and pad and stride where they are not 0."""
    outputs, kernel, pad, stride = (*numbers, 0, 0)[:4]
    fields: Fields = ((1, outputs),)
    fields += ((2, 0),) * (not bias)
    fields += ((3, pad),) * (pad > 0) + ((4, kernel),) + ((5, group),) * (group > 0)
    fields += ((6, stride),) * (stride > 0)
    return layer(name, "Convolution", bottom, more=message((106, message(*fields) + more)))


def pooling(name: str, bottom: str, *fields: tuple[int, int]) -> bytes:
    """Fields: 1 method (1: average), 2 kernel, 3 stride, 4 pad, 12 the whole image."""
    return layer(name, "Pooling", bottom, more=message((121, message(*fields))))


def product(name: str, bottom: str, outputs: int, more: bytes = b"") -> bytes:
    """A fully connected layer."""
    param = message((117, message((1, outputs)) + more))
    return layer(name, "InnerProduct", bottom, more=param)


def relu(name: str, blob: str) -> bytes:
    """In place."""
    return layer(name, "ReLU", blob, blob)


def normalized(suffix: str, blob: str, scale: str = "scale", bn: str = "bn") -> bytes:
    """Batch normalisation and scale, in place."""
    return layer(f"{bn}{suffix}", "BatchNorm", blob, blob, message((139, message((1, 1))))) + layer(
        f"{scale}{suffix}", "Scale", blob, blob, message((142, message((4, 1))))
    )


def normalization(
    name: str, bottom: str, size: int, alpha: float, *region: tuple[int, int]
) -> bytes:
    """A local response normalisation of beta 0.75."""
    param = message((1, size)) + number32(2, alpha) + number32(3, 0.75) + message(*region)
    return layer(name, "LRN", bottom, more=message((118, param)))


def dims(*extents: int) -> bytes:
    """A shape: packed extents."""
    return message((1, b"".join(varint(extent) for extent in extents)))


def data(*extents: int) -> bytes:
    """The input as a layer."""
    return layer("data", "Input", "", more=message((143, message((1, dims(*extents))))))


def named(name: str) -> bytes:
    """The beginning of a network."""
    return message((1, name.encode()))


def training() -> bytes:
    """What `--keep-training` keeps: phases, rates, fillers."""
    weights = message((6, number32(3, 1) + number32(4, 1))) + message(
        (6, number32(3, 2) + number32(4, 0))
    )
    zero = message((1, b"constant")) + number32(2, 0)
    gaussian = message((1, b"gaussian")) + number32(6, 0.01)
    loss = layer("loss", "SoftmaxWithLoss", "fc8 label", more=message((8, message((1, 1)))))
    rates = message((6, number32(3, 1))) + message((6, number32(3, 2)))
    xavier = message((7, message((1, b"xavier"))), (8, message((1, b"constant"))))
    return (
        loss
        + weights
        + message((7, gaussian), (8, zero))
        + message((7, message((1, b"msra"))))
        + rates
        + xavier
    )


def transform() -> bytes:
    """Usual scales and means of the input."""
    scale = message((5, struct.pack("<d", 1 / 255))) + message((5, struct.pack("<d", 1 / 256)))
    return scale + message((6, struct.pack("<3d", 104, 117, 123)))


def residual() -> bytes:
    """Of ResNets and MobileNets."""
    return (
        named("ResNet")
        + convolution("res2a_branch1", "pool1", 64, 1, bias=False)
        + convolution("res2a_branch2b", "res2a_branch2a", 64, 3, 1, 2, bias=False)
        + relu("res2a_branch2b_relu", "res2a_branch2b")
        + layer("res2a", "Eltwise", "res2a_branch1 res2a_branch2c")
        + convolution("conv2_1/dw", "conv1", 32, 3, 1, 1, bias=False, group=32)
        + normalized("", "conv2_1/dw", "conv2_1/dw/scale", "conv2_1/dw/bn")
        + relu("relu2_1/dw", "conv2_1/dw")
        + convolution("conv2_1/sep", "conv2_1/dw", 64, 1, bias=False)
        + convolution("conv1", "data", 64, 7, 3, 2)
        + normalized("_conv1", "conv1", "scale", "bn")
        + pooling("pool5", "res5c", (1, 1), (2, 7), (3, 1))
        + product("fc1000", "pool5", 1000)
    )


def fire() -> bytes:
    """Of GoogLeNet and SqueezeNet."""
    return (
        convolution("inception_3a/3x3_reduce", "pool2/3x3_s2", 96, 1)
        + named("SqueezeNet")
        + convolution("fire2/squeeze1x1", "pool1", 16, 1)
        + relu("fire2/relu_squeeze1x1", "fire2/squeeze1x1")
        + convolution("fire2/expand1x1", "fire2/squeeze1x1", 64, 1)
        + relu("fire2/relu_expand1x1", "fire2/expand1x1")
        + convolution("fire2/expand3x3", "fire2/squeeze1x1", 64, 3, 1)
        + relu("fire2/relu_expand3x3", "fire2/expand3x3")
        + layer("fire2/concat", "Concat", "fire2/expand1x1 fire2/expand3x3")
        + convolution("conv10", "drop9", 1000, 1)
        + pooling("pool10", "conv10", (1, 1), (12, 1))
        + layer("prob", "Softmax", "pool10")
    )


def alexnet() -> bytes:
    """Of AlexNet and VGG."""
    lines = [
        message((3, b"data"), (4, 1), (4, 3), (4, 224), (4, 224)),
        convolution("conv1_1", "data", 64, 3, 1),
        relu("relu1_1", "conv1_1"),
        named("AlexNet"),
        data(10, 3, 227, 227),
        convolution("conv1", "data", 96, 11, 0, 4),
        normalization("norm1", "pool1", 5, 1e-4),
        convolution("conv2", "norm1", 256, 5, 2, group=2),
        convolution("conv3", "pool2", 384, 3, 1),
        relu("relu3", "conv3"),
        convolution("conv5", "conv4", 256, 3, 1, group=2),
        relu("relu5", "conv5"),
        pooling("pool5", "conv5", (2, 3), (3, 2)),
        product("fc6", "pool5", 4096),
        relu("relu6", "fc6"),
        layer("drop6", "Dropout", "fc6", "fc6"),
        product("fc8", "fc7", 1000),
        layer("prob", "Softmax", "fc8"),
    ]
    return b"".join(lines)


def small() -> bytes:
    """Of networks for small images."""
    within = (4, 1)
    lines = [
        named("mnist"),
        message((3, b"data"), (8, dims(1, 784))),
        product("ip1", "data", 300),
        relu("relu1", "ip1"),
        product("ip2", "ip1", 100),
        relu("relu2", "ip2"),
        product("ip3", "ip2", 10),
        layer("prob", "Softmax", "ip3"),
        named("CIFAR10_full"),
        data(1, 3, 32, 32),
        convolution("conv1", "data", 32, 5, 2, 1),
        normalized("1", "conv1"),
        pooling("pool1", "conv1", (2, 3), (3, 2)),
        relu("relu1", "pool1"),
        normalization("norm1", "pool1", 3, 5e-5, within),
        convolution("conv2", "norm1", 32, 5, 2, 1),
        relu("relu2", "conv2"),
        pooling("pool2", "conv2", (1, 1), (2, 3), (3, 2)),
        normalization("norm2", "pool2", 3, 5e-5, within),
        convolution("conv3", "norm2", 64, 5, 2, 1),
        relu("relu3", "conv3"),
        pooling("pool3", "conv3", (1, 1), (2, 3), (3, 2)),
        product("ip1", "pool3", 10),
        layer("prob", "Softmax", "ip1"),
        named("LeNet"),
        data(64, 1, 28, 28),
        convolution("conv1", "data", 20, 5),
        pooling("pool1", "conv1", (2, 2), (3, 2)),
        convolution("conv2", "pool1", 50, 5),
        pooling("pool2", "conv2", (2, 2), (3, 2)),
        product("ip1", "pool2", 500),
        relu("relu1", "ip1"),
        product("ip2", "ip1", 10),
        layer("prob", "Softmax", "ip2"),
    ]
    return b"".join(lines)


def dictionary() -> bytes:
    """All of it."""
    texts = LABELS.encode() + NOTES.encode()
    types = b"".join(message((2, kind.encode())) for kind in TYPES)
    networks = residual() + fire() + alexnet() + small()
    return texts + types + training() + transform() + networks


def in_c(data: bytes) -> bytes:
    """The dictionary as a chapter of the C reader."""
    lines = [
        ",".join(str(byte) for byte in data[start : start + 24])
        for start in range(0, len(data), 24)
    ]
    head = (
        "/* The preset dictionary of section 2.3, written by spec/make_dictionary.py. */\n"
        '#include "internal.h"\n\n'
        "const uint8_t preset_dictionary[PRESET_SIZE] = {\n"
    )
    return (head + ",\n".join(lines) + "};\n").encode()


def in_javascript(reader: str, data: bytes) -> bytes:
    """The JavaScript reader with the dictionary, in base 64, in its place."""
    text = base64.b64encode(data).decode()
    lines = [f'  "{text[start : start + 92]}"' for start in range(0, len(text), 92)]
    before, rest = reader.split(BEGIN)
    after = rest.split(END)[1]
    return (before + BEGIN + " +\n".join(lines) + END + after).encode()


BEGIN, END = "const PRESET_TEXT =\n", "; // end of PRESET_TEXT\n"


def copies() -> dict[Path, bytes]:
    """The files that hold the dictionary, and what is due in them."""
    data = dictionary()
    javascript = SPEC / "readers" / "js" / "cmodel-reader.mjs"
    return {
        SPEC / "dictionary.bin": data,
        SPEC.parent / "src" / "cmodel" / "container" / "dictionary.bin": data,
        SPEC / "readers" / "rust" / "src" / "dictionary.bin": data,
        SPEC / "readers" / "c" / "dictionary.c": in_c(data),
        javascript: in_javascript(javascript.read_text(), data),
    }


def main() -> int:
    """Write or check."""
    wrong = [
        path for path, due in copies().items() if not path.exists() or path.read_bytes() != due
    ]
    for path in wrong:
        print(path.relative_to(SPEC.parent), "differs" if "--check" in sys.argv else "written")
        if "--check" not in sys.argv:
            path.write_bytes(copies()[path])
    print(f"{len(dictionary())} bytes, CRC-32 {zlib.crc32(dictionary()):08x}")
    return int("--check" in sys.argv and bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
