"""Whose context lies in the model's KV cache, and the contexts that are kept beside it.

A session's next turn reads only what is new. No context is ever reused for another session: its
cache is emptied before another one's first token is read.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from workers.backends.base import Run


class Key(NamedTuple):
    """A session's name. A job without a session is a session of its own, which ends with its
    answer; the key lets an interrupted answer find its context again.
    """

    tenant: str
    agent_id: str
    session_id: str | None
    job_id: str = ""


class Cache(Protocol):
    """What is needed of the model: :class:`workers.backends.local.engine.Engine` has it."""

    tokens: list[int]

    def clear(self) -> None:
        """Forgets everything."""
        ...

    def state_bytes(self) -> int:
        """Size of what ``save`` returns."""
        ...

    def save(self) -> Any:
        """The cache's content."""
        ...

    def restore(self, tokens: list[int], data: Any) -> None:
        """Puts it back."""
        ...


@dataclass(slots=True)
class Kept:
    """A context: the tokens in the KV cache, its content, and the tokens of the last answer, the
    last of which the cache may not have.
    """

    tokens: list[int]
    answer: list[int]
    size: int
    data: Any = field(repr=False)


def key_of(run: Run) -> Key:
    """The session that a run belongs to."""
    request = run.request
    key = Key(request.tenant, request.agent_id, request.session_id)
    return key if request.session_id is not None else key._replace(job_id=run.job_id)


class Sessions:
    """Switches the cache from session to session; keeps the latest ones within bounds.

    ``answer`` is the current session's last answer, in tokens.
    """

    def __init__(self, cache: Cache, *, most_bytes: int, most_states: int) -> None:
        self.answer: list[int] = []
        self._cache = cache
        self._most_bytes, self._most_states = most_bytes, most_states
        self._current: Key | None = None
        self._kept: OrderedDict[Key, Kept] = OrderedDict()

    def enter(self, key: Key) -> None:
        """Makes the cache that of this session: as it was left, or empty."""
        if key == self._current:
            return
        kept = self._kept.pop(key, None)  # first, so that it does not make room for the other
        self._put_away()
        self._cache.clear()
        self.answer = []
        self._current = key
        if kept is not None:
            self._cache.restore(kept.tokens, kept.data)
            self.answer = kept.answer

    def end(self) -> None:
        """The current session is over; nothing of it is kept."""
        self._cache.clear()
        self.answer = []
        self._current = None

    def forget(self, tenant: str, session_id: str | None) -> None:
        """Erases the tenant's sessions of this name, or all of them."""

        def meant(key: Key) -> bool:
            return key.tenant == tenant and session_id in (None, key.session_id)

        for key in [key for key in self._kept if meant(key)]:
            del self._kept[key]
        if self._current is not None and meant(self._current):
            self.end()

    def _put_away(self) -> None:
        if self._current is None or not self._cache.tokens or not self._most_states:
            return
        size = self._cache.state_bytes()
        if size > self._most_bytes:
            return
        while self._kept and (
            len(self._kept) >= self._most_states or size + self.kept_bytes > self._most_bytes
        ):
            self._kept.popitem(last=False)
        self._kept[self._current] = Kept(self._cache.tokens, self.answer, size, self._cache.save())

    @property
    def kept_bytes(self) -> int:
        """Size of the contexts that are kept."""
        return sum(one.size for one in self._kept.values())
