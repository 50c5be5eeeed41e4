"""Draws the 5,000 training images of this folder from the 60,000 of Fashion-MNIST.

    python make_train5000.py /usr/share/datasets/fashion-mnist

500 of each class by NumPy's PCG64 with seed 0, in the order of the source. Debian's package
dataset-fashion-mnist holds the source.
"""

import gzip
import struct
import sys
from pathlib import Path

import numpy as np


def main() -> None:
    """Read, draw, write."""
    source, here = Path(sys.argv[1]), Path(__file__).parent
    images = gzip.decompress((source / "train-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((source / "train-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
    classes = np.frombuffer(labels, np.uint8, offset=8)
    rng = np.random.Generator(np.random.PCG64(0))
    drawn = np.sort(
        np.concatenate(
            [rng.choice(np.flatnonzero(classes == c), 500, replace=False) for c in range(10)]
        )
    )
    head3 = struct.pack(">IIII", 0x803, drawn.size, 28, 28)
    head1 = struct.pack(">II", 0x801, drawn.size)
    for name, data in (
        ("train5000-images-idx3-ubyte.gz", head3 + pixels[drawn].tobytes()),
        ("train5000-labels-idx1-ubyte.gz", head1 + classes[drawn].tobytes()),
    ):
        # No time in the file: the same images give the same bytes.
        (here / name).write_bytes(gzip.compress(data, 9, mtime=0))


if __name__ == "__main__":
    main()
