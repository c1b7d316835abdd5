"""One repository of the Hugging Face hub, by the hub's own protocol."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

NOWHERE = "http://127.0.0.1:9"  # nobody listens there
SHA = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """Serves a folder as ``repo``. ``lost``: files that break off in their midst. ``asked``: the
    files whose content was asked for.
    """

    def __init__(self, repo: str, folder: Path) -> None:
        self.folder = folder
        self.lost: set[str] = set()
        self.asked: list[str] = []
        self._repo = repo
        self._file = re.compile(rf"/{repo}/resolve/(?:main|{SHA})/(.+)")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def content(self, path: str) -> tuple[str, bytes] | None:
        """The name and the bytes of what is at a path."""
        found = self._file.fullmatch(path)
        if found and (self.folder / found[1]).is_file():
            return found[1], (self.folder / found[1]).read_bytes()
        said = self._listing(path)
        return None if said is None else ("", json.dumps(said).encode())

    def _listing(self, path: str) -> object | None:
        """What the API says."""
        files = sorted(self.folder.iterdir())
        if path == f"/api/models/{self._repo}/revision/main":
            siblings = [{"rfilename": one.name} for one in files]
            return {"id": self._repo, "sha": SHA, "siblings": siblings}
        if path == f"/api/models/{self._repo}/tree/{SHA}":
            return [
                {"type": "file", "path": one.name, "size": one.stat().st_size, "oid": one.name}
                for one in files
            ]
        return None


def look_for_the_hub(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path) -> None:
    """From now on the hub's client asks there for what is not in this cache."""
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", url)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


def _handler_of(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            name, data = hub.content(self.path.partition("?")[0]) or ("nothing", None)
            self.send_response(404 if data is None else 200)
            self.send_header("ETag", f'"{name}"')
            self.send_header("X-Repo-Commit", SHA)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            if body and data is not None:
                hub.asked += [name] if name else []
                self.wfile.write(data[: len(data) // 2] if name in hub.lost else data)
                self.close_connection = name in hub.lost

        def log_message(self, *args: Any) -> None:
            """The tests' output stays clean."""

    return Handler
