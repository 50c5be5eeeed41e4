"""Makes what the browser tests open: make_files.py FOLDER.

Containers, whole and damaged, pictures, and expected.json with what the engine says to the pictures.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.nets import make_net  # noqa: E402

import cmodel  # noqa: E402
from cmodel.data import Inputs, open_source  # noqa: E402
from cmodel.net import InputTransform  # noqa: E402
from cmodel.tensors import Dense  # noqa: E402

EXAMPLE = ROOT / "examples" / "lenet-fashion"
PICTURES = 6

# Names that a page must not take for markup, a branch, and a layer that the live run does not know.
ODD = """
name: "<img src=x onerror=document.title='taken'>"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 20 dim: 20 } } }
layer { name: "<b>bold</b>" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "left" type: "Pooling" bottom: "c" top: "l" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "constructor" type: "Pooling" bottom: "c" top: "r" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "__proto__" type: "Concat" bottom: "l" bottom: "r" top: "j" }
layer { name: "strange" type: "MyOwnLayer" bottom: "j" top: "s" }
layer { name: "fc" type: "InnerProduct" bottom: "s" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""

COLOUR = """
name: "colour"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 24 dim: 24 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 8 kernel_size: 5 stride: 2 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 7 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def dense(rng: np.random.Generator, *shape: int) -> Dense:
    return Dense((rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32))


def answers(path: Path, pictures: list[Path]) -> list[list[float]]:
    """Return what the engine gives for pictures, prepared as the container says."""
    net = cmodel.load(path)
    transform = net.transform or InputTransform()
    engine = cmodel.Engine(net, threads=1)
    scores = []
    for picture in pictures:
        source = open_source(str(picture))
        (batch,) = Inputs(source, np.array([0]), transform, net.inputs["data"], 1)
        scores.append(engine.run({"data": batch})["prob"].reshape(-1).tolist())
    return scores


def main() -> None:
    folder = Path(sys.argv[1])
    rng = np.random.default_rng(5)

    net = cmodel.load(EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_fashion.caffemodel")
    net.transform = InputTransform(scale=(1 / 256,))
    net.labels = tuple((EXAMPLE / "labels.txt").read_text().splitlines())
    lenet = folder / "lenet.cmodel"
    cmodel.save(cmodel.compress(net, "deep-compression"), lenet)
    images = open_source(str(EXAMPLE / "t10k-images-idx3-ubyte.gz"))
    items = images.read(np.arange(PICTURES))
    gray = [folder / f"gray{i}.png" for i in range(PICTURES)]
    for path, item in zip(gray, items, strict=True):
        Image.fromarray(np.asarray(item).reshape(28, 28)).save(path)

    colour = make_net(
        COLOUR,
        {
            "conv": [dense(rng, 8, 3, 5, 5), dense(rng, 8)],
            "fc": [dense(rng, 7, 8 * 11 * 11), dense(rng, 7)],
        },
    )
    colour.transform = InputTransform(
        resize=(30, 28), crop=(24, 24), mean_values=(104, 117, 123), scale=(0.02,)
    )
    cmodel.save(colour, folder / "colour.cmodel")
    photo = folder / "photo.png"
    smooth = np.asarray(
        Image.fromarray(rng.integers(0, 256, (9, 8, 3), dtype=np.uint8)).resize((90, 70))
    )
    Image.fromarray(smooth).save(photo)

    odd = make_net(
        ODD, {"<b>bold</b>": [dense(rng, 4, 3, 3, 3), dense(rng, 4)], "fc": [dense(rng, 5, 8)]}
    )
    odd.labels = ("<script>document.title='taken'</script>", "b", "c", "d", "e")
    cmodel.save(odd, folder / "odd.cmodel")

    data = bytearray(lenet.read_bytes())
    data[len(data) // 2] ^= 0x10
    (folder / "damaged.cmodel").write_bytes(data)
    (folder / "short.cmodel").write_bytes(data[: len(data) // 2])
    (folder / "no.cmodel").write_bytes(b"PK\x03\x04 this is something else")

    expected = {
        "labels": list(net.labels),
        "lenet": {p.name: s for p, s in zip(gray, answers(lenet, gray), strict=True)},
        "colour": {photo.name: answers(folder / "colour.cmodel", [photo])[0]},
    }
    (folder / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main()
