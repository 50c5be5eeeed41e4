"""Makes the ONNX files of this folder: small nets shaped like torchvision's, written by PyTorch.

Run with PyTorch 2.13 (and onnxscript for its newer exporter): ``python make_models.py``. The nets
have few channels and small images, so that the files stay small; weights and statistics are random.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from torch import nn

HERE = Path(__file__).parent


class AlexNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 11, 4, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(8, 16, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(24, 16, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.pool = nn.AdaptiveAvgPool2d((3, 3))
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(16 * 9, 64), nn.ReLU(inplace=True),
            nn.Dropout(), nn.Linear(64, 32), nn.ReLU(inplace=True), nn.Linear(32, 10),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


class VGG11(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in (4, "M", 8, "M", 12, 12, "M", 16, 16, "M", 16, 16, "M"):
            if width == "M":
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(16, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x)
        return self.classifier(x.view(x.size(0), -1))


class BasicBlock(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.pool = nn.MaxPool2d(3, 2, 1)
        blocks = []
        channels = 6
        for width, stride in ((6, 1), (8, 2), (10, 2), (12, 2)):
            blocks += [BasicBlock(channels, width, stride), BasicBlock(width, width, 1)]
            channels = width
        self.blocks = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.pool(torch.relu(self.bn1(self.conv1(x)))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def conv_bn(channels: int, width: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    def __init__(
        self, channels: int, width: int, stride: int, expand: int, kernel: int = 3
    ) -> None:
        super().__init__()
        hidden = channels * expand
        layers = [] if expand == 1 else [conv_bn(channels, hidden, 1, 1)]
        self.conv = nn.Sequential(
            *layers,
            conv_bn(hidden, hidden, kernel, stride, hidden),
            nn.Conv2d(hidden, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.residual = stride == 1 and channels == width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [conv_bn(3, 8, 3, 2)]
        channels = 8
        for expand, width, count, stride in (
            (1, 4, 1, 1),
            (6, 6, 2, 2),
            (6, 8, 2, 2),
            (6, 8, 2, 1),
        ):
            for i in range(count):
                blocks.append(InvertedResidual(channels, width, stride if i == 0 else 1, expand))
                channels = width
        blocks.append(conv_bn(channels, 32, 1, 1))
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(32, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).mean([2, 3]))


class EfficientNetLite0(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [conv_bn(3, 8, 3, 2)]
        channels = 8
        plan = (
            (1, 4, 1, 1, 3),
            (6, 6, 2, 2, 3),
            (6, 8, 2, 2, 5),
            (6, 10, 1, 2, 3),
            (6, 12, 1, 1, 5),
        )
        for expand, width, count, stride, kernel in plan:
            for i in range(count):
                first = stride if i == 0 else 1
                blocks.append(InvertedResidual(channels, width, first, expand, kernel))
                channels = width
        blocks.append(conv_bn(channels, 32, 1, 1))
        self.features = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.features(x)).squeeze(-1).squeeze(-1)
        return torch.softmax(self.classifier(x), dim=1)


class Fire(nn.Module):
    def __init__(self, channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeeze, 1)
        self.left = nn.Conv2d(squeeze, expand, 1)
        self.right = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.left(x)), torch.relu(self.right(x))], 1)


class SqueezeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(8, 4, 8), Fire(16, 4, 8), nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(16, 6, 12), Fire(24, 6, 12), nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(24, 8, 16),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(32, 10, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.flatten(self.classifier(self.features(x)), 1)


class SqueezeExcite(nn.Module):
    """What newer nets have: gates of channels, hard and smooth activations, odd poolings."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.down = nn.Conv2d(8, 4, 1)
        self.up = nn.Conv2d(4, 8, 1)
        self.average = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        self.padded = nn.AvgPool2d(3, 2, 1)
        self.rectifier = nn.PReLU(8)
        self.back = nn.ConvTranspose2d(8, 6, 4, 2, 1)
        self.mean = nn.Parameter(torch.rand(1, 6, 1, 1))
        self.fc = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.hardswish(self.stem((x - 0.5) / 0.25))
        gate = nn.functional.hardsigmoid(
            self.up(nn.functional.silu(self.down(x.mean([2, 3], True))))
        )
        x = self.rectifier(x * gate)
        x = self.average(x) + self.padded(x) - 0.1
        x = nn.functional.elu(nn.functional.leaky_relu(self.back(x), 0.1))
        left, right = torch.split(x * self.mean, [2, 4], 1)
        x = torch.cat([torch.tanh(left), torch.sigmoid(right)], 1).clamp(-0.5, 0.9)
        return nn.functional.log_softmax(self.fc(x.mean([2, 3])), 1)


NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "alexnet": (AlexNet, 127),
    "vgg11": (VGG11, 32),
    "resnet18": (ResNet18, 64),
    "mobilenet_v2": (MobileNetV2, 48),
    "squeezenet": (SqueezeNet, 64),
    "efficientnet_lite0": (EfficientNetLite0, 48),
    "squeeze_excite": (SqueezeExcite, 25),
}


def randomise(net: nn.Module) -> None:
    """Give BatchNorm statistics that matter."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.2, 0.2)


def without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take out what PyTorch notes about its sources: it is long, and names this machine's folders."""
    graph = model.graph
    for entry in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        entry.ClearField("metadata_props")
        entry.ClearField("doc_string")
    return model


def main() -> None:
    warnings.simplefilter("ignore")
    for name, (make, size) in NETS.items():
        torch.manual_seed(0)
        net = make().eval()
        randomise(net)
        x = torch.rand(2, 3, size, size)
        torch.onnx.export(
            net, (x,), str(HERE / f"{name}_script.onnx"), dynamo=False, opset_version=17,
            input_names=["input"], output_names=["output"],
            dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
            do_constant_folding=name != "resnet18",
        )  # fmt: skip
        torch.onnx.export(
            net, (x,), str(HERE / f"{name}_dynamo.onnx"), dynamo=True, external_data=False,
            input_names=["input"], output_names=["output"],
            dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False,
        )  # fmt: skip
    for file in sorted(HERE.glob("*.onnx")):
        onnx.save(without_traces(onnx.load(file)), file)
        sys.stdout.write(f"{file.name} {file.stat().st_size}\n")


if __name__ == "__main__":
    main()
