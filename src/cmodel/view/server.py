"""Serves the viewer's page and one container to browsers of this machine, and nothing else."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from secrets import token_urlsafe
from typing import BinaryIO, cast

from cmodel.view.page import page_for

_LOOPBACK = "127.0.0.1"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class ViewServer(ThreadingHTTPServer):
    """The page at `address`, the container at `address` + "model"; every other path is a 404.

    It listens on the loopback address, on a free port. The address holds a random word, so that
    other users of the machine and pages of other sites cannot guess it; a request whose Host
    header is not that of this server is refused, so that no foreign name can be bound to it.

    Parameters
    ----------
    path : the container. It is read anew for every request, so that reloading shows it as it is.
    on_request : called with a line about each request.
    """

    daemon_threads = True

    def __init__(self, path: Path, on_request: Callable[[str], None] | None = None) -> None:
        self.path = path
        self.on_request = on_request
        self.page = page_for(path.name).encode()
        self.root = f"/{token_urlsafe(16)}/"
        super().__init__((_LOOPBACK, 0), _Handler)

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{_LOOPBACK}:{self.server_port}{self.root}"

    def hosts(self) -> tuple[str, ...]:
        """Return what a Host header may say."""
        return tuple(f"{name}:{self.server_port}" for name in (_LOOPBACK, "localhost"))

    def handle_error(self, request: object, client_address: object) -> None:
        """Say that a request failed; browsers hang up whenever they like."""
        if self.on_request is not None:
            self.on_request(f"{client_address}: the connection broke")


class _Handler(BaseHTTPRequestHandler):
    timeout = 30
    server_version = "cmodel"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the page or the container."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer with the headers alone."""
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Tell who wants to know."""
        server = cast(ViewServer, self.server)
        if server.on_request is not None:
            server.on_request(format % args)

    def _answer(self, *, body: bool) -> None:
        server = cast(ViewServer, self.server)
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0] not in server.hosts():
            self.send_error(403, "Another host")
            return
        asked = self.path.encode("utf-8", "replace")
        if compare_digest(asked, server.root.encode()):
            self._send(BytesIO(server.page), len(server.page), "text/html; charset=utf-8", body)
        elif compare_digest(asked, f"{server.root}model".encode()):
            self._send_model(server.path, body)
        else:
            self.send_error(404)

    def _send_model(self, path: Path, body: bool) -> None:
        try:
            with path.open("rb") as file:
                status = path.stat()
                if not stat.S_ISREG(status.st_mode):
                    raise OSError("not a file")
                self._send(file, status.st_size, "application/octet-stream", body)
        except FileNotFoundError:
            self.send_error(404, "The file is gone")

    def _send(self, content: BinaryIO, size: int, kind: str, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            shutil.copyfileobj(content, self.wfile)
