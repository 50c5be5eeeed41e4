"""HDF5 as Caffe's HDF5Data layer reads it."""

import sys

import h5py
import numpy as np
import pytest
from tests.unit.data.making import write_h5

from cmodel.data import batches, open_source
from cmodel.errors import DataError, MissingExtraError
from cmodel.net import InputTransform

RNG = np.random.default_rng(0)
X = RNG.normal(size=(9, 2, 3, 4)).astype(np.float32)
Y = RNG.integers(0, 5, 9)


def test_one_file(tmp_path):
    source = open_source(write_h5(tmp_path / "x.bin", data=X, label=Y.astype(np.float32)))
    assert source.as_fed
    assert source.labels.dtype == np.int64
    assert source.labels.tolist() == Y.tolist()
    order = np.array([3, 4, 5, 0, 8, 7])
    np.testing.assert_array_equal(source.read(order), X[order])
    fed = [x for x, _ in batches(source, order, InputTransform(scale=(9,)), (1, 2, 3, 4), 4)]
    np.testing.assert_array_equal(np.concatenate(fed), X[order])


def test_a_list_of_files(tmp_path, monkeypatch):
    (tmp_path / "parts").mkdir()
    for i, (start, end) in enumerate([(0, 4), (4, 5), (5, 9)]):
        write_h5(tmp_path / "parts" / f"{i}.h5", data=X[start:end], label=Y[start:end, None])
    names = [f"parts/{i}.h5" for i in range(3)]
    beside = tmp_path / "list.txt"
    beside.write_text("\n".join(names) + "\n\n")
    elsewhere = tmp_path / "lists"
    elsewhere.mkdir()
    (elsewhere / "list.txt").write_text("\n".join(names))
    sources = [open_source(beside), open_source(elsewhere / "list.txt", root=tmp_path)]
    monkeypatch.chdir(tmp_path)
    sources.append(open_source(elsewhere / "list.txt"))
    order = np.array([8, 2, 3, 4, 5, 6, 0, 1, 7])
    for source in sources:
        assert source.labels.tolist() == Y.tolist()
        np.testing.assert_array_equal(source.read(order), X[order])


def test_datasets_are_called_like_the_tops(tmp_path):
    path = write_h5(tmp_path / "x.h5", image=X, truth=Y, data=X[::-1])
    source = open_source(path, tops=("image", "truth"))
    np.testing.assert_array_equal(source.read([1]), X[1:2])
    assert source.labels.tolist() == Y.tolist()
    assert open_source(path, tops=("image",)).labels is None
    assert open_source(path).labels is None
    with pytest.raises(DataError, match=r"no dataset `other`(.|\n)*data, image, truth"):
        open_source(path, tops=("other",))


def test_integers_and_compressed_chunks(tmp_path):
    values = RNG.integers(0, 256, (9, 2, 3, 4), dtype=np.uint8)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("data", data=values, chunks=(2, 2, 3, 4), compression="gzip")
    np.testing.assert_array_equal(open_source(tmp_path / "x.h5").read([8, 0]), values[[8, 0]])


def test_labels_that_are_none(tmp_path):
    many = write_h5(tmp_path / "many.h5", data=X, label=np.zeros((9, 3)))
    assert open_source(many).labels is None
    half = write_h5(tmp_path / "half.h5", data=X, label=np.full(9, 0.5))
    with pytest.raises(DataError, match="whole numbers"):
        open_source(half)
    nan = write_h5(tmp_path / "nan.h5", data=X, label=np.full(9, np.nan))
    with pytest.raises(DataError, match="whole numbers"):
        open_source(nan)
    few = write_h5(tmp_path / "few.h5", data=X, label=Y[:8])
    with pytest.raises(DataError, match="9 items but 8 labels"):
        open_source(few)


def test_what_is_refused(tmp_path):
    scalar = write_h5(tmp_path / "scalar.h5", data=1.0)
    with pytest.raises(DataError, match="one number"):
        open_source(scalar)
    with pytest.raises(DataError, match="no images"):
        open_source(write_h5(tmp_path / "none.h5", data=np.zeros((0, 3))))
    with h5py.File(tmp_path / "group.h5", "w") as file:
        file.create_group("data")
    with pytest.raises(DataError, match="a group"):
        open_source(tmp_path / "group.h5")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["data"] = h5py.ExternalLink("scalar.h5", "data")
    with pytest.raises(DataError, match="not followed"):
        open_source(tmp_path / "link.h5")
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("data", (1 << 40, 3), "f4", chunks=(1, 3))
    with pytest.raises(DataError, match="the file has 0 bytes"):
        open_source(tmp_path / "huge.h5")


def test_lists_that_do_not_fit(tmp_path):
    write_h5(tmp_path / "a.h5", data=X)
    write_h5(tmp_path / "b.h5", data=X[:, :1])
    (tmp_path / "l").write_text("a.h5\nb.h5\n")
    with pytest.raises(DataError, match=r"shape \(1, 3, 4\)(.|\n)*b.h5"):
        open_source(tmp_path / "l")
    (tmp_path / "l").write_text("a.h5\n\ngone.h5\n")
    with pytest.raises(DataError, match=r"no HDF5 file(.|\n)*l:3"):
        open_source(tmp_path / "l")


def test_cut_anywhere(tmp_path):
    data = write_h5(tmp_path / "x.h5", data=X, label=Y).read_bytes()
    for percent in range(100):
        path = tmp_path / f"cut{percent}.h5"
        path.write_bytes(data[: len(data) * percent // 100])
        with pytest.raises(DataError):
            open_source(path)


def test_without_h5py(tmp_path, monkeypatch):
    path = write_h5(tmp_path / "x.h5", data=X)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match="hdf5"):
        open_source(path)
