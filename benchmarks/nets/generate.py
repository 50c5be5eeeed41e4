"""Writes the prototxts of the published nets whose layers repeat, one line a layer.

    python benchmarks/nets/generate.py

Sources: SqueezeNet (Iandola et al. 2016, arXiv:1602.07360, version 1.1), MobileNet v1 (Howard et
al. 2017, arXiv:1704.04861), ResNet-18 and ResNet-50 (He et al. 2016, arXiv:1512.03385, the stride
in the first convolution of a bottleneck), GoogLeNet (Szegedy et al. 2015, arXiv:1409.4842, table 1,
without the auxiliary classifiers). A Scale that ends a residual branch has a filler of 0.25: with
random weights the sum of all branches keeps its magnitude.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
CLASSES = 1000
RESIDUAL_SCALE = 0.25


class Writer:
    """Collects the layers of a net; each method returns the name of its top."""

    def __init__(self, name: str, size: int) -> None:
        shape = f"shape {{ dim: 1 dim: 3 dim: {size} dim: {size} }}"
        self.lines = [f'name: "{name}"']
        self.layer("data", "Input", (), f"input_param {{ {shape} }}")

    def layer(
        self, name: str, kind: str, bottoms: tuple[str, ...], param: str = "", top: str = ""
    ) -> str:
        parts = [f'name: "{name}"', f'type: "{kind}"']
        parts += [f'bottom: "{bottom}"' for bottom in bottoms]
        parts += [f'top: "{top or name}"', param]
        self.lines.append(f"layer {{ {' '.join(part for part in parts if part)} }}")
        return top or name

    def conv(
        self,
        name: str,
        bottom: str,
        outputs: int,
        kernel: int,
        stride: int = 1,
        pad: int = 0,
        group: int = 1,
        bias: bool = True,
    ) -> str:
        param = f"num_output: {outputs} kernel_size: {kernel}"
        param += f" stride: {stride}" * (stride > 1) + f" pad: {pad}" * (pad > 0)
        param += f" group: {group}" * (group > 1) + " bias_term: false" * (not bias)
        return self.layer(name, "Convolution", (bottom,), f"convolution_param {{ {param} }}")

    def relu(self, blob: str) -> str:
        return self.layer(f"relu_{blob}", "ReLU", (blob,), top=blob)

    def conv_relu(
        self, name: str, bottom: str, outputs: int, kernel: int, stride: int = 1, pad: int = 0
    ) -> str:
        return self.relu(self.conv(name, bottom, outputs, kernel, stride, pad))

    def norm(self, blob: str, filler: float | None = None) -> str:
        self.layer(f"bn_{blob}", "BatchNorm", (blob,), top=blob)
        param = "bias_term: true"
        if filler is not None:
            param += f' filler {{ type: "constant" value: {filler} }}'
        return self.layer(f"scale_{blob}", "Scale", (blob,), f"scale_param {{ {param} }}", top=blob)

    def conv_norm(
        self,
        name: str,
        bottom: str,
        outputs: int,
        kernel: int,
        stride: int = 1,
        group: int = 1,
        filler: float | None = None,
    ) -> str:
        top = self.conv(name, bottom, outputs, kernel, stride, kernel // 2, group, bias=False)
        return self.norm(top, filler)

    def pool(self, name: str, bottom: str, kernel: int, stride: int, pad: int = 0) -> str:
        param = f"pool: MAX kernel_size: {kernel} stride: {stride}" + f" pad: {pad}" * (pad > 0)
        return self.layer(name, "Pooling", (bottom,), f"pooling_param {{ {param} }}")

    def global_pool(self, name: str, bottom: str) -> str:
        return self.layer(
            name, "Pooling", (bottom,), "pooling_param { pool: AVE global_pooling: true }"
        )

    def concat(self, name: str, bottoms: tuple[str, ...]) -> str:
        return self.layer(name, "Concat", bottoms)

    def norm_across(self, name: str, bottom: str) -> str:
        return self.layer(
            name, "LRN", (bottom,), "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
        )

    def dropout(self, name: str, blob: str, ratio: float) -> str:
        return self.layer(
            name, "Dropout", (blob,), f"dropout_param {{ dropout_ratio: {ratio} }}", top=blob
        )

    def classify(self, name: str, bottom: str) -> str:
        param = f"inner_product_param {{ num_output: {CLASSES} }}"
        self.layer(name, "InnerProduct", (bottom,), param)
        return self.layer("prob", "Softmax", (name,))

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def squeezenet() -> str:
    w = Writer("SqueezeNet v1.1", 227)
    x = w.pool("pool1", w.conv_relu("conv1", "data", 64, 3, 2), 3, 2)
    for number, squeezed, expanded in (
        (2, 16, 64), (3, 16, 64), (4, 32, 128), (5, 32, 128),
        (6, 48, 192), (7, 48, 192), (8, 64, 256), (9, 64, 256),
    ):  # fmt: skip
        fire = f"fire{number}"
        x = w.conv_relu(f"{fire}/squeeze1x1", x, squeezed, 1)
        one = w.conv_relu(f"{fire}/expand1x1", x, expanded, 1)
        three = w.conv_relu(f"{fire}/expand3x3", x, expanded, 3, 1, 1)
        x = w.concat(f"{fire}/concat", (one, three))
        if number in (3, 5):
            x = w.pool(f"pool{number}", x, 3, 2)
    w.dropout("drop9", x, 0.5)
    x = w.global_pool("pool10", w.conv_relu("conv10", x, CLASSES, 1))
    w.layer("prob", "Softmax", (x,))
    return w.text()


def mobilenet() -> str:
    w = Writer("MobileNet v1", 224)
    x, channels = w.relu(w.conv_norm("conv1", "data", 32, 3, 2)), 32
    for number, (outputs, stride) in enumerate(
        [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
        + [(512, 1)] * 5
        + [(1024, 2), (1024, 1)],
        2,
    ):
        x = w.relu(w.conv_norm(f"conv{number}/dw", x, channels, 3, stride, group=channels))
        x = w.relu(w.conv_norm(f"conv{number}/sep", x, outputs, 1))
        channels = outputs
    w.classify("fc", w.global_pool("pool", x))
    return w.text()


def resnet(name: str, blocks: tuple[int, ...], bottleneck: bool) -> str:
    w = Writer(name, 224)
    x = w.pool("pool1", w.relu(w.conv_norm("conv1", "data", 64, 7, 2)), 3, 2)
    channels = 64
    for stage, count in enumerate(blocks):
        width = 64 << stage
        outputs = 4 * width if bottleneck else width
        for block in range(count):
            at = f"res{stage + 2}{chr(ord('a') + block)}"
            stride = 2 if stage and not block else 1
            shortcut = x
            if stride > 1 or channels != outputs:
                shortcut = w.conv_norm(f"{at}_branch1", x, outputs, 1, stride)
            kernels = (1, 3, 1) if bottleneck else (3, 3)
            for i, kernel in enumerate(kernels):
                last = i == len(kernels) - 1
                x = w.conv_norm(
                    f"{at}_branch2{'abc'[i]}",
                    x,
                    outputs if last else width,
                    kernel,
                    1 if i else stride,
                    filler=RESIDUAL_SCALE if last else None,
                )
                x = x if last else w.relu(x)
            x = w.relu(w.layer(at, "Eltwise", (shortcut, x)))
            channels = outputs
    w.classify("fc", w.global_pool("pool5", x))
    return w.text()


def googlenet() -> str:
    w = Writer("GoogLeNet", 224)
    x = w.pool("pool1", w.conv_relu("conv1", "data", 64, 7, 2, 3), 3, 2)
    x = w.conv_relu("conv2_reduce", w.norm_across("norm1", x), 64, 1)
    x = w.norm_across("norm2", w.conv_relu("conv2", x, 192, 3, 1, 1))
    x = w.pool("pool2", x, 3, 2)
    for name, one, three_in, three, five_in, five, pooled in (
        ("3a", 64, 96, 128, 16, 32, 32),
        ("3b", 128, 128, 192, 32, 96, 64),
        ("4a", 192, 96, 208, 16, 48, 64),
        ("4b", 160, 112, 224, 24, 64, 64),
        ("4c", 128, 128, 256, 24, 64, 64),
        ("4d", 112, 144, 288, 32, 64, 64),
        ("4e", 256, 160, 320, 32, 128, 128),
        ("5a", 256, 160, 320, 32, 128, 128),
        ("5b", 384, 192, 384, 48, 128, 128),
    ):
        at = f"inception_{name}"
        ones = w.conv_relu(f"{at}/1x1", x, one, 1)
        threes = w.conv_relu(f"{at}/3x3_reduce", x, three_in, 1)
        threes = w.conv_relu(f"{at}/3x3", threes, three, 3, 1, 1)
        fives = w.conv_relu(f"{at}/5x5_reduce", x, five_in, 1)
        fives = w.conv_relu(f"{at}/5x5", fives, five, 5, 1, 2)
        pool = w.conv_relu(f"{at}/pool_proj", w.pool(f"{at}/pool", x, 3, 1, 1), pooled, 1)
        x = w.concat(f"{at}/output", (ones, threes, fives, pool))
        if name in ("3b", "4e"):
            x = w.pool(f"pool{name[0]}", x, 3, 2)
    x = w.global_pool("pool5", x)
    w.classify("fc", w.dropout("drop5", x, 0.4))
    return w.text()


def texts() -> dict[str, str]:
    """Return the text of each generated net by its name."""
    return {
        "squeezenet_v1.1": squeezenet(),
        "mobilenet_v1": mobilenet(),
        "resnet18": resnet("ResNet-18", (2, 2, 2, 2), bottleneck=False),
        "resnet50": resnet("ResNet-50", (3, 4, 6, 3), bottleneck=True),
        "googlenet": googlenet(),
    }


if __name__ == "__main__":
    for name, text in texts().items():
        (FOLDER / f"{name}.prototxt").write_text(text, "utf-8")
