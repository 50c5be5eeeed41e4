"""Runs nncodec (ISO/IEC 15938-17) over the weights of an .npz, in nncodec's own environment.

Uses nothing of cmodel. For each QP the weights are encoded with dependent quantization (the
trellis) and decoded again; OUTDIR/<qp>.npz gets what was decoded, and stdout a JSON document:

    {"versions": {...}, "points": [{"qp": -32, "bytes": 90030, "tensor_bytes": 89102,
      "encode_seconds": 1.2, "decode_seconds": 0.3, "weights": "OUTDIR/-32.npz"}, ...]}

bytes : the whole bitstream. tensor_bytes : the arithmetic coder's output alone, without names,
shapes and units' headers.

    python nncodec_driver.py WEIGHTS.npz OUTDIR --qp -32 -24 [--nonweight-qp -75]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from nncodec import nnc
from nncodec.nnc_core import coder

PACKAGES = ("nncodec", "numpy", "torch")
coded: list[int] = []


class CountingEncoder(coder.deepCABAC.Encoder):
    """nncodec's arithmetic coder, which notes how many bytes each unit's payload has."""

    def finish(self):  # noqa: ANN201
        payload = super().finish()
        coded.append(payload.nbytes)
        return payload


class CountingModule:
    """The extension module with the encoder that counts; all else is the module's."""

    Encoder = CountingEncoder

    def __getattr__(self, name: str) -> object:
        return getattr(_extension, name)


_extension = coder.deepCABAC
coder.deepCABAC = CountingModule()


def run(weights: dict[str, np.ndarray], qp: int, nonweight_qp: int, folder: Path) -> dict:
    """Encode and decode at one QP; return the facts."""
    coded.clear()
    begin = time.perf_counter()
    stream = nnc.compress(
        {name: values.copy() for name, values in weights.items()},
        bitstream_path=None,
        qp=qp,
        nonweight_qp=nonweight_qp,
        use_dq=True,
        param_opt=True,
        row_skipping=True,
        return_bitstream=True,
    )
    middle = time.perf_counter()
    decoded = nnc.decompress(stream)
    end = time.perf_counter()
    if decoded.keys() != weights.keys():
        raise SystemExit("nncodec gave back other tensors than it was given")
    output = folder / f"{qp}.npz"
    np.savez(output, **{n: decoded[n].reshape(weights[n].shape) for n in weights})
    return {
        "qp": qp,
        "nonweight_qp": nonweight_qp,
        "bytes": len(stream),
        "tensor_bytes": sum(coded),
        "encode_seconds": round(middle - begin, 3),
        "decode_seconds": round(end - middle, 3),
        "weights": str(output),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path, metavar="OUTDIR")
    parser.add_argument("--qp", type=int, nargs="+", required=True)
    parser.add_argument("--nonweight-qp", type=int, default=-75)
    options = parser.parse_args()
    with np.load(options.weights, allow_pickle=False) as archive:
        weights = {name: archive[name].astype(np.float32) for name in archive.files}
    options.folder.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(sys.stderr):  # nncodec prints there
        points = [run(weights, qp, options.nonweight_qp, options.folder) for qp in options.qp]
    versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    print(json.dumps({"versions": versions, "points": points}))


if __name__ == "__main__":
    main()
