"""The other end of benchmarks/peer_worker.py: an engine's process, and facts of the machine."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("peer_worker.py")
LOAD_SECONDS, ANSWER_SECONDS = 600.0, 300.0
# Settings that would make BLAS another one than a user has.
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
ISA = ("avx2", "fma", "avx512f", "avx512_vnni", "amx_tile", "asimd", "sve")


class PeerError(Exception):
    """An engine that is not installed, or that failed on a net."""


class PeerProcess:
    """An engine that has loaded a net; it is stopped whenever it is not asked for a turn.

    Parameters
    ----------
    name : a name of peer_worker.ENGINES.
    python : the interpreter that has the engine.
    folder : the files of the net, and the input.
    command : what to run instead of the worker.
    """

    def __init__(
        self,
        name: str,
        python: Path,
        folder: Path,
        threads: int,
        batch: int,
        command: list[str] | None = None,
    ) -> None:
        self.name = name
        env = {key: value for key, value in os.environ.items() if key not in UNSET}
        env["OMP_NUM_THREADS"] = str(threads)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._pending = b""
        self._process = subprocess.Popen(
            command or [str(python), str(WORKER), name, str(folder), str(threads), str(batch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=env,
            bufsize=0,
        )

    def start(self) -> str:
        """Wait until the net is loaded and has run; return the engine's version.

        Raises
        ------
        PeerError : it is not installed, refuses the net, or takes too long.
        """
        answer = self._answer(LOAD_SECONDS)
        self._signal(signal.SIGSTOP)
        return str(answer["version"])

    def turn(self, seconds: float) -> dict[str, Any]:
        """Let it run for so long; return the median wall and CPU seconds of a run.

        Raises
        ------
        PeerError : it ended, or gives no answer.
        """
        self._signal(signal.SIGCONT)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{seconds}\n".encode())
        except OSError as error:
            raise PeerError(self._ending()) from error
        answer = self._answer(ANSWER_SECONDS)
        self._signal(signal.SIGSTOP)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _answer(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        end, stdout = time.monotonic() + seconds, self._process.stdout.fileno()
        while b"\n" not in self._pending:
            ready, _, _ = select.select([stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise PeerError(f"no answer within {seconds:.0f} s")
            part = os.read(stdout, 1 << 16)
            if not part:
                raise PeerError(self._ending())
            self._pending += part
        line, _, self._pending = self._pending.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def _signal(self, number: int) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def _ending(self) -> str:
        code = self._process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
        self._stderr.seek(0)
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        return f"it ended with {how}: {lines[-1][:300] if lines else 'no message'}"


def machine() -> dict[str, Any]:
    """Return the facts of the machine that the times depend on."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    pairs = [line.partition(":") for line in lines]
    facts = {key.strip(): value.strip() for key, _, value in reversed(pairs)}
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    return {
        "cpu": facts.get("model name", platform.processor() or platform.machine()),
        "architecture": platform.machine(),
        "isa": [name for name in ISA if name in flags],
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.system(),
        "python": platform.python_version(),
    }
