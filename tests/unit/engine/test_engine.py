"""The engine's contract: feeds, wanted blobs, left-out layers, memory, threads, errors."""

import subprocess
import sys
from threading import Thread

import numpy as np
import pytest

from cmodel.engine import Engine
from cmodel.errors import (
    DataError,
    LimitError,
    NetError,
    UnsupportedError,
    UsageError,
    WeightsError,
)
from cmodel.net import Registry
from cmodel.tensors import Codebook, Dense, Sparse

CHAIN = """
Input data: -> data {input_param { shape { dim: 2 dim: 3 dim: 8 dim: 9 } }}
Convolution conv: data -> conv {convolution_param { num_output: 4 kernel_size: 3 }}
ReLU relu: conv -> conv
Pooling pool: conv -> pool {pooling_param { kernel_size: 2 stride: 2 }}
Flatten flat: pool -> flat
Power double: flat -> double {power_param { scale: 2 }}
"""
TRAINING = """
Data data: -> data label
InnerProduct ip: data -> ip {inner_product_param { num_output: 5 }}
Accuracy accuracy: ip label -> accuracy
SoftmaxWithLoss loss: ip label -> loss
"""


def image(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_outputs_by_default(make_net):
    engine = Engine(make_net(CHAIN))
    x = image(2, 3, 8, 9)
    found = engine.run({"data": x})
    assert list(found) == ["double"]
    everything = engine.run({"data": x}, blobs="all")
    assert list(everything) == ["data", "conv", "pool", "flat", "double"]
    assert (everything["double"] == found["double"]).all()
    assert (everything["double"] == 2 * everything["flat"]).all()
    assert everything["conv"].min() == 0
    assert (everything["data"] == x).all()
    assert engine.inputs == {"data": (2, 3, 8, 9)}
    assert engine.outputs == ["double"]


def test_named_blobs_run_only_what_they_need(make_net):
    net = make_net(CHAIN + "Mystery odd: conv -> odd\n")
    engine = Engine(net)
    x = image(2, 3, 8, 9)
    assert list(engine.run({"data": x}, blobs=["pool", "conv", "pool"])) == ["pool", "conv"]
    assert engine.run({"data": x}, blobs="pool").keys() == {"pool"}
    assert engine.run({"data": x}, blobs=[]) == {}
    with pytest.raises(UnsupportedError, match="`Mystery`"):
        engine.run({"data": x})


def test_unsupported_type_suggests(make_net):
    engine = Engine(make_net(CHAIN + "Convolutoin c2: conv -> c2\n"))
    with pytest.raises(UnsupportedError) as caught:
        engine.run({"data": image(2, 3, 8, 9)}, blobs=["c2"])
    assert "layer `c2`" in str(caught.value)
    assert "did you mean `Convolution`" in str(caught.value)


def test_any_batch_and_size_and_back(make_net):
    engine = Engine(make_net(CHAIN))
    x = image(5, 3, 12, 9)
    whole = engine.run({"data": x})["double"]
    single = [engine.run({"data": x[i : i + 1]})["double"] for i in range(5)]
    assert (whole == np.concatenate(single)).all()
    assert (engine.run({"data": x})["double"] == whole).all()


def test_feed_is_converted_and_never_changed(make_net):
    net = make_net(
        """
        Input data: -> data {input_param { shape { dim: 2 dim: 3 } }}
        ReLU a: data -> data
        Power b: data -> flat {power_param { scale: 3 }}
        """
    )
    engine = Engine(net)
    x = image(2, 3)
    before = x.copy()
    found = engine.run({"data": x}, blobs="all")
    assert (x == before).all()
    assert (found["data"] == np.maximum(x, 0)).all()
    assert (found["flat"] == 3 * np.maximum(x, 0)).all()
    doubles = engine.run({"data": np.asfortranarray(x, np.float64)}, blobs="all")
    assert (doubles["flat"] == found["flat"]).all()
    ints = engine.run({"data": [[1, -2, 3], [4, 5, -6]]})["flat"]
    assert ints.dtype == np.float32
    assert ints.tolist() == [[3, 0, 9], [12, 15, 0]]
    read_only = x.copy()
    read_only.setflags(write=False)
    assert (engine.run({"data": read_only})["flat"] == found["flat"]).all()


def test_results_belong_to_the_caller(make_net):
    engine = Engine(make_net(CHAIN))
    x = image(2, 3, 8, 9)
    first = engine.run({"data": x}, blobs="all")
    kept = {name: array.copy() for name, array in first.items()}
    engine.run({"data": -x}, blobs="all")
    for name, array in first.items():
        assert (array == kept[name]).all()
        array += 1
    again = engine.run({"data": x}, blobs="all")
    assert all((again[name] == kept[name]).all() for name in kept)
    assert engine.run({"data": x}, blobs=["data"])["data"] is not x
    assert (x == kept["data"]).all()


def test_in_place_keeps_what_others_still_read(make_net):
    net = make_net(
        """
        Input x: -> x {input_param { shape { dim: 2 dim: 3 } }}
        Power p: x -> p {power_param { scale: 2 }}
        Power s: p -> s
        Power q: s -> s {power_param { shift: 1 }}
        Power u: p -> p {power_param { scale: -1 }}
        Eltwise e: s p -> e
        """
    )
    x = image(2, 3)
    for blobs in ("all", ["e", "s"], None):
        found = Engine(net).run({"x": x}, blobs=blobs)
        np.testing.assert_allclose(found["e"], np.ones_like(x), atol=1e-6)
        assert (found.get("s", 2 * x + 1) == 2 * x + 1).all()
    assert found.keys() == {"e"}
    assert (Engine(net).run({"x": x}, blobs="all")["p"] == -2 * x).all()


def test_in_place_changes_all_that_share_memory(make_net):
    """Blobs "as they stand at the end" are what lies in Caffe's memory then.

    Flatten, Reshape and Split put their tops on the memory of the bottom. So the ReLU below writes
    to `p` and `s` too: the layer behind it reads the changed `s`, and `p` is changed at the end;
    `early` was made before. In Caffe nothing else is possible: there is but one array.
    """
    net = make_net(
        """
        Input x: -> x {input_param { shape { dim: 2 dim: 3 } }}
        Power p: x -> p {power_param { scale: 2 }}
        Split s: p -> s t
        Flatten f: t -> f {flatten_param { axis: 0 }}
        Power early: s -> early
        ReLU r: f -> f
        Power late: s -> late
        """
    )
    x = image(2, 3)
    right = {"early": 2 * x, "late": 2 * np.maximum(x, 0), "p": 2 * np.maximum(x, 0)}
    for blobs in ("all", ["p", "early", "late"], ["p"], ["late"], None):
        found = Engine(net).run({"x": x}, blobs=blobs)
        for name in right.keys() & found.keys():
            assert (found[name] == right[name]).all(), (blobs, name)
    assert found.keys() == {"early", "f", "late"}
    assert (Engine(net).run({"x": x}, blobs="all")["f"] == right["p"].ravel()).all()


def test_in_place_on_the_memory_of_an_input(make_net):
    net = make_net(
        """
        Input x: -> x {input_param { shape { dim: 2 dim: 3 } }}
        Reshape r: x -> r {reshape_param { shape { dim: -1 } }}
        ReLU l: r -> r
        """
    )
    x = image(2, 3)
    before = x.copy()
    found = Engine(net).run({"x": x}, blobs="all")
    assert (x == before).all()
    assert (found["x"] == np.maximum(x, 0)).all()


FILTER = """
    Input x: -> x {input_param { shape { dim: 4 dim: 3 } }}
    Input s: -> s {input_param { shape { dim: 4 } }}
    TanH t: x -> t
    Filter f: t x s -> p q
    InnerProduct i: p -> i {inner_product_param { num_output: 2 }}
    ReLU r: x -> r
"""


def test_layers_behind_a_filter_run_on_what_it_lets_through(make_net):
    engine = Engine(make_net(FILTER))
    x = image(4, 3)
    every = engine.run({"x": x, "s": np.ones(4)}, blobs="all")
    assert every["p"].shape == (4, 3)
    for chosen in ([1], [0, 3], [0, 1, 2, 3], [3]):
        selector = np.zeros(4)
        selector[chosen] = 0.5
        found = engine.run({"x": x, "s": selector}, blobs="all")
        assert found.keys() == every.keys()
        assert (found["q"] == x[chosen]).all()
        assert (found["p"] == np.tanh(x)[chosen]).all()
        np.testing.assert_allclose(found["i"], every["i"][chosen], rtol=1e-5)
        assert (engine.run({"x": x, "s": selector}, blobs=["i"])["i"] == found["i"]).all()
    assert (engine.run({"x": x, "s": np.ones(4)}, blobs=["r"])["r"] == np.maximum(x, 0)).all()


def test_a_filter_that_lets_nothing_through(make_net):
    engine = Engine(make_net(FILTER))
    feed = {"x": image(4, 3), "s": np.zeros(4)}
    assert engine.run(feed, blobs=["p", "r"])["p"].shape == (0, 3)
    with pytest.raises(DataError, match="is empty") as caught:
        engine.run(feed)
    assert "blob `p`" in str(caught.value)
    assert engine.run({**feed, "s": np.ones(4)})["i"].shape == (4, 2)


@pytest.mark.parametrize("kind", ["RNN", "LSTM"])
def test_a_sequence_in_two_halves(make_net, kind):
    """The exposed states carry over what a longer sequence would have kept."""
    states = ["h"] if kind == "RNN" else ["h", "c"]
    first, last = " ".join(states), " ".join(f"{name}1" for name in states)
    inputs = "".join(
        f"Input in_{name}: -> {name} {{input_param {{ shape {{ dim: 1 dim: 2 dim: 3 }} }}}}\n"
        for name in states
    )
    net = make_net(
        "Input x: -> x {input_param { shape { dim: 6 dim: 2 dim: 4 } }}\n"
        "Input cont: -> cont {input_param { shape { dim: 6 dim: 2 } }}\n"
        f"{inputs}{kind} l: x cont {first} -> y {last} "
        "{recurrent_param { num_output: 3 expose_hidden: true }}"
    )
    engine = Engine(net)
    x, cont = image(6, 2, 4), np.ones((6, 2), np.float32)
    cont[4, 1] = 0
    start = {name: image(1, 2, 3) for name in states}
    whole = engine.run({"x": x, "cont": cont, **start})
    half = engine.run({"x": x[:3], "cont": cont[:3], **start})
    between = {name: half[f"{name}1"] for name in states}
    rest = engine.run({"x": x[3:], "cont": cont[3:], **between})
    np.testing.assert_allclose(np.concatenate((half["y"], rest["y"])), whole["y"], rtol=1e-5)
    for name in states:
        np.testing.assert_allclose(rest[f"{name}1"], whole[f"{name}1"], rtol=1e-5)


def test_values_that_point_nowhere(make_net):
    net = make_net(
        """
        Input x: -> x {input_param { shape { dim: 1 dim: 2 dim: 2 dim: 2 } }}
        Input m: -> m {input_param { shape { dim: 1 dim: 2 dim: 2 dim: 2 } }}
        Input r: -> r {input_param { shape { dim: 2 dim: 5 } }}
        Upsample u: x m -> u
        ROIPooling p: x r -> p {roi_pooling_param { pooled_h: 1 pooled_w: 1 }}
        """
    )
    x = image(1, 2, 2, 2)
    good = {"x": x, "m": np.arange(8).reshape(x.shape), "r": np.zeros((2, 5))}
    assert (Engine(net).run(good)["p"] == x[:, :, :1, :1]).all()
    for blob, place, value, message in [
        ("m", (0, 1, 0, 0), 16, "position 16 lies outside a plane of 16"),
        ("m", (0, 1, 0, 0), -1, "position -1"),
        ("r", (1, 0), 1, "region 1"),
        ("r", (1, 0), -1, "region 1"),
        ("r", (0, 3), np.inf, "region 0"),
        ("r", (0, 3), np.nan, "region 0"),
    ]:
        bad = good[blob].astype(np.float32)
        bad[place] = value
        with pytest.raises(DataError, match=message):
            Engine(net).run({**good, blob: bad})


def test_an_infogain_matrix_in_a_file_is_named(make_net):
    net = make_net(
        """
        Input x: -> x {input_param { shape { dim: 2 dim: 3 } }}
        Input l: -> l {input_param { shape { dim: 2 } }}
        InfogainLoss g: x l -> g {infogain_loss_param { source: "gain.binaryproto" }}
        """
    )
    with pytest.raises(UnsupportedError, match="stands in a file"):
        Engine(net).run({"x": image(2, 3), "l": np.zeros(2)})


def test_same_bottom_twice_in_place(make_net):
    net = make_net(
        """
        Input x: -> x {input_param { shape { dim: 2 dim: 3 } }}
        Power p: x -> p {power_param { scale: 2 }}
        Eltwise e: p p -> p {eltwise_param { coeff: 2 coeff: 0.5 }}
        """
    )
    x = image(2, 3)
    np.testing.assert_allclose(Engine(net).run({"x": x})["p"], 5 * x, rtol=1e-6)


def test_relu_is_fused_only_where_nobody_else_reads(make_net):
    net = make_net(
        """
        Input x: -> x {input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } }}
        Convolution c: x -> c {convolution_param { num_output: 2 kernel_size: 3 }}
        ReLU r: c -> r
        Power p: c -> p {power_param { scale: -1 }}
        """
    )
    engine = Engine(net)
    everything = engine.run({"x": image(1, 3, 4, 4)}, blobs="all")
    assert everything["c"].min() < 0
    for blobs in (None, ["r"], ["c", "r"]):
        found = engine.run({"x": image(1, 3, 4, 4)}, blobs=blobs)
        assert all((found[name] == everything[name]).all() for name in found)
    assert (everything["r"] == np.maximum(everything["c"], 0)).all()
    assert (everything["p"] == -everything["c"]).all()


def test_labels_may_be_left_out(make_net):
    net = make_net(
        TRAINING.replace("Data data: ->", "Input data: ->").replace(
            "data label\nInner",
            "data label {input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } }}\nInner",
        )
    )
    engine = Engine(net)
    x = image(6, 3)
    assert engine.run({"data": x}).keys() == {"ip"}
    assert engine.run({"data": x}, blobs="all").keys() == {"data", "ip"}
    with pytest.raises(NetError, match="input `label`, which `accuracy` needs, is not fed"):
        engine.run({"data": x}, blobs=["accuracy"])
    labels = np.array([0, 1, 2, 3, 4, 0])
    found = engine.run({"data": x, "label": labels}, blobs="all")
    assert found["accuracy"] == np.float32((found["ip"].argmax(1) == labels).mean())
    assert found["loss"].shape == ()
    assert engine.run({"data": x, "label": labels}).keys() == {"accuracy", "loss"}


def test_missing_input_is_an_error(make_net):
    net = make_net(
        """
        Input a: -> a {input_param { shape { dim: 2 dim: 3 } }}
        Input b: -> b {input_param { shape { dim: 2 dim: 3 } }}
        Power p: a -> p
        Eltwise e: p b -> e
        """
    )
    engine = Engine(net)
    for blobs in (None, "all", ["e"]):
        with pytest.raises(NetError) as caught:
            engine.run({"a": image(2, 3)}, blobs=blobs)
        assert "input `b`" in str(caught.value)
        assert "`a` (2x3)" in str(caught.value)
    assert engine.run({"a": image(2, 3)}, blobs=["p"]).keys() == {"p"}
    with pytest.raises(NetError, match="not fed"):
        engine.run({})


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ({"dta": image(2, 3, 8, 9)}, "did you mean `data`"),
        ({"data": image(2, 4, 8, 9)}, "axes and channels have to match"),
        ({"data": image(3, 8, 9)}, "axes and channels have to match"),
        ({"data": np.zeros((2, 3, 8, 9), complex)}, "not numbers"),
        ({"data": np.array("text")}, "not numbers"),
        ({"data": image(0, 3, 8, 9)}, "would have the shape"),
        ({"data": image(2, 3, 2, 9)}, "the kernel spans 3"),
    ],
)
def test_wrong_feed(make_net, feed, message):
    with pytest.raises(NetError) as caught:
        Engine(make_net(CHAIN)).run(feed)
    assert message in str(caught.value)


