"""The shared limit on the threads of BLAS and OpenMP."""

import threading

import pytest
import sklearn.cluster  # noqa: F401  (loads its OpenMP)
from scipy.linalg import cython_blas  # noqa: F401  (loads its BLAS)
from tests.nets import toy_net
from threadpoolctl import ThreadpoolController, threadpool_limits

from cmodel.blas import limit_threads
from cmodel.compress import compress


def counts(api="blas"):
    controller = ThreadpoolController().select(user_api=api)
    return {library["num_threads"] for library in controller.info()}


@pytest.fixture(autouse=True)
def _four_threads():
    # A machine of one core shows the limits too.
    with threadpool_limits(4):
        yield


def test_the_smallest_limit_holds_while_they_overlap():
    first, second = limit_threads(3), limit_threads(1)
    with first:
        assert counts() == {3}
        with second:
            assert counts() == {1}
        assert counts() == {3}
    assert counts() == {4}


def test_leaving_in_the_order_of_entering_restores_what_was_there():
    first, second = limit_threads(1), limit_threads(2)
    first.__enter__()
    second.__enter__()
    assert counts() == {1}
    first.__exit__(None, None, None)
    assert counts() == {2}
    second.__exit__(None, None, None)
    assert counts() == {4}


def test_a_limit_never_raises_the_count():
    with limit_threads(16):
        assert counts() == {4}
        assert counts("openmp") == {4}


def test_openmp_is_limited_in_the_thread_that_asks_alone():
    inside, seen = threading.Event(), threading.Event()
    found = []

    def other():
        with limit_threads(1):
            found.append(counts("openmp"))
            inside.set()
            seen.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(30)
    assert counts("openmp") == {4}
    assert counts() == {1}
    seen.set()
    thread.join()
    assert found == [{1}]
    assert counts() == {4}


def test_overlapping_compressions_leave_the_process_as_it_was():
    net = toy_net()
    compressing = [threading.Event(), threading.Event()]
    first_done = threading.Event()
    during = []

    def first():
        compress(net, "kmeans-huffman", threads=1, on_progress=wait_for_second)
        first_done.set()

    def wait_for_second(progress):
        if progress.what.startswith("quant"):
            compressing[0].set()
            compressing[1].wait(30)

    def wait_for_first(progress):
        if progress.what.startswith("quant"):
            compressing[1].set()
            first_done.wait(30)
            during.append(counts())

    thread = threading.Thread(target=first)
    thread.start()
    assert compressing[0].wait(30)
    compress(net, "kmeans-huffman", threads=1, on_progress=wait_for_first)
    thread.join()
    assert during
    assert all(found == {1} for found in during)
    assert counts() == {4}
