"""`cmodel view`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from tests.nets import toy_net

import cmodel


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / "toy.cmodel"
    cmodel.save(toy_net(), path)
    return path


def test_serves_until_ctrl_c(packed):
    command = [sys.executable, "-m", "cmodel", "view", str(packed), "--no-open", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        text = ""
        while not text.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, process.stderr.read()
            text += line
        document = json.loads(text)
        assert document["schema"] == "cmodel.view/1"
        assert document["file"] == "toy.cmodel"
        with urllib.request.urlopen(document["address"] + "model", timeout=20) as answer:
            assert answer.read() == packed.read_bytes()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0
        assert out + err == ""
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_opens_the_browser(packed, run, monkeypatch):
    opened = []

    def open_and_stop(address):
        opened.append(address)
        os.kill(os.getpid(), signal.SIGINT)
        return True

    monkeypatch.setattr("webbrowser.open", open_and_stop)
    result = run("view", packed, "--open")
    assert result.status == 0
    assert result.out.startswith("http://127.0.0.1:")
    assert opened == [result.out.splitlines()[0]]


def test_writes_the_page(run, tmp_path):
    page = tmp_path / "viewer.html"
    result = run("view", "-o", page, "--json")
    assert result.status == 0
    assert result.json["page_bytes"] == page.stat().st_size
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert run("view", "-o", page).status == 2
    assert run("view", "-o", page, "-f").status == 0


def test_what_cannot_be_shown(run, model, packed, tmp_path):
    result = run("view", model.prototxt)
    assert result.status == 3
    assert "no .cmodel" in result.err
    assert run("view", tmp_path / "nowhere.cmodel").status == 3
    assert run("view").status == 2
    assert run("view", packed, "-o", tmp_path / "x.html").status == 2