def test_unknown_blob(make_net):
    with pytest.raises(NetError) as caught:
        Engine(make_net(CHAIN)).run({"data": image(2, 3, 8, 9)}, blobs=["pol"])
    assert "no blob `pol`" in str(caught.value)
    assert "`pool`" in str(caught.value)


def test_size_that_the_weights_do_not_fit(make_net):
    text = """
        Input data: -> data {input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } }}
        InnerProduct ip: data -> ip {inner_product_param { num_output: 5 }}
        """
    engine = Engine(make_net(text))
    with pytest.raises(NetError) as caught:
        engine.run({"data": image(1, 3, 5, 5)})
    assert "`ip/0`" in str(caught.value)
    assert "`data` (1x3x4x4)" in str(caught.value)
    net = make_net(text)
    net.parameters["ip/0"] = Dense(image(5, 47))
    with pytest.raises(WeightsError, match="5x47"):
        Engine(net).run({"data": image(1, 3, 4, 4)})
    net.layers[1].parameters = ["ip/0"]
    with pytest.raises(WeightsError, match="needs 2 parameters and has 1"):
        Engine(net).run({"data": image(1, 3, 4, 4)})


def test_legacy_shapes_and_forms(make_net):
    text = """
        Input data: -> data {input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } }}
        InnerProduct ip: data -> ip {inner_product_param { num_output: 5 }}
        """
    net = make_net(text)
    x = image(1, 3, 4, 4)
    rounded = np.rint(net.parameters["ip/0"].to_dense()).astype(np.float32)
    net.parameters["ip/0"] = Dense(rounded.reshape(1, 1, 5, 48))
    expected = Engine(net).run({"data": x})["ip"]
    centroids, indices = np.unique(rounded, return_inverse=True)
    indices = indices.reshape(rounded.shape).astype(np.uint8)
    net.parameters["ip/0"] = Codebook(Dense(centroids[None]), indices)
    assert (Engine(net).run({"data": x})["ip"] == expected).all()
    positions = np.flatnonzero(rounded)
    net.parameters["ip/0"] = Sparse(rounded.shape, positions, Dense(rounded.ravel()[positions]))
    assert (Engine(net).run({"data": x})["ip"] == expected).all()


