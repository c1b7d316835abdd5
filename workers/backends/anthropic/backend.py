"""Claude by Anthropic's Messages API, and servers that speak it. See docs/backends.md."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ledger.errors import BackendError, BackendMissing, InvalidSetting
from ledger.messages import Request
from ledger.settings import InstanceSpec, Settings
from workers.backends.anthropic.options import AnthropicOptions
from workers.backends.anthropic.request import body_of, wants_any_json
from workers.backends.base import Abilities, Piece, Run, Say, unsaid
from workers.backends.options import parse
from workers.backends.servers.io_thread import IoThread
from workers.backends.servers.likely_count import LikelyCount
from workers.backends.servers.patience import until_it_answers
from workers.backends.servers.quiet_http import quiet_http

if TYPE_CHECKING:
    from workers.backends.anthropic.client import AnthropicClient

OPTIONS = frozenset(
    {"temperature", "top_p", "top_k", "stop", "response_format", "tools", "tool_choice"}
)
HEALTH_S = 5.0


class AnthropicBackend:
    """One model of one provider."""

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        """Reads the options; nothing is asked.

        Raises:
            InvalidSetting: an option is unknown or has a bad value, or no model is named.
            BackendMissing: the package ``anthropic`` is not installed.
        """
        if find_spec("anthropic") is None:
            raise BackendMissing(backend="anthropic", extra="anthropic")
        if spec.model is None:
            raise InvalidSetting(
                f"{spec.name}: anthropic needs the name of a model, such as claude-haiku-4-5; "
                "set model in its table, or LLM_MODEL."
            )
        self._model, self._settings = spec.model, settings
        self._options = parse(spec, AnthropicOptions)
        self._window = self._options.window or 0
        self._images = True
        self._count = LikelyCount()
        self._io: IoThread | None = None
        self._client: AnthropicClient | None = None

    @property
    def abilities(self) -> Abilities:
        """As the API tells them of the model.

        It does not continue: newer models refuse a partial answer (docs/en/api/errors, "Prefill not
        supported"), and the older ones give no promise to go on in the middle of a word.
        """
        return Abilities(
            options=OPTIONS,
            window=self._window,
            slots=0,
            images=self._images,
            reasoning=True,
            warms_up=False,
        )

    def load(self, say: Say = unsaid) -> None:
        """Asks what the model can, which also shows whether the key is good; waits for an API that
        does not answer, APEX_LOAD_TIMEOUT_S at most.

        Raises:
            BackendError: the API does not answer, or not for this key and model.
        """
        from workers.backends.anthropic.client import AnthropicClient

        quiet_http()
        self._client = AnthropicClient(self._model, self._options, self._settings)
        self._io = IoThread("anthropic")
        try:
            asking = until_it_answers(self._client.facts, self._settings.load_timeout_s, say)
            facts = self._io.run(asking)
        except BackendError:
            self.close()
            raise
        self._window = self._options.window or facts.window
        self._images = facts.images

    def count_tokens(self, request: Request) -> int:
        """An estimate that learns from the API's counts. The API would count before each job too,
        but that is a round trip, and it tells its count with the answer's first bytes anyway.
        """
        return self._count.of(request)

    def stream(self, run: Run) -> Iterator[Piece]:
        """Yields what the API sends, some tokens at a time.

        Raises:
            InvalidRequest: the request has something that the API has no form for.
            BackendError: or one of its kinds, in Anthropic's words.
        """
        from workers.backends.anthropic.answer import AnthropicAnswer

        io, client = self._loaded
        body = body_of(run, self._model, self._options, self._settings)
        events = io.iterate(client.events(body), run.stop)
        any_json = wants_any_json(run.request)
        answer = AnthropicAnswer(run.max_tokens, client.where, any_json=any_json)
        with closing(events):
            try:
                for piece in answer.pieces(events):
                    if piece.prompt_tokens:
                        self._count.learn(run.request, piece.prompt_tokens)
                    yield piece
            except BackendError:
                if not run.stop.is_set():  # an answer that was stopped has no end
                    raise

    def forget(self, tenant: str, session_id: str | None = None) -> None:
        """It keeps nothing; the provider's cache ends by itself, after ``cache_ttl``."""

    def health(self) -> str:
        """Whether the API answers for this key and model."""
        if self._client is None or self._io is None:
            return "The model is not loaded."
        asked = self._io.start(self._client.facts())
        try:
            asked.result(HEALTH_S)
        except BackendError as error:
            return error.message
        except TimeoutError:
            asked.cancel()
            return f"{self._client.where} does not answer in {HEALTH_S:g} s."
        return ""

    def close(self) -> None:
        """Closes the connections."""
        if self._io is not None and self._client is not None:
            self._io.run(self._client.close())
            self._io.close()
        self._io = self._client = None

    @property
    def _loaded(self) -> tuple[IoThread, AnthropicClient]:
        if self._io is None or self._client is None:
            raise BackendError(self.health(), backend="anthropic", retriable=False)
        return self._io, self._client
