"""An HTTP server of the tests, on a free port, whose answers a test can replace by its own."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

PATIENCE_S = 20.0


class Exchange:
    """One request, and the means to answer it. ``server``: who was asked."""

    def __init__(self, server: FakeServer, handler: BaseHTTPRequestHandler, body: Any) -> None:
        self.server, self._handler = server, handler
        self.path, self.body = handler.path, body
        self.headers = {name.lower(): value for name, value in handler.headers.items()}

    def reply(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """Answers with one object, or with a text as it is."""
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        self._head(status, "application/json", {"content-length": str(len(content))}, headers)
        self._handler.wfile.write(content)

    def begin(self, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        """Begins an answer in parts."""
        self._head(200, content_type, {"transfer-encoding": "chunked"}, headers)

    def send(self, content: bytes) -> None:
        """Sends a part at once."""
        self._handler.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))

    def end(self) -> None:
        """Ends an answer in parts."""
        self._handler.wfile.write(b"0\r\n\r\n")

    def cut(self) -> None:
        """Ends the connection in the midst of the answer."""
        self._handler.close_connection = True
        self._handler.connection.shutdown(socket.SHUT_RDWR)

    def wait_until_left(self) -> None:
        """Waits until the client has closed the connection."""
        if select.select([self._handler.connection], [], [], PATIENCE_S)[0]:
            self.check()

    def check(self) -> None:
        """Raises ConnectionError if the client has closed the connection."""
        connection = self._handler.connection
        if select.select([connection], [], [], 0)[0] and not connection.recv(1, socket.MSG_PEEK):
            raise ConnectionResetError("the client has left")

    def _head(
        self, status: int, kind: str, own: Mapping[str, str], headers: Mapping[str, str] | None
    ) -> None:
        self._handler.send_response(status)
        for name, value in {"content-type": kind, **own, **(headers or {})}.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()


Answer = Callable[[Exchange], None]


class FakeServer:
    """Answers with ``answer``, or with what a test has put into ``script``, one for each request
    of a path in ``scripted``.

    ``asked``: the requests so far. ``connections``: all that there were. ``left``: a client went
    before its answer was complete.
    """

    def __init__(self, answer: Answer, scripted: tuple[str, ...], port: int = 0) -> None:
        self.asked: list[Exchange] = []
        self.left = threading.Event()
        self.script: deque[Answer] = deque()
        self._answer, self._scripted = answer, scripted
        self.connections: list[socket.socket] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.port = int(self._server.server_port)
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def of(self, path: str) -> list[Any]:
        """The bodies of the requests of this path."""
        return [one.body for one in self.asked if one.path == path]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it, and its connections."""
        self._server.shutdown()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join(PATIENCE_S)

    def _serve(self, exchange: Exchange) -> None:
        self.asked.append(exchange)
        scripted = self.script and exchange.path in self._scripted
        answer = self.script.popleft() if scripted else self._answer
        try:
            answer(exchange)
        except ConnectionError:
            self.left.set()
            raise

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server, serve, connections = self, self._serve, self.connections

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 0
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                connections.append(self.connection)

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                self._do(json.loads(self.rfile.read(length) or b"null"))

            def do_GET(self) -> None:
                self._do(None)

            def _do(self, body: Any) -> None:
                try:
                    serve(Exchange(server, self, body))
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, *args: Any) -> None:
                """Tests read ``asked`` instead."""

        return Handler
