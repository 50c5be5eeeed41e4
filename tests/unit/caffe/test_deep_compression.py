"""The `.net` files of Deep Compression."""

import numpy as np
import pytest

from cmodel.caffe import load_net, read_weights
from cmodel.errors import CaffemodelError, InputError
from cmodel.tensors import Codebook, Dense, Sparse

NET = """
input: "x" input_shape { dim: 1 dim: 3 dim: 9 dim: 9 }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
        convolution_param { num_output: 8 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
        inner_product_param { num_output: 5 bias_term: false } }
"""


def encode(layers):
    """Encode (weights, biases or None) as the authors' encoder does, codebooks sorted."""
    counts, bodies = [], []
    for weights, biases in layers:
        flat = weights.ravel()
        centroids = np.unique(flat[flat != 0])
        assert len(centroids) < 256
        table = np.zeros(256, "<f4")
        table[1 : 1 + len(centroids)] = centroids
        codes, gaps, last = [], [], -1
        for position in np.flatnonzero(flat):
            gap = position - last - 1
            while gap > 15:
                codes.append(0)
                gaps.append(15)
                gap -= 16
            codes.append(1 + int(np.searchsorted(centroids, flat[position])))
            gaps.append(gap)
            last = position
        counts.append(len(codes))
        padded = np.array(gaps + [0] * (len(gaps) % 2), np.uint8)
        body = table.tobytes() + (b"" if biases is None else biases.astype("<f4").tobytes())
        body += bytes(codes) + (padded[::2] | padded[1::2] << 4).astype(np.uint8).tobytes()
        bodies.append(body)
    return np.array(counts, "<u4").tobytes() + b"".join(bodies)


def draw(rng, shape, density):
    levels = rng.normal(size=40).astype(np.float32)
    kept = rng.random(shape) < density
    return np.where(kept, rng.choice(levels, shape), np.float32(0)).astype(np.float32)


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    biases = rng.normal(size=8).astype(np.float32)
    return [(draw(rng, (8, 3, 3, 3), 0.3), biases), (draw(rng, (5, 392), 0.02), None)]


@pytest.fixture
def write(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)

    def write(data):
        (tmp_path / "weights.net").write_bytes(data)
        return tmp_path / "net.prototxt", tmp_path / "weights.net"

    return write


def test_weights_codebooks_and_sparsity_stay_forms(values, write):
    net = load_net(*write(encode(values)), strict=True)
    assert list(net.parameters) == ["conv/0", "conv/1", "fc/0"]
    for name, (weights, _) in zip(("conv/0", "fc/0"), values, strict=True):
        form = net.parameters[name]
        assert isinstance(form, Sparse)
        assert isinstance(form.values, Codebook)
        np.testing.assert_array_equal(form.positions, np.flatnonzero(weights))
        np.testing.assert_array_equal(form.to_dense(), weights)
    assert isinstance(net.parameters["conv/1"], Dense)
    np.testing.assert_array_equal(net.parameters["conv/1"].to_dense(), values[0][1])


def test_sharing_stays(values, write, tmp_path):
    """Packed and read again the codebook is there still, to the bit."""
    from cmodel import load, save

    net = load_net(*write(encode(values)))
    save(net, tmp_path / "x.cmodel")
    again = load(tmp_path / "x.cmodel")
    assert isinstance(again.parameters["fc/0"], Sparse)
    for name in net.parameters:
        np.testing.assert_array_equal(
            again.parameters[name].to_dense(), net.parameters[name].to_dense()
        )


def test_cut_anywhere(values, write):
    data = encode(values)
    for percent in range(100):
        with pytest.raises(InputError):
            load_net(*write(data[: len(data) * percent // 100]))
    with pytest.raises(CaffemodelError, match=f"needs {len(data):,} bytes for the 2 layers"):
        load_net(*write(data[:-1]))
    with pytest.raises(CaffemodelError, match=f"and has {len(data) + 1:,}"):
        load_net(*write(data + b"\0"))


def test_flipped_bits_are_named_or_give_other_values(values, write):
    data = encode(values)
    rng = np.random.default_rng(1)
    named = 0
    # All of the counts, and some of the rest.
    for bit in [*range(64), *rng.choice(8 * len(data), 100, replace=False)]:
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            net = load_net(*write(bytes(damaged)))
        except InputError:
            named += 1
        else:
            assert net.parameters["conv/0"].to_dense().shape == (8, 3, 3, 3)
    assert named >= 64


def test_named_damage(values, write):
    data = bytearray(encode(values))
    first = bytes(data)
    data[8:12] = np.float32(1).tobytes()
    with pytest.raises(CaffemodelError, match="it has to be 0") as caught:
        load_net(*write(bytes(data)))
    assert "layer `conv`, byte 8" in str(caught.value)
    data = bytearray(first)
    data[-20:] = b"\xff" * 20
    with pytest.raises(CaffemodelError, match="beyond the 1,960 weights"):
        load_net(*write(bytes(data)))
    (weights, biases), _ = values
    odd = encode([(weights, biases), (np.float32([[1] * 392] * 5) * (np.arange(392) < 1), None)])
    assert int.from_bytes(odd[4:8], "little") % 2
    data = bytearray(odd)
    data[-1] |= 0x10
    with pytest.raises(CaffemodelError, match="unused half"):
        load_net(*write(bytes(data)))


def test_a_caffemodel_keeps_its_own_error(write):
    with pytest.raises(CaffemodelError, match="not a caffemodel"):
        load_net(*write(b"\xa2\x06\x7f" + bytes(range(128, 200))))


@pytest.mark.data
def test_squeezenet(shared_data):
    folder = shared_data / "data/models/squeezenet_v1.0_han"
    net = load_net(folder / "deploy.prototxt", folder / "compressed_SqueezeNet.net", strict=True)
    decoded = load_net(folder / "deploy.prototxt", folder / "squeezenet_v1.0_decoded.caffemodel")
    assert list(net.parameters) == list(decoded.parameters)
    nonzero = 0
    for name in net.parameters:
        form = net.parameters[name]
        expected = decoded.parameters[name].to_dense().view(np.uint32)
        np.testing.assert_array_equal(form.to_dense().view(np.uint32), expected)
        if name.endswith("/0"):
            assert isinstance(form, Sparse)
            assert form.values.entries == 256
            nonzero += len(form.positions)
    assert nonzero == 415_921


def test_a_file_of_the_wrong_length_stays_on_the_disk(values, write, monkeypatch):
    data = encode(values)
    prototxt, weights = write(data)
    with weights.open("r+b") as file:
        file.truncate(1 << 40)

    def never(*_):
        raise AssertionError("the file was read")

    monkeypatch.setattr(np, "fromfile", never)
    with pytest.raises(CaffemodelError, match=f"needs {len(data):,} bytes"):
        load_net(prototxt, weights)


def test_shapes_are_needed(values, write):
    prototxt, weights = write(encode(values))
    with pytest.raises(CaffemodelError, match="states neither layers nor shapes"):
        read_weights(weights)
    prototxt.write_text(NET.replace("input_shape { dim: 1 dim: 3 dim: 9 dim: 9 }", ""))
    with pytest.raises(CaffemodelError, match="shapes of its inputs"):
        load_net(prototxt, weights)
