"""Time and memory of loading a caffemodel of about 550 MB (VGG-16's shapes, values drawn).

    python benchmarks/load_caffemodel.py [--megabytes 550] [--unpacked]

Memory is what the process takes beyond pages of the mapped file (RssAnon of /proc), as the peak
seen while the net is loaded and while every parameter is read once.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cmodel.caffe import load_net
from cmodel.caffe.wire import encode_varint

WIDTH = 4096


def anonymous() -> int:
    """Memory of this process that is no file's, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this system does not tell RssAnon")


class Peak:
    """Highest anonymous memory above that of the start, sampled every millisecond."""

    def __enter__(self) -> Peak:
        self.start = self.highest = anonymous()
        self.started = time.perf_counter()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self) -> None:
        while not self.done.wait(0.001):
            self.highest = max(self.highest, anonymous())

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.started
        self.highest = max(self.highest, anonymous())
        self.done.set()
        self.thread.join()

    def __str__(self) -> str:
        return f"{self.seconds:7.3f} s, peak {(self.highest - self.start) / 1e6:7.1f} MB"


def chunk(number: int, data: bytes) -> bytes:
    return encode_varint(number << 3 | 2) + encode_varint(len(data)) + data


def write_layer(file: BinaryIO, name: str, values: np.ndarray, unpacked: bool) -> None:
    """Write an InnerProduct layer."""
    dims = b"".join(encode_varint(size) for size in values.shape)
    if unpacked:
        rows = np.empty((values.size, 5), np.uint8)
        rows[:, 0] = 0x2D
        rows[:, 1:] = values.reshape(-1, 1).view(np.uint8)
        data = rows.tobytes()
    else:
        data = chunk(5, values.tobytes())
    blob = chunk(7, data + chunk(7, chunk(1, dims)))
    file.write(chunk(100, chunk(1, name.encode()) + chunk(2, b"InnerProduct") + blob))


def main() -> None:
    """Write the files, load them, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=550)
    parser.add_argument("--unpacked", action="store_true", help="a tag before every float")
    options = parser.parse_args()
    layers = max(1, round(options.megabytes * 1e6 / (4 * WIDTH * WIDTH)))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="cmodel-load-") as folder:
        prototxt, weights = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        lines = [f'input: "x0" input_shape {{ dim: 1 dim: {WIDTH} }}']
        with weights.open("wb") as file:
            for i in range(layers):
                lines.append(
                    f'layer {{ name: "ip{i}" type: "InnerProduct" bottom: "x{i}" top: "x{i + 1}" '
                    f"inner_product_param {{ num_output: {WIDTH} bias_term: false }} }}"
                )
                values = rng.standard_normal((WIDTH, WIDTH), np.float32)
                write_layer(file, f"ip{i}", values, options.unpacked)
        del values
        prototxt.write_text("\n".join(lines))
        with Peak() as load:
            net = load_net(prototxt, weights, strict=True)
        print(f"file                 {weights.stat().st_size / 1e6:7.1f} MB, {layers} layers")
        print(f"load_net           {load}")
        with Peak() as read:
            for name in net.parameters:
                net.parameters[name].to_dense().sum()
        print(f"read all, one each {read}")


if __name__ == "__main__":
    main()
