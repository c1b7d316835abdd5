"""A backend of one instance, loaded, and runs of it, without a runner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ledger.messages import Request, parse_request
from ledger.settings import load_settings
from workers import backends
from workers.backends import Backend, Piece, Run


def created(table: dict[str, Any], **settings: Any) -> Backend:
    """The backend of an instance with this table, not loaded."""
    all_settings = load_settings(env={}, instances=[{"name": "inst0", **table}], **settings)
    return backends.create(all_settings.instances[0], all_settings)


@contextmanager
def loaded(table: dict[str, Any], **settings: Any) -> Iterator[Backend]:
    """The backend of an instance with this table."""
    backend = created(table, **settings)
    backend.load()
    try:
        yield backend
    finally:
        backend.close()


def request_of(prompt: str | None = None, **fields: Any) -> Request:
    """A request with these fields."""
    return parse_request(prompt=prompt, agent_id="a", **fields)


def run_of(prompt: str | None = None, max_tokens: int = 50, so_far: str = "", **fields: Any) -> Run:
    """A run of such a request."""
    return Run(request_of(prompt, **fields), max_tokens, so_far)


def pieces_of(backend: Backend, *args: Any, **fields: Any) -> list[Piece]:
    """The pieces of such a run."""
    return list(backend.stream(run_of(*args, **fields)))


def text_of(pieces: list[Piece]) -> str:
    """What they say."""
    return "".join(piece.text for piece in pieces)


def tokens_of(pieces: list[Piece]) -> int:
    """How many tokens they stand for."""
    return sum(piece.tokens for piece in pieces)
