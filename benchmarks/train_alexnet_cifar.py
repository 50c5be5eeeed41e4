"""Trains a net of AlexNet's shape on CIFAR-10 and writes it as Caffe's files.

Five convolutions and three fully connected layers which hold 98 % of its 11.2 million weights, as
in AlexNet: a net for methods that live on large fully connected layers. Batch normalization speeds
the training up and is folded into the weights at the end. A tenth of train.zip is kept back to
watch the training; nothing is chosen by it, and test.zip is read once, at the end, by this
package's engine and by torch, which have to agree.

Needs the extra `finetune` (torch) and `images`, and the folder of docs/data.md.

    python benchmarks/train_alexnet_cifar.py OUTDIR [--epochs 14] [--threads 1] [--seed 0]

Makes OUTDIR/deploy.prototxt, OUTDIR/alexnet_cifar.caffemodel and OUTDIR/result.json. Images are fed
as RGB, `--mean-value 125,123,114 --scale 0.015625 --channel-order rgb`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import cmodel
from cmodel.caffe import load_net, write_caffemodel
from cmodel.data import batches, open_source, split
from cmodel.evaluate import evaluate
from cmodel.net import InputTransform, parameter_name
from cmodel.tensors import Dense

TRANSFORM = InputTransform(mean_values=(125, 123, 114), scale=(1 / 64,), channel_order="rgb")
INPUT = (1, 3, 32, 32)
CONVOLUTIONS = (24, 48, 64, 64, 128)
POOLED = (0, 1, 4)  # convolutions that a pooling follows, as in AlexNet
DENSE = (3072, 1536, 10)
DROPOUT = 0.4
SHIFT = 4

Floats = NDArray[np.float32]


class AlexNet(nn.Module):
    """Convolutions, then fully connected layers, each with a BatchNorm of its own but the last."""

    def __init__(self) -> None:
        super().__init__()
        self.convs, self.denses = nn.ModuleList(), nn.ModuleList()
        self.conv_norms, self.dense_norms = nn.ModuleList(), nn.ModuleList()
        channels = 3
        for count in CONVOLUTIONS:
            self.convs.append(nn.Conv2d(channels, count, 3, padding=1))
            self.conv_norms.append(nn.BatchNorm2d(count))
            channels = count
        size = channels * (32 >> len(POOLED)) ** 2
        for count in DENSE:
            self.denses.append(nn.Linear(size, count))
            size = count
        self.dense_norms.extend(nn.BatchNorm1d(count) for count in DENSE[:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores (N, 10) before the softmax."""
        for i, (conv, norm) in enumerate(zip(self.convs, self.conv_norms, strict=True)):
            x = torch.relu(norm(conv(x)))
            if i in POOLED:
                x = nn.functional.max_pool2d(x, 2)
        x = x.flatten(1)
        for dense, norm in zip(self.denses[:-1], self.dense_norms, strict=True):
            x = torch.relu(norm(dense(x)))
            x = nn.functional.dropout(x, DROPOUT, self.training)
        return self.denses[-1](x)

    def folded(self) -> dict[str, tuple[Floats, Floats]]:
        """Return weights and bias of each layer by its name, with the BatchNorms folded in."""
        names = [f"conv{i + 1}" for i in range(len(CONVOLUTIONS))]
        names += [f"fc{i + 1 + len(CONVOLUTIONS)}" for i in range(len(DENSE))]
        layers = [*self.convs, *self.denses]
        norms = [*self.conv_norms, *self.dense_norms, None]
        result = {}
        for name, layer, norm in zip(names, layers, norms, strict=True):
            weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
            if norm is not None:
                gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
                weight = weight * gain.reshape(-1, *[1] * (weight.ndim - 1))
                bias = (bias - norm.running_mean.double()) * gain + norm.bias.double()
            result[name] = tuple(t.detach().numpy().astype(np.float32) for t in (weight, bias))
        return result


def prototxt() -> str:
    """Return the net as Caffe's deploy.prototxt."""
    dims = " ".join(f"dim: {n}" for n in INPUT)
    parts = [
        'name: "AlexNetCifar"',
        f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}',
    ]
    bottom = "data"
    for i, count in enumerate(CONVOLUTIONS):
        name = f"conv{i + 1}"
        parts.append(
            f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
            f"convolution_param {{ num_output: {count} kernel_size: 3 pad: 1 }} }}"
        )
        parts.append(relu(f"relu{i + 1}", name))
        bottom = name
        if i in POOLED:
            bottom = f"pool{i + 1}"
            parts.append(
                f'layer {{ name: "{bottom}" type: "Pooling" bottom: "{name}" top: "{bottom}" '
                "pooling_param { pool: MAX kernel_size: 2 stride: 2 } }"
            )
    for i, count in enumerate(DENSE, len(CONVOLUTIONS) + 1):
        name = f"fc{i}"
        parts.append(
            f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" '
            f"inner_product_param {{ num_output: {count} }} }}"
        )
        if count != DENSE[-1]:
            parts.append(relu(f"relu{i}", name))
        bottom = name
    parts.append(f'layer {{ name: "prob" type: "Softmax" bottom: "{bottom}" top: "prob" }}')
    return "\n".join(parts) + "\n"


