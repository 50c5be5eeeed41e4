"""Small ONNX models that would take much memory."""

import numpy as np
import pytest
from onnx import helper, numpy_helper
from tests.unit.interchange.test_read_onnx import check, floats, ints, make_model, one, saved

import cmodel
from cmodel.errors import LimitError, UnsupportedError
from cmodel.interchange.onnx.check import light_model
from cmodel.interchange.onnx.constants import Constants
from cmodel.tensors import Sparse


@pytest.mark.parametrize("op", ["ConstantOfShape", "Expand", "Tile", "Concat", "Mul"])
def test_computed_constants_stay_small(op, tmp_path):
    constants = {
        "ConstantOfShape": {"a": ints(1 << 20, 1 << 20)},
        "Expand": {"a": np.ones(1, np.float32), "b": ints(1 << 20, 1 << 20)},
        "Tile": {"a": np.ones(1 << 10, np.float32), "b": ints(1 << 20)},
        "Concat": {"a": np.ones(1 << 12, np.float32)},
        "Mul": {"a": np.ones((1 << 13, 1), np.float32), "b": np.ones((1, 1 << 13), np.float32)},
    }[op]
    inputs = list(constants) * (5000 if op == "Concat" else 1)
    attributes = {"axis": 0} if op == "Concat" else {}
    nodes = [(op, inputs, ["c"], attributes), ("Add", ["x", "c"], ["y"], {})]
    with pytest.raises(LimitError, match="too large"):
        cmodel.load(saved(make_model(nodes, constants), tmp_path / "m.onnx"))


def test_computed_constants_stay_small_together(tmp_path):
    nodes = [("ConstantOfShape", ["s"], ["c0"], {})]
    for i in range(30):
        nodes.append(("Identity", [f"c{i}"], [f"i{i}"], {}))
        nodes.append(("Concat", [f"c{i}", f"i{i}"], [f"c{i + 1}"], {"axis": 0}))
    model = make_model([*nodes, ("Relu", ["x"], ["y"], {})], {"s": ints(1 << 12)})
    with pytest.raises(LimitError, match="too large"):
        cmodel.load(saved(model, tmp_path / "m.onnx"))
    nodes = [("ConstantOfShape", ["s"], [f"c{i}"], {}) for i in range(30)]
    model = make_model([*nodes, ("Relu", ["x"], ["y"], {})], {"s": ints(1 << 20)})
    with pytest.raises(LimitError, match="node `n16`"):
        cmodel.load(saved(model, tmp_path / "m.onnx"))


def test_the_shape_check_does_not_work_constants_out_again(tmp_path):
    nodes = [
        ("ConstantOfShape", ["s"], ["c"], {}), ("Identity", ["c"], ["i"], {}),
        ("Concat", ["c", "i"], ["d"], {"axis": 0}), ("ReduceSum", ["d"], ["r"], {}),
        ("Add", ["x", "r"], ["y"], {}),
    ]  # fmt: skip
    model = make_model(nodes, {"s": ints(5000)})
    check(model, tmp_path)
    constants = Constants(model.graph, tmp_path, 20)
    for node in model.graph.node[:4]:
        assert constants.fold(node)
    light = light_model(model, constants)
    assert [node.op_type for node in light.graph.node] == ["Add"]
    assert {tensor.name for tensor in light.graph.initializer} == {"s", "r"}


def test_texts_are_no_constants(tmp_path):
    nodes = [("Add", ["t", "t"], ["u"], {}), ("Relu", ["x"], ["y"], {})]
    model = make_model(nodes, {"t": np.array(["ab"], object)})
    with pytest.raises(UnsupportedError, match="numbers"):
        cmodel.load(saved(model, tmp_path / "m.onnx"))


def test_padding_that_grows_a_kernel_stays_small(tmp_path):
    model = one("Conv", ["x", "w"], {"w": floats(4, 3, 3, 3)}, pads=[1 << 28, 0, 0, 0])
    with pytest.raises(LimitError, match="too large"):
        cmodel.load(saved(model, tmp_path / "m.onnx"))


def sparse_model(nodes, shape, where=(0,)):
    model = make_model([*nodes, ("Relu", ["x"], ["z"], {})], outputs=("z",), shape=("N", 1 << 10))
    values = numpy_helper.from_array(np.ones(len(where), np.float32), "w")
    places = numpy_helper.from_array(ints(*where), "places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, shape))
    return model


@pytest.mark.parametrize("op", ["Identity", "Neg", "Gemm"])
def test_sparse_initialisers_that_would_be_large_as_dense(op, tmp_path):
    inputs, more = (["x", "w"], {"alpha": 2.0}) if op == "Gemm" else (["w"], {})
    model = sparse_model([(op, inputs, ["y"], more)], (1 << 10, 1 << 18))
    with pytest.raises(LimitError, match="sparse initialiser `w`"):
        cmodel.load(saved(model, tmp_path / "m.onnx"))


def test_sparse_initialisers_stay_sparse(tmp_path):
    model = sparse_model([("Gemm", ["x", "w"], ["y"], {})], (1 << 10, 1 << 18), (0, 5))
    net = cmodel.load(saved(model, tmp_path / "m.onnx"))
    (form,) = net.parameters.values()
    assert isinstance(form, Sparse)
    assert form.shape == (1 << 10, 1 << 18)
