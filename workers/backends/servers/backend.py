"""One model on one server, behind the contract. What it is asked, each kind of server says."""

from __future__ import annotations

import logging
import traceback
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from ledger.errors import BackendAuth, BackendError, InvalidSetting
from ledger.messages import Request
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Abilities, Piece, Run, Say, unsaid
from workers.backends.servers.halves import Halves
from workers.backends.servers.io_thread import IoThread
from workers.backends.servers.likely_count import LikelyCount
from workers.backends.servers.patience import until_it_answers
from workers.backends.servers.quiet_http import quiet_http

log = logging.getLogger(__name__)

HEALTH_S = 5.0

# What is raised where JSON is read that has not the form of the API.
_OF_ANOTHER_FORM = (AttributeError, LookupError, TypeError, ValueError)


class Client(Protocol):
    """Asks one server about one model, in one event loop. ``where``: the server, for sentences."""

    where: str

    async def close(self) -> None:
        """Closes the connections."""
        ...


class Answer(Protocol):
    """Makes pieces of what the server sends for one request."""

    def pieces(self, events: Iterator[Any], /) -> Iterator[Piece]:
        """The answer's pieces.

        Raises:
            BackendError: the answer has no end.
        """
        ...


C = TypeVar("C", bound=Client)
Facts = TypeVar("Facts")


class ServerBackend(ABC, Generic[C, Facts]):
    """Waits for the server, streams its answers, and learns how it counts."""

    def __init__(self, spec: InstanceSpec, settings: Settings, *, such_as: str) -> None:
        """Nothing is asked yet.

        Args:
            spec: the instance.
            settings: all of them.
            such_as: the name of a model, for the sentence where none is given.

        Raises:
            InvalidSetting: no model is named.
        """
        if spec.model is None:
            raise InvalidSetting(
                f"{spec.name}: {spec.backend} needs the name of a model, such as {such_as}; "
                "set model in its table, or LLM_MODEL."
            )
        self._model, self._settings = spec.model, settings
        self._backend = spec.backend
        self._count = LikelyCount()
        self._loaded: tuple[IoThread, C] | None = None

    @property
    @abstractmethod
    def abilities(self) -> Abilities:
        """As the server tells them of the model, once it is loaded."""

    @abstractmethod
    def _connect(self) -> C:
        """A client for the server."""

    @abstractmethod
    async def _facts(self, client: C, say: Say) -> Facts:
        """What the server tells of the model, which also shows that it may be asked."""

    @abstractmethod
    def _know(self, facts: Facts) -> None:
        """Takes in what it told."""

    @abstractmethod
    async def _probe(self, client: C) -> None:
        """Asks the server anything, for a BackendError if it does not answer."""

    @abstractmethod
    def _ask(self, client: C, run: Run) -> tuple[AsyncIterator[Any], Answer]:
        """What the server sends for a run, not begun yet, and what makes pieces of it."""

    def load(self, say: Say = unsaid) -> None:
        """Asks what the model can; waits for a server that does not answer, APEX_LOAD_TIMEOUT_S at
        most.

        Raises:
            BackendError: the server does not answer, or not for this key and model.
        """
        quiet_http()
        client = self._connect()
        io = IoThread(self._backend)
        self._loaded = io, client
        try:
            asking = partial(self._facts_unless_unpaid, client, say)
            facts = io.run(until_it_answers(asking, self._settings.load_timeout_s, say))
            if facts is not None:
                self._know(facts)
        except BaseException:
            self.close()
            raise

    def count_tokens(self, request: Request) -> int:
        """An estimate that learns from the server's counts, which come with the answers; to ask for
        one before each job would be a round trip.
        """
        return self._count.of(request)

    def stream(self, run: Run) -> Iterator[Piece]:
        """Yields what the server sends, as it comes; to stop closes the connection, by which the
        server stops too.

        Raises:
            InvalidRequest: the request has something that the server has no form for.
            BackendError: or one of its kinds, in the server's words.
        """
        io, client = self._require_loaded()
        source, answer = self._ask(client, run)
        halves = Halves()
        with closing(io.iterate(source, run.stop)) as events:
            try:
                for piece in answer.pieces(events):
                    if piece.prompt_tokens:
                        self._count.learn(run.request, piece.prompt_tokens)
                    yield halves.whole(piece)
            except (BackendError, *_OF_ANOTHER_FORM) as error:
                if run.stop.is_set():  # an answer that was stopped has no end
                    return
                if isinstance(error, BackendError):
                    raise
                frames = "".join(traceback.format_tb(error.__traceback__))
                log.warning("An answer of another form: %s\n%s", type(error).__name__, frames)
                raise self._no_answer(client) from error

    def forget(self, tenant: str, session_id: str | None = None) -> None:
        """It keeps nothing; the server's cache has no names of sessions."""

    def health(self) -> str:
        """Whether the server answers."""
        if self._loaded is None:
            return "The model is not loaded."
        io, client = self._loaded
        probing = io.start(self._probe(client))
        try:
            probing.result(HEALTH_S)
        except TimeoutError:
            probing.cancel()
            return f"{client.where} does not answer in {HEALTH_S:g} s."
        except BackendError as error:
            return error.message
        return ""

    def close(self) -> None:
        """Closes the connections, and ends the thread that they live in."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            io, client = loaded
            io.close(client.close())

    async def _facts_unless_unpaid(self, client: C, say: Say) -> Facts | None:
        """None where the account is empty: jobs say so, and go on when it is not any more."""
        try:
            return await self._facts(client, say)
        except BackendAuth as error:
            if not error.facts.get("unpaid"):
                raise
            return None

    def _no_answer(self, client: C) -> BackendError:
        return BackendError(
            f"The connection to {client.where} was lost (what it sent is no part of an answer).",
            backend=self._backend,
            retriable=True,
        )

    def _require_loaded(self) -> tuple[IoThread, C]:
        if self._loaded is None:
            raise BackendError(self.health(), backend=self._backend, retriable=False)
        return self._loaded
