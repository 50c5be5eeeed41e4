"""The lossless method finds what a tensor holds already, and keeps every bit."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nets import toy_net

from cmodel.compress import Task, find_method
from cmodel.container import size_of_form
from cmodel.tensors import Codebook, Dense, Form, Sparse


def best(form: Form) -> Form:
    method = find_method("lossless.best")
    task = Task(toy_net().layers[1], "x/0", form, method.make_options({}), np.random.default_rng(0))
    found = method.run(task).form
    assert (found.to_dense().view(np.uint32) == form.to_dense().view(np.uint32)).all()
    assert size_of_form(found) <= size_of_form(form)
    return found


def floats(values) -> Dense:
    return Dense(np.asarray(values, np.float32))


RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(40, 50)).astype(np.float32)


def test_noise_stays_as_it_is():
    form = floats(NOISE)
    assert best(form) is form


def test_half_floats_are_found():
    found = best(floats(NOISE.astype(np.float16)))
    assert isinstance(found, Dense)
    assert found.values.dtype == np.float16
    # Beyond the range of half floats.
    brain = ((NOISE * np.float32(1e20)).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    found = best(floats(brain))
    assert isinstance(found, Dense)
    assert found.values.dtype == np.uint16


def test_codebooks_are_found():
    levels = RNG.normal(size=17).astype(np.float32)
    found = best(floats(levels[RNG.integers(0, 17, (40, 50))]))
    assert isinstance(found, Codebook)
    assert found.entries == 17


def test_zeros_are_found():
    pruned = np.where(RNG.random((40, 50)) < 0.05, NOISE, 0)
    found = best(floats(pruned))
    assert isinstance(found, Sparse)
    assert found.positions.size == np.count_nonzero(pruned)


@pytest.mark.parametrize(
    "words",
    [
        [],
        [0],
        [0x80000000],
        [0x7FC12345],
        [0x7FC12345, 0x7FC12345, 0x7F800001, 0xFF800000],
        [0, 0x80000000] * 40,
        [0] * 100,
        [1, 0x807FFFFF] * 20,
    ],
)
def test_every_word_is_kept(words):
    best(Dense(np.array(words, np.uint32).view(np.float32)))


def test_a_form_that_is_smallest_already_is_kept():
    book = floats(RNG.normal(size=(1, 200)))
    form = Codebook(book, RNG.integers(0, 200, (60, 50)).astype(np.uint8))
    assert size_of_form(best(form)) <= size_of_form(form)
