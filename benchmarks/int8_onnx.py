"""Static quantization of an ONNX model by onnxruntime's own tools, for benchmarks/int8.py.

    python benchmarks/int8_onnx.py MODEL INPUT.npy OUT

Weights are signed, one scale a channel, with 7 bits (reduce_range: without VNNI 8 bits saturate);
activations are unsigned; operators stand between QuantizeLinear and DequantizeLinear (QDQ), which
openvino reads too. Calibrated on the input, by its least and greatest values.
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)


class OneInput(CalibrationDataReader):
    """Gives the input once."""

    def __init__(self, model: str, x: np.ndarray) -> None:
        name = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()[0].name
        self._feeds = iter([{name: x}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the input, then None."""
        return next(self._feeds, None)


def main() -> None:
    """Quantize."""
    model, path, out = sys.argv[1:4]
    quantize_static(
        model,
        out,
        OneInput(model, np.load(path)),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


if __name__ == "__main__":
    main()
