"""ONNX nodes as Caffe's layers, one by one, held against onnxruntime."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.nets import toy_net
from tests.onnx_tools import error_of, run_onnx

import cmodel
from cmodel.cli import main
from cmodel.engine import Engine
from cmodel.errors import (
    InputError,
    MissingExtraError,
    OnnxError,
    UnsupportedError,
    UsageError,
)
from cmodel.interchange import export, is_onnx
from cmodel.tensors import Dense, Linear, Sparse

RNG = np.random.default_rng(11)


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def make_model(nodes, constants=None, shape=("N", 3, 9, 8), outputs=("y",), opset=20, **more):
    """Return a model of nodes (op, inputs, outputs, attributes) that reads `x`."""
    graph = helper.make_graph(
        [helper.make_node(op, ins, outs, f"n{i}", **attributes)
         for i, (op, ins, outs, attributes) in enumerate(nodes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
        **more,
    )  # fmt: skip
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(
        graph, opset_imports=imports, ir_version=helper.find_min_ir_version_for(imports)
    )


def saved(model, path):
    path.write_bytes(model.SerializeToString())
    return path


def check(model, tmp_path, x=None, tolerance=2e-6):
    """Hold our engine against onnxruntime; return the net."""
    net = cmodel.load(saved(model, tmp_path / "m.onnx"))
    if x is None:
        shape = net.inputs["x"]
        x = np.random.default_rng(3).normal(size=(2, *shape[1:])).astype(np.float32)
    expected = run_onnx(model, {"x": x})
    found = Engine(net, threads=1).run({"x": x})
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert error_of(found[name], values) <= tolerance, name
    return net


def kinds(net):
    return [layer.type for layer in net.layers if layer.type != "Input"]


def one(op, inputs=("x",), constants=None, shape=("N", 3, 9, 8), opset=20, **attributes):
    return make_model([(op, inputs, ["y"], attributes)], constants, shape, opset=opset)


UNARY = {
    "Abs": ["AbsVal"], "Exp": ["Exp"], "Neg": ["Power"], "Relu": ["ReLU"], "Sigmoid": ["Sigmoid"],
    "Softplus": ["BNLL"], "Tanh": ["TanH"], "Mish": ["BNLL", "TanH", "Eltwise"],
    "HardSwish": ["Power", "Clip", "Eltwise"], "HardSigmoid": ["Power", "Clip"], "Elu": ["ELU"],
    "Selu": ["ELU", "Power"], "LeakyRelu": ["ReLU"], "Softmax": ["Softmax"],
    "LogSoftmax": ["Softmax", "Log"], "GlobalMaxPool": ["Pooling"], "GlobalAveragePool": ["Pooling"],
    "Dropout": ["Dropout"], "Flatten": ["Flatten"],
}  # fmt: skip


@pytest.mark.parametrize("op", UNARY)
def test_one_bottom(op, tmp_path):
    assert kinds(check(one(op), tmp_path)) == UNARY[op]


@pytest.mark.parametrize("op", ["Log", "Sqrt", "Reciprocal"])
def test_positive_bottoms(op, tmp_path):
    x = np.random.default_rng(0).uniform(0.5, 3, (2, 3, 9, 8)).astype(np.float32)
    assert len(kinds(check(one(op), tmp_path, x))) == 1


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("LeakyRelu", {"alpha": 0.3}), ("Elu", {"alpha": 0.5}), ("Selu", {"gamma": 1.5}),
        ("HardSigmoid", {"alpha": 0.3, "beta": 0.1}), ("Softmax", {"axis": 1}),
        ("LRN", {"size": 3, "alpha": 0.5, "beta": 0.6, "bias": 2.0}), ("Flatten", {"axis": 2}),
        ("Flatten", {"axis": -1}), ("Transpose", {"perm": [0, 1, 2, 3]}),
    ],
)  # fmt: skip
def test_attributes(op, attributes, tmp_path):
    check(one(op, **attributes), tmp_path)


CONVOLUTIONS = {
    "plain": ((4, 3, 3, 3), {}),
    "stride": ((4, 3, 3, 2), {"strides": [2, 1], "pads": [1, 0, 1, 0]}),
    "group": ((6, 1, 3, 3), {"group": 3, "dilations": [2, 2]}),
    "uneven": ((4, 3, 3, 3), {"strides": [2, 2], "pads": [0, 0, 1, 1]}),
    "uneven_more": ((4, 3, 3, 3), {"pads": [2, 0, 0, 1]}),
    "uneven_dilated": ((4, 3, 3, 3), {"pads": [2, 0, 0, 2], "dilations": [2, 2]}),
    "same_upper": ((4, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same_lower": ((4, 3, 4, 4), {"strides": [2, 3], "auto_pad": "SAME_LOWER"}),
    "valid": ((4, 3, 3, 3), {"auto_pad": "VALID"}),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("bias", [False, True])
def test_convolution(case, bias, tmp_path):
    shape, attributes = CONVOLUTIONS[case]
    constants = {"w": floats(*shape)} | ({"b": floats(shape[0])} if bias else {})
    net = check(one("Conv", ["x", *constants], constants, **attributes), tmp_path)
    assert kinds(net) == ["Convolution"]


@pytest.mark.parametrize(("rank", "kernel"), [(1, (3,)), (3, (2, 3, 2))])
def test_convolution_of_other_ranks(rank, kernel, tmp_path):
    model = one("Conv", ["x", "w"], {"w": floats(4, 3, *kernel)}, ("N", 3, *(6,) * rank))
    check(model, tmp_path)


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((3, 4, 3, 3), {}),
        ((3, 4, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ((3, 2, 3, 3), {"group": 3, "dilations": [2, 1]}),
    ],
)
def test_transposed_convolution(shape, attributes, tmp_path):
    check(one("ConvTranspose", ["x", "w"], {"w": floats(*shape)}, **attributes), tmp_path)


POOLINGS = [
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 0]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 2], "strides": [1, 1], "auto_pad": "SAME_LOWER"},
]


@pytest.mark.parametrize("attributes", POOLINGS)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "padded"])
def test_pooling(op, attributes, tmp_path):
    more = {"count_include_pad": 1} if op == "padded" else {}
    op = "AveragePool" if op == "padded" else op
    found = kinds(check(one(op, **attributes, **more), tmp_path))
    assert found[0] == "Pooling"
    # Windows that ONNX has not are cut off; averages may have other divisors.
    assert set(found[1:]) <= {"Slice", "Silence", "Scale"}
    if op == "MaxPool" and attributes.get("auto_pad") != "SAME_LOWER":
        assert len(found) == 1


def test_pooling_that_caffe_cannot_say(tmp_path):
    model = one("MaxPool", kernel_shape=[2, 2], strides=[1, 1], dilations=[2, 2])
    with pytest.raises(UnsupportedError, match=r"dilation") as caught:
        cmodel.load(saved(model, tmp_path / "m.onnx"))
    assert "node `n0` (MaxPool)" in caught.value.where
    with pytest.raises(UnsupportedError, match=r"Caffe"):
        cmodel.load(
            saved(one("MaxPool", kernel_shape=[2, 2], pads=[0, 0, 1, 3]), tmp_path / "m.onnx")
        )


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [None, (5,), (1, 5), (1,)])
def test_gemm(transposed, bias, tmp_path):
    constants = {"w": floats(5, 7) if transposed else floats(7, 5)}
    if bias:
        constants["b"] = floats(*bias)
    model = one("Gemm", ["x", *constants], constants, ("N", 7), transB=transposed)
    net = check(model, tmp_path)
    assert net.parameters["n0/0"].to_dense().tobytes() == constants["w"].tobytes()


def test_gemm_with_factors(tmp_path):
    constants = {"w": floats(7, 5), "b": floats(5)}
    check(one("Gemm", ["x", "w", "b"], constants, ("N", 7), alpha=0.5, beta=2.0), tmp_path)


def test_matmul_takes_over_the_bias(tmp_path):
    nodes = [("MatMul", ["x", "w"], ["m"], {}), ("Add", ["b", "m"], ["y"], {})]
    constants = {"w": floats(8, 5), "b": floats(5)}
    net = check(make_model(nodes, constants, ("N", 8)), tmp_path)
    assert kinds(net)[0] == "InnerProduct"
    assert "Bias" not in kinds(net)
    assert kinds(check(make_model(nodes, constants), tmp_path))[0] == "InnerProduct"


def test_a_product_that_others_read_keeps_its_own_values(tmp_path):
    nodes = [
        ("MatMul", ["x", "w"], ["m"], {}),
        ("Add", ["m", "b"], ["a"], {}),
        ("Mul", ["m", "a"], ["y"], {}),
    ]
    net = check(make_model(nodes, {"w": floats(8, 5), "b": floats(5)}, ("N", 8)), tmp_path)
    assert kinds(net) == ["InnerProduct", "Bias", "Eltwise"]


CONSTANTS = {
    "scalar": ((), "Power"), "ones": ((1, 1, 1), "Power"), "channel": ((3, 1, 1), None),
    "batched": ((1, 3, 1, 1), None), "rows": ((9, 1), None), "image": ((3, 9, 8), None),
    "columns": ((8,), None),
}  # fmt: skip


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("case", CONSTANTS)
@pytest.mark.parametrize("first", [False, True])
def test_constant_operands(op, case, first, tmp_path):
    shape, kind = CONSTANTS[case]
    constant = np.random.default_rng(1).uniform(0.5, 2, shape).astype(np.float32)
    x = np.random.default_rng(2).uniform(0.5, 2, (2, 3, 9, 8)).astype(np.float32)
    inputs = ["c", "x"] if first else ["x", "c"]
    net = check(one(op, inputs, {"c": constant}), tmp_path, x)
    if kind is not None:
        assert set(kinds(net)) == {kind}


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Sum"])
def test_two_blobs(op, tmp_path):
    nodes = [("Exp", ["x"], ["e"], {}), (op, ["x", "e"], ["y"], {})]
    assert "Eltwise" in kinds(check(make_model(nodes), tmp_path))


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize(
    ("axes", "kind"), [([2, 3], ("Scale", "Bias")), ([1], ("Tile",)), ([1, 2], ("Tile",))]
)
@pytest.mark.parametrize("small_first", [False, True])
def test_spread_blobs(op, axes, kind, small_first, tmp_path):
    nodes = [("Exp", ["x"], ["e"], {})]
    if axes == [2, 3]:
        nodes.append(("GlobalAveragePool", ["e"], ["g"], {}))
        constants = {}
    else:
        # Of one channel (and row): a 1x1 convolution, and a part of it.
        constants = {
            "w": np.ones((1, 3, 1, 1), np.float32),
            "s": ints(0),
            "e1": ints(1),
            "a": ints(2),
        }
        nodes.append(("Conv", ["e", "w"], ["c"], {}))
        if axes == [1]:
            nodes.append(("Identity", ["c"], ["g"], {}))
        else:
            nodes.append(("Slice", ["c", "s", "e1", "a"], ["g"], {}))
    nodes.append((op, ["g", "x"] if small_first else ["x", "g"], ["y"], {}))
    x = np.random.default_rng(2).uniform(0.5, 2, (2, 3, 9, 8)).astype(np.float32)
    assert set(kind) & set(kinds(check(make_model(nodes, constants), tmp_path, x)))


def test_power_with_a_constant(tmp_path):
    check(one("Pow", ["x", "p"], {"p": np.float32(2)}), tmp_path)


@pytest.mark.parametrize(
    ("low", "high", "kind"), [(0, 6, "Clip"), (0, None, "ReLU"), (-1, 1, "Clip"), (None, 1, "Clip")]
)
@pytest.mark.parametrize("opset", [6, 20])
def test_clip(low, high, kind, opset, tmp_path):
    bounds = {"min": low, "max": high}
    if opset == 6:
        given = {name: float(value) for name, value in bounds.items() if value is not None}
        model = one("Clip", opset=6, **given)
    else:
        constants = {n: np.float32(v) for n, v in bounds.items() if v is not None}
        model = one("Clip", ["x", *(n if n in constants else "" for n in bounds)], constants)
    assert kinds(check(model, tmp_path)) == [kind]


@pytest.mark.parametrize("shape", [(1,), (3, 1, 1), (1, 3, 1, 1)])
def test_prelu(shape, tmp_path):
    assert kinds(check(one("PRelu", ["x", "s"], {"s": floats(*shape)}), tmp_path)) == ["PReLU"]


def test_batch_normalization(tmp_path):
    rng = np.random.default_rng(4)
    constants = {name: floats(3) for name in ("scale", "bias", "mean")}
    constants["var"] = rng.uniform(0.5, 2, 3).astype(np.float32)
    model = one("BatchNormalization", ["x", *constants], constants, epsilon=1e-3)
    assert kinds(check(model, tmp_path)) == ["BatchNorm", "Scale"]
    plain = constants | {"scale": np.ones(3, np.float32), "bias": np.zeros(3, np.float32)}
    assert kinds(check(one("BatchNormalization", ["x", *plain], plain), tmp_path)) == ["BatchNorm"]


RESHAPES = [(0, -1), (0, 3, 72), (-1, 3, 8, 9), (0, 0, -1), (-1, 216), (0, 0, 0, 8)]


@pytest.mark.parametrize("target", RESHAPES)
def test_reshape(target, tmp_path):
    check(one("Reshape", ["x", "s"], {"s": ints(*target)}), tmp_path)


def test_a_reshape_that_merges_the_batch(tmp_path):
    check(one("Reshape", ["x", "s"], {"s": ints(-1, 8)}), tmp_path)


def test_a_shape_worked_out_from_the_blob(tmp_path):
    nodes = [
        ("Relu", ["x"], ["r"], {}),
        ("Shape", ["r"], ["shape"], {}),
        ("Gather", ["shape", "zero"], ["n"], {}),
        ("Unsqueeze", ["n", "axes"], ["n1"], {}),
        ("Shape", ["x"], ["rest"], {"start": 1}),
        ("ReduceProd", ["rest"], ["p"], {"keepdims": 1}),
        ("Concat", ["n1", "p"], ["target"], {"axis": 0}),
        ("Reshape", ["r", "target"], ["y"], {}),
    ]
    constants = {"zero": np.array(0, np.int64), "axes": ints(0)}
    assert kinds(check(make_model(nodes, constants), tmp_path)) == ["ReLU", "Flatten"]


def test_values_that_depend_on_the_batch_are_no_constants(tmp_path):
    nodes = [
        ("Shape", ["x"], ["s"], {"end": 1}),
        ("Cast", ["s"], ["n"], {"to": TensorProto.FLOAT}),
        ("Div", ["x", "n"], ["y"], {}),
    ]
    with pytest.raises(UnsupportedError, match="depends on the batch size"):
        cmodel.load(saved(make_model(nodes), tmp_path / "m.onnx"))
    fixed = make_model(nodes, shape=(2, 3, 9, 8))
    check(fixed, tmp_path)


def test_squeeze_and_unsqueeze(tmp_path):
    nodes = [
        ("GlobalAveragePool", ["x"], ["g"], {}),
        ("Squeeze", ["g", "a"], ["s"], {}),
        ("Unsqueeze", ["s", "b"], ["y"], {}),
    ]
    check(make_model(nodes, {"a": ints(2, -1), "b": ints(1)}), tmp_path)


def test_concat_and_split(tmp_path):
    nodes = [
        ("Split", ["x", "sizes"], ["a", "b"], {"axis": 2}),
        ("Relu", ["a"], ["ra"], {}),
        ("Concat", ["b", "ra"], ["y"], {"axis": -2}),
    ]
    check(make_model(nodes, {"sizes": ints(4, 5)}), tmp_path)
    equal = [("Split", ["x"], ["a", "b", "c"], {"axis": 1, "num_outputs": 3})]
    check(make_model(equal, outputs=("a", "b", "c")), tmp_path)


@pytest.mark.parametrize(
    ("starts", "ends", "axes"),
    [((1,), (3,), (1,)), ((0, 2), (2, 99), (1, 3)), ((-3,), (-1,), (2,)), ((0,), (9,), (2,))],
)
def test_slice(starts, ends, axes, tmp_path):
    constants = {"s": ints(*starts), "e": ints(*ends), "a": ints(*axes)}
    check(one("Slice", ["x", "s", "e", "a"], constants), tmp_path)


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize(
    ("op", "axes"),
    [("ReduceMean", (2, 3)), ("ReduceMean", (-1,)), ("ReduceSum", (1, 2, 3)), ("ReduceL1", (3,)),
     ("ReduceSumSquare", (2, 3))],
)  # fmt: skip
def test_reductions(op, axes, keep, tmp_path):
    check(one(op, ["x", "a"], {"a": ints(*axes)}, keepdims=keep), tmp_path)


def test_padding_goes_into_the_layer_behind_it(tmp_path):
    pads = {"p": ints(0, 0, 1, 0, 0, 0, 2, 1)}
    conv = [("Pad", ["x", "p"], ["q"], {}), ("Conv", ["q", "w"], ["y"], {"pads": [0, 1, 0, 1]})]
    assert kinds(check(make_model(conv, pads | {"w": floats(4, 3, 3, 3)}), tmp_path)) == [
        "Convolution"
    ]
    pool = {"kernel_shape": [3, 3], "strides": [2, 2]}
    even = {"p": ints(0, 0, 1, 1, 0, 0, 1, 1)}
    average = [("Pad", ["x", "p"], ["q"], {}), ("AveragePool", ["q"], ["y"], pool)]
    assert kinds(check(make_model(average, even), tmp_path)) == ["Pooling"]
    most = [
        ("Relu", ["x"], ["r"], {}),
        ("Pad", ["r", "p"], ["q"], {}),
        ("MaxPool", ["q"], ["y"], pool),
    ]
    assert kinds(check(make_model(most, even), tmp_path)) == ["ReLU", "Pooling"]
    most[0] = ("Elu", ["x"], ["r"], {})
    with pytest.raises(UnsupportedError, match="before a pooling of the maximum"):
        cmodel.load(saved(make_model(most, even), tmp_path / "m.onnx"))


def test_padding_elsewhere_is_refused(tmp_path):
    nodes = [("Pad", ["x", "p"], ["q"], {}), ("Relu", ["q"], ["y"], {})]
    with pytest.raises(UnsupportedError, match="only inside a convolution or a pooling"):
        cmodel.load(
            saved(make_model(nodes, {"p": ints(0, 0, 1, 1, 0, 0, 1, 1)}), tmp_path / "m.onnx")
        )


def test_moving_axes_of_one(tmp_path):
    nodes = [
        ("GlobalAveragePool", ["x"], ["g"], {}),
        ("Transpose", ["g"], ["y"], {"perm": [0, 2, 3, 1]}),
    ]
    check(make_model(nodes), tmp_path)


def test_outputs_keep_their_names(tmp_path):
    nodes = [
        ("Relu", ["x"], ["r"], {}),
        ("Identity", ["r"], ["y"], {}),
        ("Identity", ["x"], ["z"], {}),
    ]
    net = check(make_model(nodes, outputs=("y", "z")), tmp_path)
    assert net.outputs == ["y", "z"]


def test_half_floats_and_fixed_point_stay_what_they_are(tmp_path):
    half = floats(4, 3, 3, 3).astype(np.float16)
    nodes = [("Cast", ["h"], ["w"], {"to": 1}), ("Conv", ["x", "w"], ["y"], {})]
    # The half floats are widened, so they are stored as float32 unless the model has them as such.
    check(make_model(nodes, {"h": half}), tmp_path)
    constants = {
        "q": RNG.integers(-99, 99, (4, 3, 3, 3)).astype(np.int8),
        "s": np.array([0.1, 0.2, 0.3, 0.4], np.float32),
        "z": np.array([1, 2, 3, -4], np.int8),
    }
    nodes = [
        ("DequantizeLinear", ["q", "s", "z"], ["w"], {"axis": 0}),
        ("Conv", ["x", "w"], ["y"], {"pads": [0, 0, 1, 1], "strides": [2, 2]}),
    ]
    form = check(make_model(nodes, constants), tmp_path).parameters["n1/0"]
    assert isinstance(form, Linear)
    assert form.groups == 4
    assert form.shape == (4, 3, 4, 4)


def test_what_we_export_comes_back_with_its_forms(tmp_path):
    net = toy_net()
    rng = np.random.default_rng(1)
    net.parameters["conv/0"] = Linear(
        Dense(np.full(4, 0.1, np.float32)),
        np.zeros(4, np.int32),
        rng.integers(-9, 9, (4, 3, 3, 3)).astype(np.int8),
    )
    places = np.arange(0, 864, 9, dtype=np.int64)
    net.parameters["fc/0"] = Sparse((6, 144), places, Dense(floats(places.size)))
    x = {"data": floats(2, 3, 8, 8)}
    expected = Engine(net, threads=1).run(x, ["fc"])["fc"]
    kept = {"qdq": ("conv", Linear), "sparse": ("fc", Sparse)}
    for form, (layer, kind) in kept.items():
        export(net, tmp_path / f"{form}.onnx", form=form)
        again = cmodel.load(tmp_path / f"{form}.onnx")
        found = Engine(again, threads=1).run(x)
        assert list(found) == ["prob"]
        names = [layer_.parameters[0] for layer_ in again.layers if layer_.parameters]
        held = again.parameters[names[0] if layer == "conv" else names[1]]
        assert isinstance(held, kind)
        assert held.to_dense().tobytes() == net.parameters[f"{layer}/0"].to_dense().tobytes()
        assert error_of(Engine(again, threads=1).run(x, ["fc"])["fc"], expected) < 2e-6


def test_a_half_float_model(tmp_path):
    weights = floats(4, 3, 3, 3).astype(np.float16)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    net = cmodel.load(saved(model, tmp_path / "m.onnx"))
    form = net.parameters["conv/0"]
    assert isinstance(form, Dense)
    assert form.values.dtype == np.float16


def test_all_unsupported_nodes_are_named_at_once(tmp_path):
    nodes = [
        ("Det", ["x"], ["a"], {}),
        ("Relu", ["a"], ["b"], {}),
        ("Sin", ["x"], ["c"], {}),
        ("Cos", ["b"], ["y"], {}),
    ]
    with pytest.raises(UnsupportedError, match="3 of the nodes") as caught:
        cmodel.load(saved(make_model(nodes), tmp_path / "m.onnx"))
    assert [note.split(":")[0] for note in caught.value.notes] == [
        "node `n0` (Det)",
        "node `n2` (Sin)",
        "node `n3` (Cos)",
    ]


def test_foreign_operators_are_named(tmp_path):
    model = one("Relu")
    model.graph.node[0].domain = "com.example"
    with pytest.raises(UnsupportedError, match=r"com\.example\.Relu"):
        cmodel.load(saved(model, tmp_path / "m.onnx"))


def test_local_functions_are_unfolded(tmp_path):
    function = helper.make_function(
        "local", "Twice", ["a"], ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 20)],
    )  # fmt: skip
    model = one("Twice")
    model.graph.node[0].domain = "local"
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("local", 1))
    assert kinds(check(model, tmp_path)) == ["Eltwise"]


def test_open_sizes_other_than_the_batch_are_refused(tmp_path):
    for shape in (("N", 3, "H", "W"), None):
        with pytest.raises(UnsupportedError, match="only the batch may be open"):
            cmodel.load(saved(one("Relu", shape=shape), tmp_path / "m.onnx"))


def test_whole_numbers_are_no_input(tmp_path):
    model = one("Relu")
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(UnsupportedError, match="holds INT64"):
        cmodel.load(saved(model, tmp_path / "m.onnx"))


def test_detection(tmp_path):
    path = saved(one("Relu"), tmp_path / "a.prototxt")
    assert is_onnx(path)
    assert kinds(cmodel.load(path)) == ["ReLU"]
    export(toy_net(), tmp_path / "net.caffemodel")
    for name in ("net.caffemodel", "net.prototxt"):
        assert not is_onnx(tmp_path / name)
    for text in (b"", b"\x08", b"name: 'x'", b"\x08\x0a" * 99999, b"\x08\x0a\x12"):
        (tmp_path / "x").write_bytes(text)
        assert not is_onnx(tmp_path / "x")
    with pytest.raises(InputError):
        is_onnx(tmp_path / "missing")
    with pytest.raises(UsageError, match="carries its weights"):
        cmodel.load(path, path)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("cmodel.interchange.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"cmodel-nn\[onnx\]"):
        cmodel.load(saved(one("Relu"), tmp_path / "m.onnx"))


def test_damage_gives_one_clear_error(tmp_path):
    nodes = [("Conv", ["x", "w"], ["c"], {}), ("Softmax", ["c"], ["y"], {})]
    data = make_model(nodes, {"w": floats(4, 3, 3, 3)}).SerializeToString()
    path = tmp_path / "m.onnx"
    for cut in range(30, len(data) - 1, 7):
        path.write_bytes(data[:cut])
        with pytest.raises((InputError, UnsupportedError)):
            cmodel.load(path)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), 2):
            broken[place] = rng.integers(256)
        path.write_bytes(broken)
        try:
            cmodel.load(path)
        except cmodel.errors.CmodelError:
            refused += 1
    assert refused > 50


BROKEN = {
    "axis": ("Concat", ["x", "x"], {"axis": 1.5}),
    "input": ("Gemm", ["x"], {}),
    "unknown": ("Relu", ["nowhere"], {}),
    "permutation": ("Transpose", ["x"], {"perm": [0, 9]}),
    "strides": ("MaxPool", ["x"], {"kernel_shape": [2, 2], "strides": [0, 0]}),
    "pads": ("MaxPool", ["x"], {"kernel_shape": [2, 2], "pads": [0]}),
    "kernel": ("AveragePool", ["x"], {}),
}


@pytest.mark.parametrize("case", BROKEN)
def test_malformed_nodes(case, tmp_path):
    op, inputs, attributes = BROKEN[case]
    path = saved(one(op, inputs, **attributes), tmp_path / "m.onnx")
    with pytest.raises((OnnxError, UnsupportedError)) as caught:
        cmodel.load(path)
    assert "node `n0`" in caught.value.where


def test_tensors_that_lie_about_their_size(tmp_path):
    model = one("Conv", ["x", "w"], {"w": floats(4, 3, 3, 3)})
    model.graph.initializer[0].dims[0] = 1 << 40
    with pytest.raises(OnnxError, match="cannot be read"):
        cmodel.load(saved(model, tmp_path / "m.onnx"))


def test_parameters_beside_the_model(tmp_path):
    from cmodel.interchange.onnx.writer import write_onnx

    net = toy_net()
    net.parameters["fc/0"] = Dense(floats(6, 144))
    big = Dense(floats(1300, 1300))
    from tests.nets import make_net

    net = make_net(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1300 } } }'
        'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"'
        " inner_product_param { num_output: 1300 bias_term: false } }",
        {"fc": [big]},
    )
    write_onnx(net, tmp_path / "big.onnx", max_inline=1000)
    again = cmodel.load(tmp_path / "big.onnx")
    (name,) = again.parameters
    assert again.parameters[name].to_dense().tobytes() == big.values.tobytes()
    (tmp_path / "big.onnx.data").unlink()
    with pytest.raises(OnnxError, match="cannot be read"):
        cmodel.load(tmp_path / "big.onnx")


def test_the_commands_take_onnx(tmp_path, capsys):
    path = saved(one("Relu"), tmp_path / "m.onnx")
    assert main(["inspect", str(path)]) == 0
    assert "ReLU" in capsys.readouterr().out
    nodes = [("Conv", ["x", "w"], ["y"], {})]
    path = saved(make_model(nodes, {"w": floats(4, 3, 3, 3)}), tmp_path / "m.onnx")
    assert main(["pack", str(path), "-o", str(tmp_path / "m.cmodel")]) == 0
    assert main(["export", str(tmp_path / "m.cmodel"), "-o", str(tmp_path / "n.onnx")]) == 0
    assert is_onnx(tmp_path / "n.onnx")
    assert onnx.load(tmp_path / "n.onnx").graph.node[0].op_type == "Conv"


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (0, 1, 3, 2), (0, 3, 2, 1)])
def test_axes_in_another_order(order, tmp_path):
    assert kinds(check(one("Transpose", perm=order), tmp_path)) == ["Permute"]
