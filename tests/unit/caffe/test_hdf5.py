"""HDF5 weights: what Caffe writes, what we write, and what is refused."""

import itertools
import sys

import h5py
import numpy as np
import pytest
from tests.nets import make_net, toy_net

from cmodel.caffe import load_net, read_weights, write_hdf5
from cmodel.errors import (
    CaffemodelError,
    InputError,
    LimitMemory,
    MissingExtraError,
    OutputError,
    UnsupportedError,
    WeightsError,
)

INPUT = 'input: "x" input_shape { dim: 1 dim: 4 }\n'
LAYER = (
    'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" {param} '
    "inner_product_param {{ num_output: 4 }} }}\n"
)
SHARED = (
    INPUT
    + LAYER.format(name="a", bottom="x", param='param { name: "w" } param { }')
    + LAYER.format(name="b", bottom="a", param='param { name: "w" } param { }')
)
NESTED = INPUT + LAYER.format(name="a/1x1", bottom="x", param="")


def weights_of(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count,)).astype(np.float32)


@pytest.fixture
def write(tmp_path):
    count = itertools.count()

    def write(text, datasets):
        (tmp_path / "net.prototxt").write_text(text)
        # HDF5 refuses to overwrite what is still open.
        path = tmp_path / f"net{next(count)}.h5"
        with h5py.File(path, "w") as file:
            file.create_group("data")
            for name, values in datasets.items():
                file[f"data/{name}"] = values
        return tmp_path / "net.prototxt", path

    return write


def words(net):
    return {
        name: (form.shape, form.to_dense().view(np.uint32).tobytes())
        for name, form in net.parameters.items()
    }


def test_written_and_read_again(tmp_path):
    net = toy_net()
    values = net.parameters["fc/1"].values
    values[:3] = np.array([0x80000000, 0x7FC01234, 0x7F800000], np.uint32).view(np.float32)
    from cmodel.caffe import print_prototxt

    (tmp_path / "net.prototxt").write_text(print_prototxt(net))
    # The extension says nothing.
    write_hdf5(net, tmp_path / "weights.caffemodel")
    again = load_net(tmp_path / "net.prototxt", tmp_path / "weights.caffemodel", strict=True)
    assert words(again) == words(net)
    with h5py.File(tmp_path / "weights.caffemodel") as file:
        assert set(file["data"]) == {"data", "conv", "relu", "fc", "prob"}
        assert file["data/conv/0"].dtype == "<f4"
        assert len(file["data/relu"]) == 0


