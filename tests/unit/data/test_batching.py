import threading
from pathlib import Path

import numpy as np
import pytest

from cmodel.data import Source, batches
from cmodel.errors import DataError, UsageError
from cmodel.net import InputTransform

PLAIN = InputTransform()


class Numbers(Source):
    """Item i is an image of `side` pixels that holds i everywhere."""

    def __init__(self, n, side=2, broken=()):
        super().__init__(Path("numbers"), [f"n{i}" for i in range(n)])
        self.set_labels(np.arange(n, dtype=np.int64) * 10, "numbers")
        self.side, self.broken = side, broken
        self.lock, self.started, self.largest = threading.Lock(), 0, 0

    def _read(self, indices):
        with self.lock:
            self.started += len(indices)
            self.largest = max(self.largest, len(indices))
        if set(self.broken) & set(indices.tolist()):
            raise DataError("broken", where=str(indices))
        return [np.full((self.side, self.side), i, np.uint8) for i in indices]


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("batch", [1, 4, 7, 100])
def test_order_and_content(threads, batch):
    indices = np.random.default_rng(0).permutation(50)[:30]
    found = list(batches(Numbers(50), indices, PLAIN, (1, 1, 2, 2), batch, threads=threads))
    assert [len(x) for x, _ in found[:-1]] == [batch] * (len(found) - 1)
    assert np.array_equal(np.concatenate([x[:, 0, 0, 0] for x, _ in found]), indices)
    assert np.array_equal(np.concatenate([y for _, y in found]), indices * 10)


def test_without_labels():
    source = Numbers(4)
    source.labels = None
    assert [labels for _, labels in batches(source, np.arange(4), PLAIN, None, 2)] == [None, None]


def test_the_transform_is_applied():
    transform = InputTransform(resize=(3, 3), scale=(0.5,))
    ((x, _),) = batches(Numbers(3), np.arange(3), transform, (1, 3, 3, 3), 8)
    assert x.shape == (3, 3, 3, 3)
    assert x[:, 2, 1, 1].tolist() == [0, 0.5, 1]


def test_nothing_gives_nothing():
    assert list(batches(Numbers(3), np.arange(0), PLAIN, None, 8)) == []


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_errors_come_where_their_batch_would(threads):
    stream = batches(Numbers(20, broken=[9]), np.arange(20), PLAIN, None, 4, threads=threads)
    assert next(stream)[1].tolist() == [0, 10, 20, 30]
    assert len(next(stream)[0]) == 4
    with pytest.raises(DataError, match="broken"):
        next(stream)


def test_reading_ahead_is_bounded():
    source = Numbers(1000)
    stream = batches(source, np.arange(1000), PLAIN, None, 10, threads=2)
    next(stream)
    stream.close()
    assert source.started <= 10 * (2 + 2)


def test_closing_early_ends_the_threads():
    stream = batches(Numbers(1000), np.arange(1000), PLAIN, None, 10, threads=2)
    next(stream)
    stream.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("cmodel-data")]


def test_large_images_are_read_few_at_a_time(monkeypatch):
    monkeypatch.setattr("cmodel.data.batching._PIECE_BYTES", 3 * 64 * 64)
    source = Numbers(20, side=64)
    transform = InputTransform(resize=(2, 2))
    ((x, _),) = batches(source, np.arange(20), transform, None, 20, threads=0)
    assert x[:, 0, 0, 0].tolist() == list(range(20))
    assert source.largest == 3


def test_the_first_image_sets_the_size_where_the_net_does_not():
    class Growing(Numbers):
        def _read(self, indices):
            return [np.zeros((2 + i, 2), np.uint8) for i in indices]

    with pytest.raises(DataError, match=r"`n1` has 3x2 pixels"):
        list(batches(Growing(3), np.arange(3), PLAIN, None, 3))


def test_a_batch_of_nothing_is_refused_at_once():
    with pytest.raises(UsageError, match="at least one"):
        batches(Numbers(3), np.arange(3), PLAIN, None, 0)
