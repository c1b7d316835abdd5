"""A way to Redis on which the reply to one script is held back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from ledger.scripts import load


class HeldReplies:
    """Forwards connections to ``url``; one that calls ``script`` gets no more replies."""

    def __init__(self, url: str, script: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._sha = load(script).sha.encode()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._server.getsockname()[1]}/0"
        self.held = threading.Event()  # Redis has answered, and nobody hears it
        self._open = [self._server]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(self._target)
                self._open += [near, far]
                called = threading.Event()
                for pair in ((near, far), (far, near)):
                    threading.Thread(
                        target=self._forward, args=(*pair, called, pair[0] is near), daemon=True
                    ).start()

    def _forward(
        self, source: socket.socket, sink: socket.socket, called: threading.Event, asks: bool
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if asks and self._sha in data:
                    called.set()
                if not asks and called.is_set():
                    self.held.set()
                else:
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def held_replies(url: str, script: str) -> Iterator[HeldReplies]:
    """The way, for the length of a block."""
    way = HeldReplies(url, script)
    try:
        yield way
    finally:
        way.close()
