"""What a stopped command leaves behind: nothing."""

from __future__ import annotations

import os
import signal

import pytest

from cmodel import __main__ as program
from cmodel.container import store


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_removes_the_temporary_file(run, model, tmp_path, monkeypatch, number, status):
    folder = tmp_path / "out"
    folder.mkdir()
    verify = store.verify
    met = []

    def interrupted(path):
        met.extend(folder.iterdir())
        os.kill(os.getpid(), number)
        return verify(path)

    monkeypatch.setattr(store, "verify", interrupted)
    handler = signal.getsignal(signal.SIGTERM)
    result = run("pack", model.prototxt, model.weights, "-o", folder / "x.cmodel")
    assert result.status == status
    assert "interrupted" in result.err
    assert len(met) == 1
    assert list(folder.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is handler


def test_interrupted_while_loading(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("cmodel.cli.main", interrupted)
    assert program.run() == 130
    assert capsys.readouterr().err == ""
