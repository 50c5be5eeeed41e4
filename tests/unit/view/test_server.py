"""The server of the viewer: one page, one file, this machine only."""

from __future__ import annotations

import http.client
import socket
import threading

import pytest

from cmodel.view import ViewServer


@pytest.fixture
def served(tmp_path):
    path = tmp_path / "a <b>.cmodel"
    path.write_bytes(b"\x89CMD" + bytes(range(256)))
    (tmp_path / "secret").write_text("secret")
    lines = []
    with ViewServer(path, lines.append) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server, path, lines
        finally:
            server.shutdown()
            thread.join()


def ask(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer
    finally:
        connection.close()


def test_the_page_and_the_file(served):
    server, path, lines = served
    status, body, answer = ask(server, server.root)
    assert status == 200
    assert answer.getheader("Content-Type") == "text/html; charset=utf-8"
    assert b'<meta name="cmodel-file" content="a &lt;b&gt;.cmodel">' in body
    status, body, answer = ask(server, server.root + "model")
    assert (status, body) == (200, path.read_bytes())
    assert answer.getheader("Cross-Origin-Resource-Policy") == "same-origin"
    assert answer.getheader("Access-Control-Allow-Origin") is None
    status, body, _ = ask(server, server.root + "model", "HEAD")
    assert (status, body) == (200, b"")
    assert len(lines) == 3


def test_it_listens_on_the_loopback_address_alone(served):
    server, _, _ = served
    assert server.server_address[0] == "127.0.0.1"
    assert server.address == f"http://127.0.0.1:{server.server_port}{server.root}"
    assert len(server.root) > 20


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/model",
        "{root}secret",
        "{root}../secret",
        "{root}model/",
        "{root}model?x",
        "{root}%6dodel",
        "{root}a <b>.cmodel".replace(" ", "%20"),
    ],
)
def test_nothing_else_is_served(served, path):
    server, _, _ = served
    status, body, _ = ask(server, path.format(root=server.root))
    assert status == 404
    assert b"secret" not in body.replace(b"/secret", b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_is_written(served, method):
    server, path, _ = served
    before = path.read_bytes()
    assert ask(server, server.root + "model", method)[0] in (405, 501)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1:{port}.evil.example",
        "",
    ],
)
def test_another_host_is_refused(served, host):
    server, _, _ = served
    status, body, _ = ask(server, server.root + "model", Host=host.format(port=server.server_port))
    assert status == 403
    assert b"CMD" not in body


def test_localhost_is_allowed(served):
    server, _, _ = served
    assert ask(server, server.root, Host=f"localhost:{server.server_port}")[0] == 200


def test_two_hosts_or_none_are_refused(served):
    server, _, _ = served
    own = f"Host: 127.0.0.1:{server.server_port}\r\n"
    for hosts in ("", own + "Host: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as link:
            link.sendall(
                f"GET {server.root}model HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n".encode()
            )
            answer = b""
            while part := link.recv(4096):
                answer += part
        assert answer.split()[1] == b"403"


def test_a_file_that_is_gone(served):
    server, path, _ = served
    path.unlink()
    assert ask(server, server.root + "model")[0] == 404
    assert ask(server, server.root)[0] == 200