def test_writing_is_a_pure_function(tmp_path):
    for name in ("a.h5", "b.h5"):
        write_hdf5(toy_net(), tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_shared_parameters_stand_once(tmp_path, write):
    w, b0, b1 = weights_of(16).reshape(4, 4), weights_of(4, 1), weights_of(4, 2)
    prototxt, path = write(SHARED, {"a/0": w, "a/1": b0, "b/1": b1})
    net = load_net(prototxt, path, strict=True)
    assert net.layer("b").parameters == ["a/0", "b/1"]
    np.testing.assert_array_equal(net.parameters["a/0"].to_dense(), w)
    write_hdf5(net, tmp_path / "again.h5")
    with h5py.File(tmp_path / "again.h5") as file:
        assert list(file["data/a"]) == ["0", "1"]
        assert list(file["data/b"]) == ["1"]
        np.testing.assert_array_equal(file["data/b/1"][:], b1)
    assert words(load_net(prototxt, tmp_path / "again.h5", strict=True)) == words(net)


def test_a_gap_that_nothing_shares(write):
    plain = INPUT + LAYER.format(name="a", bottom="x", param="")
    prototxt, path = write(plain, {"a/1": weights_of(4)})
    with pytest.raises(WeightsError, match="lack parameter 0"):
        load_net(prototxt, path)
    prototxt, path = write(plain, {"a/0": weights_of(16).reshape(4, 4)})
    with pytest.raises(WeightsError, match="lack parameter 1"):
        load_net(prototxt, path)


def test_slashes_in_names_are_groups_in_groups(tmp_path, write):
    w, b = weights_of(16).reshape(4, 4), weights_of(4, 1)
    prototxt, path = write(NESTED, {"a/1x1/0": w, "a/1x1/1": b})
    net = load_net(prototxt, path, strict=True)
    np.testing.assert_array_equal(net.parameters["a/1x1/0"].to_dense(), w)
    write_hdf5(net, tmp_path / "again.h5")
    assert words(load_net(prototxt, tmp_path / "again.h5", strict=True)) == words(net)


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2", "<i4"])
def test_other_types_of_numbers(write, dtype):
    w, b = np.arange(16).reshape(4, 4).astype(dtype), np.arange(4).astype(dtype)
    net = load_net(
        *write(INPUT + LAYER.format(name="a", bottom="x", param=""), {"a/0": w, "a/1": b})
    )
    np.testing.assert_array_equal(net.parameters["a/0"].to_dense(), w.astype(np.float32))


def test_shapes_need_to_agree(write):
    net = INPUT + LAYER.format(name="a", bottom="x", param="")
    with pytest.raises(WeightsError, match=r"shape \(4, 4\) in the net and \(1, 1, 4, 4\)"):
        load_net(*write(net, {"a/0": weights_of(16).reshape(1, 1, 4, 4), "a/1": weights_of(4)}))
    with pytest.raises(WeightsError, match="3 blobs"):
        load_net(*write(net, {"a/0": np.zeros((4, 4)), "a/1": np.zeros(4), "a/2": np.zeros(4)}))


def test_unknown_types_take_what_the_file_has(write):
    text = INPUT + 'layer { name: "odd" type: "Odd" bottom: "x" top: "y" }'
    net = load_net(*write(text, {"odd/0": weights_of(6).reshape(2, 3)}))
    assert net.parameters.shape("odd/0") == (2, 3)
    with pytest.raises(WeightsError, match="lack parameter 0"):
        load_net(*write(text, {"odd/1": weights_of(6)}))


class TestRefused:
    NET = INPUT + LAYER.format(name="a", bottom="x", param="")

    def load(self, path):
        prototxt = path.with_name("net.prototxt")
        prototxt.write_text(self.NET)
        return load_net(prototxt, path)

    def test_no_weights_of_caffe(self, tmp_path):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["label"] = np.zeros(3)
        with pytest.raises(CaffemodelError, match="no group `/data`"):
            self.load(tmp_path / "x.h5")
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["data"] = np.zeros(3)
        with pytest.raises(CaffemodelError, match="no group `/data`"):
            self.load(tmp_path / "x.h5")

    @pytest.mark.parametrize("name", ["data/a/weights", "data/0"])
    def test_what_is_no_parameter(self, tmp_path, name):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file[name] = np.zeros(3)
        with pytest.raises(CaffemodelError, match="no parameter"):
            self.load(tmp_path / "x.h5")

    def test_other_files_are_not_followed(self, tmp_path):
        (tmp_path / "secret").write_bytes(bytes(64))
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file["w"] = np.zeros((4, 4), "f4")
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_dataset(
                "data/a/0", (4, 4), "f4", external=[(str(tmp_path / "secret"), 0, 64)]
            )
        with pytest.raises(CaffemodelError, match="another file"):
            self.load(tmp_path / "x.h5")
        layout = h5py.VirtualLayout((4, 4), "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "w", (4, 4))
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_group("data/a").create_virtual_dataset("0", layout)
        with pytest.raises(CaffemodelError, match="another file"):
            self.load(tmp_path / "x.h5")
        for link in (h5py.ExternalLink("other.h5", "w"), h5py.SoftLink("/w")):
            with h5py.File(tmp_path / "x.h5", "w") as file:
                file.create_group("data/a")["0"] = link
            with pytest.raises(CaffemodelError, match="not followed"):
                self.load(tmp_path / "x.h5")

    def test_values_that_are_not_there(self, tmp_path):
        for options in ({}, {"chunks": (1024, 1024)}, {"chunks": (1024, 1024), "compression": 9}):
            with h5py.File(tmp_path / "x.h5", "w") as file:
                file.create_dataset("data/a/0", (1 << 16, 1 << 16), "f4", **options)
            with pytest.raises(CaffemodelError, match="states 4,294,967,296 values"):
                self.load(tmp_path / "x.h5")

    def test_no_numbers(self, tmp_path):
        for values in (h5py.Empty("f4"), np.array([b"text"]), np.zeros(2, "c8")):
            with h5py.File(tmp_path / "x.h5", "w") as file:
                file["data/a/0"] = values
            with pytest.raises(CaffemodelError, match="no numbers"):
                self.load(tmp_path / "x.h5")

    def test_a_group_inside_itself(self, tmp_path):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            group = file.create_group("data/a")
            group["a"] = group
            group["b"] = group
        with pytest.raises(CaffemodelError, match="stands twice"):
            self.load(tmp_path / "x.h5")

    def test_cut_anywhere(self, tmp_path):
        write_hdf5(toy_net(), tmp_path / "whole.h5")
        whole = (tmp_path / "whole.h5").read_bytes()
        for percent in range(100):
            (tmp_path / "cut.h5").write_bytes(whole[: len(whole) * percent // 100])
            with pytest.raises(InputError):
                self.load(tmp_path / "cut.h5")


def test_names_without_a_place(tmp_path):
    path = tmp_path / "x.h5"
    blobs = [toy_net().parameters["fc/1"]]
    for name in ("", ".", "a//b", "/a", "a/"):
        layer = f'layer {{ name: "{name}" type: "Odd" }}'
        with pytest.raises(UnsupportedError, match="no place"):
            write_hdf5(make_net(layer, {name: blobs}), path)
    twice = 'layer { name: "a" type: "Odd" } layer { name: "a" type: "Odd" }'
    with pytest.raises(UnsupportedError, match="two layers of one name"):
        write_hdf5(make_net(twice, {"a": blobs, "a#2": blobs}), path)
    clash = 'layer { name: "a" type: "Odd" } layer { name: "a/0" type: "Odd" }'
    with pytest.raises(UnsupportedError, match="another layer's parameter"):
        write_hdf5(make_net(clash, {"a": blobs, "a/0": blobs}), path)
    with pytest.raises(OutputError):
        write_hdf5(toy_net(), tmp_path / "none" / "x.h5")
    assert not path.exists()


def test_without_h5py(tmp_path, monkeypatch):
    write_hdf5(toy_net(), tmp_path / "x.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match="hdf5"):
        read_weights(tmp_path / "x.h5")
    with pytest.raises(MissingExtraError, match="hdf5"):
        write_hdf5(toy_net(), tmp_path / "y.h5")


def test_packed_weights_beyond_the_memory(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name in "ab":
            zeros = np.zeros((1 << 18,), np.float32)
            file.create_dataset(f"data/{name}/0", data=zeros, compression="gzip")
    assert (tmp_path / "x.h5").stat().st_size < 1 << 15
    assert len(read_weights(tmp_path / "x.h5", max_memory=2 << 20).layers) == 2
    with pytest.raises(LimitMemory, match="more bytes than allowed"):
        read_weights(tmp_path / "x.h5", max_memory=(2 << 20) - 1)