def test_threads_and_math():
    net_error = pytest.raises(UsageError)
    with net_error:
        Engine(None, math="exakt")  # type: ignore[arg-type]
    for threads in (0, -1, 1.5, True, "2"):
        with pytest.raises(UsageError, match="threads"):
            Engine(None, threads=threads)  # type: ignore[arg-type]


def test_buffers_are_reused(make_net):
    layers = "\n".join(
        f"Convolution c{i}: {'data' if i == 0 else f'c{i - 1}'} -> c{i} "
        "{convolution_param { num_output: 4 kernel_size: 3 pad: 1 }}"
        for i in range(6)
    )
    net = make_net(
        "Input data: -> data {input_param { shape { dim: 1 dim: 4 dim: 16 dim: 16 } }}\n" + layers
    )
    engine = Engine(net)
    x = image(1, 4, 16, 16)
    last = engine.run({"data": x})["c5"]
    lean = engine.buffer_bytes
    everything = engine.run({"data": x}, blobs="all")
    assert (everything["c5"] == last).all()
    assert lean < engine.buffer_bytes / 2
    pair = engine.run({"data": x}, blobs=["c2", "c5"])
    assert (pair["c2"] == everything["c2"]).all()
    assert (pair["c5"] == last).all()


def test_memory_limit(make_net):
    tiles = "".join(
        f"Tile t{i}: data -> t{i} {{tile_param {{ tiles: 2147483647 }}}}\n" for i in range(999)
    )
    net = make_net("Input data: -> data {input_param { shape { dim: 1 dim: 1 } }}\n" + tiles)
    with pytest.raises(LimitError, match="GB of memory"):
        Engine(net).run({"data": image(1, 1)})