def relu(name: str, blob: str) -> str:
    return f'layer {{ name: "{name}" type: "ReLU" bottom: "{blob}" top: "{blob}" }}'


def write(weights: dict[str, tuple[Floats, Floats]], folder: Path) -> tuple[Path, Path]:
    """Write prototxt and caffemodel; return their paths."""
    deploy, caffemodel = folder / "deploy.prototxt", folder / "alexnet_cifar.caffemodel"
    deploy.write_text(prototxt(), "utf-8")
    net = load_net(deploy, require_weights=False)
    for layer in net.layers:
        for i, values in enumerate(weights.get(layer.key, ())):
            name = parameter_name(layer.key, i)
            layer.parameters.append(name)
            net.parameters[name] = Dense(values)
    with caffemodel.open("wb") as file:
        write_caffemodel(net, file)
    return deploy, caffemodel


@dataclass(frozen=True)
class Images:
    """Prepared images (N,3,32,32) and labels (N,)."""

    x: torch.Tensor
    labels: torch.Tensor


def read(path: Path, threads: int) -> Images:
    """Read all images of a source, prepared as they are fed."""
    with open_source(path) as source:
        every = np.arange(len(source), dtype=np.int64)
        parts = list(batches(source, every, TRANSFORM, INPUT, 500, threads=threads))
    x = torch.from_numpy(np.concatenate([part for part, _ in parts]))
    labels = np.concatenate([labels for _, labels in parts if labels is not None])
    return Images(x, torch.from_numpy(labels))


def augmented(x: torch.Tensor) -> torch.Tensor:
    """Return a batch flipped and shifted at random, each image by itself."""
    n = len(x)
    x = torch.where(torch.rand(n, 1, 1, 1) < 0.5, x.flip(3), x)
    padded = nn.functional.pad(x, (SHIFT,) * 4)
    offsets = torch.randint(0, 2 * SHIFT + 1, (n, 2)).tolist()
    return torch.stack(
        [padded[i, :, dy : dy + 32, dx : dx + 32] for i, (dy, dx) in enumerate(offsets)]
    )


def correct(model: AlexNet, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return for each image whether it is classified right."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part).argmax(1) for part in x.split(500)]) == labels


def train(model: AlexNet, images: Images, options: argparse.Namespace) -> None:
    """Train in place: AdamW, one cycle of the learning rate."""
    labels = images.labels.numpy().astype(np.int64)
    kept, watched = split(labels, (0.9, 0.1), options.seed)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        lr=options.rate,
        fused=True,
    )
    steps = -(-len(kept) // options.batch) * options.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.rate, total_steps=steps, pct_start=0.2
    )
    begin = time.perf_counter()
    for epoch in range(options.epochs):
        model.train()
        total = 0.0
        order = torch.from_numpy(kept)[torch.randperm(len(kept))]
        for part in order.split(options.batch):
            loss = nn.functional.cross_entropy(
                model(augmented(images.x[part])), images.labels[part], label_smoothing=0.05
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(part)
        right = correct(model, images.x[watched], images.labels[watched]).double().mean()
        print(
            f"epoch {epoch + 1}: loss {total / len(kept):.3f}, {100 * right:.2f} % of the images "
            f"kept back, {time.perf_counter() - begin:.0f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="OUTDIR")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = Path(os.environ.get("CMODEL_DATA", "../shared")) / "data" / "cifar10"
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)

    begin = time.perf_counter()
    model = AlexNet()
    train(model, read(data / "train.zip", options.threads), options)
    seconds = time.perf_counter() - begin
    deploy, caffemodel = write(model.folded(), options.folder)

    test = read(data / "test.zip", options.threads)
    by_torch = correct(model, test.x, test.labels).numpy()
    net = cmodel.load(deploy, caffemodel)
    ours = evaluate(
        cmodel.Engine(net, threads=options.threads),
        open_source(data / "test.zip"),
        TRANSFORM,
        input_blob="data",
        output_blob="prob",
        input_shape=INPUT,
    )
    different = int((ours.correct != by_torch).sum())
    # Folding rounds the weights anew: a tie or two may fall the other way.
    if different > 2:
        raise SystemExit(f"the engine and torch differ on {different} of {ours.images} images")
    result: dict[str, Any] = {
        "top1": ours.top1,
        "top1_torch": 100.0 * float(by_torch.mean()),
        "images": ours.images,
        "different": different,
        "parameters": net.parameter_count(),
        "dense_weights": sum(
            int(np.prod(net.parameters.shape(f"fc{i}/0"))) for i in range(6, 6 + len(DENSE))
        ),
        "seconds": round(seconds),
        "epochs": options.epochs,
        "seed": options.seed,
        "torch": torch.__version__,
    }
    (options.folder / "result.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
