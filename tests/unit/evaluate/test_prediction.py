import subprocess
import sys

import numpy as np
import pytest

from cmodel.errors import DataError, UsageError
from cmodel.evaluate import predict
from cmodel.net import InputTransform


class Engine:
    """The scores of an image are its pixels in a row."""

    def run(self, feed, blobs):
        return {blob: feed["data"].reshape(len(feed["data"]), -1, 1, 1) for blob in blobs}


def best(items, **options):
    return predict(
        Engine(), items, InputTransform(), input_blob="data", output_blob="prob", **options
    )


def test_the_best_come_first():
    image = np.array([[3, 9], [5, 7]], np.uint8)
    assert best([image], top=3) == [[(1, 9.0), (3, 7.0), (2, 5.0)]]


def test_several_items():
    images = np.array([[[1, 2]], [[4, 3]]], np.uint8)
    assert best(images, top=1) == [[(1, 2.0)], [(0, 4.0)]]


def test_ties_and_nan():
    ((first, second, third, last),) = best([np.float32([2, np.nan, 1, 2])])
    assert (first, second, third) == ((0, 2.0), (3, 2.0), (2, 1.0))
    assert last[0] == 1
    assert np.isnan(last[1])


def test_fewer_classes_than_asked_for():
    assert len(best([np.float32([1, 2])], top=5)[0]) == 2


def test_no_items():
    assert best([]) == []


def test_errors_name_the_item():
    with pytest.raises(DataError, match=r"`cat\.jpg`"):
        best([np.zeros((2, 2), np.uint8)], input_shape=(1, 1, 3, 3), names=("cat.jpg",))


def test_at_least_one_class():
    with pytest.raises(UsageError):
        best([np.float32([1, 2])], top=0)


def test_importing_evaluate_loads_no_engine_and_no_pillow():
    code = (
        "import sys, cmodel.evaluate; "
        "print([m for m in sys.modules if m.startswith(('cmodel.engine', 'PIL', 'scipy'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
