"""One answer from one of several servers, also where one of them is lost in the midst of it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import openai

from ledger.errors import BackendError, RateLimited, ServerAway
from ledger.messages import Request
from workers.backends.base import Abilities, Piece, Run
from workers.backends.openai.body import Body
from workers.backends.openai.endpoints import Endpoint, Endpoints
from workers.backends.openai.errors import Errors
from workers.backends.openai.reader import BROKEN_OFF, Reader
from workers.backends.openai.tokenizer import Tokenizer
from workers.backends.servers.likely_count import LikelyCount

AWAY_S, AWAY_TIMES, MOST_S = 5.0, 6, 60.0  # until the next attempt where no server is there
CUT_OFF = "the stream ended before the answer did"


class Answers:
    """Answers requests of one instance."""

    def __init__(
        self,
        endpoints: Endpoints,
        body: Body,
        tokenizer: Tokenizer,
        errors: Errors,
        likely: LikelyCount,
        *,
        api: str,
        host: str,
        abilities: Abilities,
    ) -> None:
        """
        Args:
            likely: learns from what the servers count.
            host: the servers', to which thoughts go back.
        """
        self._endpoints, self._body, self._tokenizer = endpoints, body, tokenizer
        self._errors, self._likely, self._api, self._abilities = errors, likely, api, abilities
        self._host = host

    async def stream(self, run: Run) -> AsyncIterator[Piece]:
        """Yields the answer. Another endpoint goes on where one fails: from the beginning while
        nothing was said, afterwards from the text so far, where that can be done.

        Raises:
            BackendError: no endpoint answers, or one answers with an error that is final. Of
                several the first that this request may have caused: the next attempt is spent on
                it, also where another endpoint is away or busy. Where all are, the one that is
                over soonest.
        """
        made = _Made(run, self._abilities.continues_with(run.request))
        tried: set[str] = set()
        failures: list[BackendError] = []
        while True:
            async with self._endpoints.berth(_session_of(run.request), tried) as endpoint:
                try:
                    async with aclosing(self._from(endpoint, run, made)) as pieces:
                        async for piece in pieces:
                            tried.clear()
                            made.add(piece)
                            if piece.prompt_tokens:
                                self._likely.learn(run.request, piece.prompt_tokens)
                            yield piece
                    endpoint.breaker.succeeded()
                    return
                except BackendError as error:
                    if not error.facts["retriable"]:
                        raise
                    self._endpoints.failed(endpoint, error)
                    tried.add(endpoint.url)
                    failures.append(error)
                    if len(tried) == len(self._endpoints) or not made.can_go_on:
                        told = _to_tell(failures)
                        raise told from told.__cause__

    async def _from(self, endpoint: Endpoint, run: Run, made: _Made) -> AsyncGenerator[Piece, None]:
        """What one endpoint makes of the answer that is still to come."""
        left = run.max_tokens - made.tokens
        reader = Reader(left, host=self._host, logprobs=run.request.logprobs, whole=not made.begun)
        ids = await self._ids_up_to(endpoint, run.request, made)
        stream = await self._open(endpoint, run, made.text, left, ids)
        made.follow(reader, ids)
        try:
            async with stream:
                async for chunk in stream:
                    for piece in self._taken(reader, chunk, endpoint):
                        yield piece
        except (openai.OpenAIError, json.JSONDecodeError) as error:
            if not reader.complete:
                raise self._errors.of(error, endpoint.where) from error
        if not reader.complete:
            raise self._errors.lost(endpoint.where, CUT_OFF)
        if reader.refusal or reader.finish == "content_filter":
            yield replace(reader.last(), finish_reason=None)  # what was made costs all the same
            raise self._errors.refused(reader.refusal or "its content filter stopped the answer")
        if reader.finish in BROKEN_OFF:
            raise self._errors.lost(endpoint.where, f"it ended the answer with {reader.finish!r}")
        yield reader.last()

    def _taken(self, reader: Reader, chunk: Any, endpoint: Endpoint) -> list[Piece]:
        try:
            return list(reader.take(chunk))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            if reader.complete:
                return []
            why = "what it sent is no part of an answer"
            raise self._errors.lost(endpoint.where, why) from error

    async def _ids_up_to(
        self, endpoint: Endpoint, request: Request, made: _Made
    ) -> list[int] | None:
        """The tokens to go on from; None at the beginning, and where only the text is known.

        A server may hold text back, as of a character that is begun: then less went out than its
        tokens say, and what would follow them is not what follows the text.
        """
        if not made.begun:
            return None
        ids, latest = made.ids, made.latest_ids
        if ids is not None and not request.tools and not request.images:
            spelled = await self._tokenizer.text_of(endpoint, latest) if latest else ""
            if spelled == made.latest_text:
                return ids
        return await self._tokenizer.up_to(endpoint, request, made.text)

    async def _open(
        self, endpoint: Endpoint, run: Run, so_far: str, most: int, ids: list[int] | None
    ) -> Any:
        """The stream, of chunks as they come: the SDK's classes cost more than all the rest."""
        api = self._api if ids is None else "completions"
        try:
            return await endpoint.client.post(
                "/chat/completions" if api == "chat" else "/completions",
                body=self._body.of(run, so_far, most, ids),
                cast_to=object,
                stream=True,
                stream_cls=openai.AsyncStream[object],
            )
        except openai.OpenAIError as error:
            told = self._errors.of(error, endpoint.where)
            if told.facts.get("lost"):  # it is not there: it may be starting again
                told.facts["retry_after_s"] = min(AWAY_S * AWAY_TIMES ** (run.attempt - 1), MOST_S)
            raise told from error


class _Made:
    """What there is of an answer, from whichever endpoints."""

    def __init__(self, run: Run, continues: bool) -> None:
        self.text, self.tokens = run.continue_from, 0
        self.begun = bool(run.continue_from)
        self.latest_text = ""
        self._continues = continues
        self._only_text = True
        self._reader: Reader | None = None
        self._before: list[int] | None = None

    def follow(self, reader: Reader, before: list[int] | None) -> None:
        """Begins a part of the answer, after the tokens ``before`` where these are known."""
        self._reader, self._before, self.latest_text = reader, before, ""

    @property
    def latest_ids(self) -> list[int] | None:
        """The tokens of the latest part; None where the server did not tell them."""
        return self._reader.ids if self._reader is not None else None

    @property
    def ids(self) -> list[int] | None:
        """All tokens up to here, the prompt's too; None where one of them is not known."""
        before, latest = self._before, self.latest_ids
        if before is None and self._reader is not None:
            before = self._reader.prompt_ids
        return None if before is None or latest is None else [*before, *latest]

    def add(self, piece: Piece) -> None:
        """Notes a piece that went out."""
        self.text += piece.text
        self.latest_text += piece.text
        self.tokens += piece.tokens
        self.begun = True
        if piece.reasoning or piece.tool_calls:
            self._only_text = False

    @property
    def can_go_on(self) -> bool:
        """Whether another endpoint can take it up."""
        return not self.begun or (self._continues and self._only_text)


def _to_tell(failures: list[BackendError]) -> BackendError:
    """The one of several endpoints' errors that the caller is to know."""
    spending = (one for one in failures if not isinstance(one, ServerAway | RateLimited))
    soonest = min(failures, key=lambda one: one.facts.get("retry_after_s") or AWAY_S)
    return next(spending, soonest)


def _session_of(request: Request) -> str | None:
    if request.session_id is None:
        return None
    return f"{request.tenant}\x00{request.agent_id}\x00{request.session_id}"
