"""What the tests of ONNX share."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

onnxruntime.set_default_logger_severity(3)


def run_onnx(model, feed, blobs=()):
    """Run a model (path, or message) in onnxruntime; return its outputs and the values asked for."""
    if not isinstance(model, onnx.ModelProto):
        model = onnx.load(model)
    have = {value.name for value in (*model.graph.output, *model.graph.input)}
    made = {name for node in model.graph.node for name in node.output}
    for name in blobs:
        if name in made and name not in have:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def error_of(found, expected):
    """Return the largest difference relative to the largest magnitude; shapes and NaNs agree."""
    assert found.shape == expected.shape
    finite = np.isfinite(expected)
    assert (np.isfinite(found) == finite).all()
    assert (np.isnan(found) == np.isnan(expected)).all()
    largest = np.abs(expected[finite]).max(initial=1e-6)
    return np.abs(found[finite] - expected[finite]).max(initial=0) / largest