def test_scratch_space_limit(make_net, monkeypatch):
    from cmodel._gemm import Deconvolution

    one, zero, weights = (1, 1, 1), (0, 0, 0), np.zeros((1, 10**6), np.float32)
    bottom, kernel = (1, 1, 2**31 - 1), (1, 1, 10**6)
    with pytest.raises(MemoryError, match="scratch space"):
        Deconvolution(1, 1, 1, one, bottom, kernel, one, zero, one, weights, None, 1)

    engine = Engine(make_net(CHAIN))

    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr(engine, "_plan_stage", exhausted)
    with pytest.raises(LimitError, match="not enough memory"):
        engine.run({"data": image(2, 3, 8, 9)})


def test_scratch_space_counts(make_net):
    """A small net whose kernels need more memory than any machine has is refused before it runs."""
    net = make_net(
        "Input data: -> data {input_param { shape { dim: 1 dim: 1 dim: 1000 dim: 1000 } }}\n"
        "Deconvolution up: data -> up "
        "{convolution_param { num_output: 1 kernel_size: 2000 bias_term: false }}\n"
    )
    with pytest.raises(LimitError, match="memory"):
        Engine(net, threads=8).run({"data": image(1, 1, 1000, 1000)})


def test_a_kernel_without_memory(make_net, monkeypatch):
    """Memory that runs out within a kernel is a limit too, and the engine still works after it."""
    from cmodel.engine.ops.relu import ReLU

    net = make_net(
        "Input data: -> data {input_param { shape { dim: 1 dim: 4 } }}\nReLU r: data -> r\n"
    )
    engine = Engine(net)

    def exhausted(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(ReLU, "apply", exhausted)
        with pytest.raises(LimitError, match="not enough memory"):
            engine.run({"data": image(1, 4)})
    assert (engine.run({"data": image(1, 4)})["r"] >= 0).all()


def test_average_of_huge_windows(make_net):
    """The work grows with the height of a window, not with its area: this one ends."""
    net = make_net(
        "Input data: -> data {input_param { shape { dim: 1 dim: 1 dim: 300 dim: 300 } }}\n"
        "Pooling p: data -> p {pooling_param { pool: AVE kernel_size: 299 pad: 149 }}\n"
    )
    x = image(1, 1, 300, 300)
    y = Engine(net).run({"data": x})["p"]
    assert y.shape == (1, 1, 300, 300)
    # Its 299 x 299 window reaches 150 rows and columns into the image.
    corner = x[0, 0, :150, :150].sum(dtype=np.float64) / 299**2
    assert y[0, 0, 0, 0] == pytest.approx(corner, rel=1e-5)


def test_concurrent_engines(make_net):
    engine = Engine(make_net(CHAIN), threads=2)
    inputs = [image(2, 3, 8, 9, seed=i) for i in range(4)]
    expected = [engine.run({"data": x})["double"] for x in inputs]
    right = []

    def work(i):
        results = [engine.run({"data": inputs[i]})["double"] for _ in range(20)]
        right.append(all((result == expected[i]).all() for result in results))

    workers = [Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert right == [True] * 4


def test_blas_threads_are_restored(make_net):
    from threadpoolctl import ThreadpoolController

    engine = Engine(make_net(CHAIN))
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = [library["num_threads"] for library in ThreadpoolController().info()]
        engine.run({"data": image(2, 3, 8, 9)})
        assert [library["num_threads"] for library in ThreadpoolController().info()] == before


def test_import_leaves_blas_alone():
    code = "import sys, cmodel.engine; sys.exit('cmodel._gemm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_operations_have_shape_rules():
    from cmodel.engine.ops.registry import OPS
    from cmodel.net.shapes.registry import RULES

    assert isinstance(OPS, Registry)
    assert set(OPS) <= set(RULES)
