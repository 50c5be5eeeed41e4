"""Pieces and answers, what is kept between them, and processes of their own."""

import json
import math
import os
import signal
import subprocess
import sys

import pytest

from cmodel._version import __version__
from cmodel.errors import (
    BadStream,
    CmodelError,
    DataError,
    ExecutorError,
    InputError,
    MissingExtraError,
    UnsupportedError,
    UsageError,
    error_facts,
    error_of,
)
from cmodel.executor import Kept, Local, in_child, open_executor
from cmodel.executor.base import name_of
from cmodel.executor.worker import answer, check_files, find_job, fingerprint, request
from cmodel.sweep.worker import measure, measure_setting


def double(piece, tell):
    tell(1, 2, "half")
    return {"twice": 2 * piece["value"], "pair": (1, 2)}


def test_here_pieces_are_done_in_order_and_tell_their_progress():
    told = []
    with open_executor("local") as executor:
        pieces = [{"value": value} for value in (1.5, math.inf, 0.1 + 0.2)]
        found = executor.ordered(double, pieces, lambda *event: told.append(event))
    assert [entry["twice"] for entry in found] == [3.0, math.inf, 2 * (0.1 + 0.2)]
    assert found[0]["pair"] == [1, 2]  # as it would be after a way over the wire
    assert told == [(number, 1, 2, "half") for number in range(3)]
    assert Local().ranges(10, 3) == [(0, 10)]


def test_what_is_not_plain_data_is_refused_here_too():
    with pytest.raises(TypeError, match="JSON"):
        list(Local().arrivals(double, [{"value": object()}]))


def test_the_last_thing_is_kept_until_the_executor_closes():
    kept, made = Kept(), []

    def make(name):
        made.append(name)
        return name

    with Local():
        assert [kept.get(key, lambda key=key: make(key)) for key in "aaba"] == list("aaba")
    assert made == ["a", "b", "a"]
    assert kept.get("a", lambda: make("again")) == "again"


@pytest.mark.parametrize(
    "text", ["", "dusk://a:1", "dask://", "dask://a", "dask://a:b", "dask://a:1/x", "dask://[a:1"]
)
def test_executors_that_there_are_not(text):
    with pytest.raises(UsageError, match="no executor"):
        open_executor(text)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match="dask") as caught:
        open_executor("dask://127.0.0.1:1")
    assert caught.value.hint == "pip install 'cmodel-nn[dask]'"


@pytest.mark.parametrize("kind", [CmodelError, DataError, BadStream, ExecutorError])
def test_errors_come_back_as_they_were(kind):
    error = kind("what", where="where", notes=["a", "b"], hint="do")
    back = error_of(json.loads(json.dumps(error_facts(error))))
    assert type(back) is kind
    assert str(back) == str(error)


def test_errors_that_word_themselves_and_unknown_ones_come_back():
    error = MissingExtraError("a thing", "dask")
    back = error_of(error_facts(error))
    assert (type(back), str(back)) == (MissingExtraError, str(error))
    assert type(error_of({**error_facts(error), "name": "crash"})) is CmodelError


def test_a_worker_answers_with_an_error_and_its_name():
    task = {"token": "t", "net": {"name": "none"}}
    text = json.loads(request(measure_setting, task))
    text["version"] = "0.0.1"
    facts = json.loads(answer(json.dumps(text), "tcp://w:1"))["error"]
    assert facts["message"] == f"the worker has cmodel {__version__}, the caller 0.0.1"
    assert facts["notes"] == ["on the worker tcp://w:1"]
    assert type(error_of(facts)) is UnsupportedError


def test_files_that_differ_or_are_missing_are_told(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    files = [fingerprint(path), fingerprint(tmp_path)]
    check_files(files)
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match="not the file that the caller has") as caught:
        check_files(files)
    assert caught.value.where == str(path)
    path.unlink()
    with pytest.raises(InputError, match="cannot read it") as caught:
        check_files(files)
    assert "at the same paths" in caught.value.hint


def test_only_functions_of_the_package_are_jobs():
    assert find_job(name_of(measure)) is measure
    for name in ("os:system", "cmodelx:y", "tests.nets:toy_net"):
        with pytest.raises(ValueError, match="no job"):
            find_job(name)


def test_a_child_gives_the_errors_of_its_job():
    task = {"net": {"prototxt": "none.prototxt", "name": "x", "trained": True, "transform": []}}
    found = in_child(measure, {**task, "folder": "/none", "seed": 0}, 1)
    assert found["error"]["name"] == "input"
    assert found["peak_memory"] > 1e6


PARENT = """
import sys
from pathlib import Path
from cmodel.executor import child

def held(folder):
    # The child reads its task from a pipe that nobody writes to.
    import os
    (folder / "task.json").unlink()
    os.mkfifo(folder / "task.json")
    return run(folder)

run, child._run = child._run, held
popen = child.subprocess.Popen

def told(*args, **options):
    process = popen(*args, **options)
    print(process.pid, flush=True)
    return process

child.subprocess.Popen = told
child.in_child(held, {}, 1)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
def test_a_child_ends_when_its_parent_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        handle = os.pidfd_open(pid)
        try:
            os.kill(pid, 0)  # it is there
            parent.send_signal(signal.SIGKILL)
            parent.wait()
            import select

            assert select.select([handle], [], [], 120)[0], "the child lives on"
        finally:
            os.close(handle)
