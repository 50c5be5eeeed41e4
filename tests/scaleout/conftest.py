"""A dask scheduler and workers, each a process on the loopback; skipped without the extra."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.nets import toy_net

import cmodel
from cmodel.caffe import print_prototxt, write_caffemodel

HERE = Path(__file__).parent
# A busy machine takes its time; nothing waits for so long where all is well.
PATIENCE = 240
SCHEDULER = "from distributed.cli.dask_scheduler import main; main()"
WORKER = "from distributed.cli.dask_worker import main; main()"


def pytest_collection_modifyitems(items):
    from importlib.util import find_spec

    if find_spec("distributed") is not None:
        return
    skip = pytest.mark.skip(reason="dask is missing: pip install 'cmodel-nn[dask]'")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(skip)


class Cluster:
    """A scheduler, its workers by their addresses, and a client that watches them."""

    def __init__(self, folder, workers, allowed_failures=3, options=(), worker_options=()):
        self.folder = folder
        self.worker_options = worker_options
        self.processes = []
        self.workers = {}
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(Path(cmodel.__file__).parents[1]),
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": f"{PATIENCE}s",
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": f"{PATIENCE}s",
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(allowed_failures),
        }
        facts = folder / "scheduler.json"
        self.start(SCHEDULER, "--port", "0", "--scheduler-file", facts, *options)
        until(facts.exists, "the scheduler does not start")
        from distributed import Client

        self.client = Client(scheduler_file=str(facts), timeout=PATIENCE, set_as_default=False)
        self.address = self.client.scheduler.address
        self.url = f"dask://{self.address.partition('://')[2]}"
        for _ in range(workers):
            self.add_worker(wait=False)
        self.settle()

    def start(self, program, *arguments):
        log = (self.folder / f"log{len(self.processes)}").open("wb")
        command = [sys.executable, "-c", program, "--host", "127.0.0.1", "--no-dashboard"]
        with log:
            process = subprocess.Popen(
                [*command, *map(str, arguments)],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def add_worker(self, program=WORKER, wait=True):
        options = ["--no-nanny", "--nthreads", 1, "--memory-limit", 0, *self.worker_options]
        name = f"w{len(self.processes)}"
        self.workers[name] = self.start(program, self.address, *options, "--name", name)
        if wait:
            self.settle()
        return name

    def settle(self):
        """Wait until the scheduler knows just the workers that run."""
        until(lambda: set(self.addresses()) == set(self.workers), "the workers do not come")

    def addresses(self):
        known = self.client.scheduler_info(n_workers=-1)["workers"]
        return {facts["name"]: address for address, facts in known.items()}

    def stop(self, name):
        """Freeze a worker: pieces that it has it keeps."""
        self.workers[name].send_signal(signal.SIGSTOP)

    def kill_busy(self, name):
        """Freeze a worker, wait until it has pieces, kill it; return the keys of these."""
        address = self.addresses()[name]
        self.stop(name)

        def busy():
            # What it had answered when it was frozen is known to the scheduler by the second time.
            self.client.processing([address])
            return bool(self.client.processing([address]).get(address))

        until(busy, "the worker gets nothing to do")
        keys = set(self.client.processing([address])[address])
        self.kill(name)
        return keys

    def kill(self, name):
        process = self.workers.pop(name)
        process.kill()
        process.wait()

    def starts(self, executor):
        """Return how often each piece of an executor was given to a worker."""

        def given(dask_scheduler=None):  # travels as its code: the scheduler has no tests
            return [e[0] for e in dask_scheduler.transition_log if e[2] == "processing"]

        keys = self.client.run_on_scheduler(given)
        return Counter(tuple(k) for k in keys if executor.token in str(k))

    def close(self):
        self.client.close()
        for process in self.processes:
            process.kill()
            process.wait()


def until(condition, otherwise):
    """Ask until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), 3)
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(running):
    """Three workers, whatever other tests did to them."""
    while len(running.workers) < 3:
        running.add_worker(wait=False)
    running.settle()
    return running


@pytest.fixture
def few(tmp_path):
    """Start a cluster of the test's own: few(workers, ...)."""
    started = []

    def start(workers, **options):
        folder = tmp_path / f"few{len(started)}"
        folder.mkdir()
        started.append(Cluster(folder, workers, **options))
        return started[-1]

    yield start
    for cluster in started:
        cluster.close()


@pytest.fixture
def files(tmp_path):
    """A folder with a small net, labelled images and a grid."""
    folder = tmp_path / "files"
    folder.mkdir()
    net = toy_net()
    (folder / "deploy.prototxt").write_text(print_prototxt(net))
    with (folder / "net.caffemodel").open("wb") as file:
        write_caffemodel(net, file)
    rng = np.random.default_rng(7)
    x = rng.normal(size=(61, 3, 8, 8)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=rng.integers(0, 6, 61))
    (folder / "grid.toml").write_text(GRID)
    return folder


GRID = """
[[net]]
name = "toy"
prototxt = "deploy.prototxt"
weights = "net.caffemodel"
data = "data.npz"
trained = true
[[method]]
[[method.step]]
method = "quantize.kmeans"
k = [2, 3, 4, 5, 6]
[[method]]
[[method.step]]
method = "prune.obs"
density = 0.5
"""
