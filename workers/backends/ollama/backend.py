"""Models that an Ollama server runs. See docs/backends.md.

The server applies the model's template and its cache; closing the connection makes it stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ledger.errors import BackendError, BackendMissing, InvalidSetting, ModelNotFound
from ledger.messages import Request
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Abilities, Piece, Run, Say, unsaid
from workers.backends.ollama.answer import OllamaAnswer
from workers.backends.ollama.options import OllamaOptions
from workers.backends.ollama.pull import pull
from workers.backends.ollama.request import Asking
from workers.backends.options import parse
from workers.backends.servers.io_thread import IoThread
from workers.backends.servers.likely_count import LikelyCount
from workers.backends.servers.patience import until_it_answers
from workers.backends.servers.quiet_http import quiet_http

if TYPE_CHECKING:
    from workers.backends.ollama.client import OllamaClient

OPTIONS = frozenset(
    {"temperature", "top_p", "top_k", "stop", "seed", "logprobs", "response_format", "tools"}
)
HEALTH_S = 5.0


class OllamaBackend:
    """One model on one server."""

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        """Reads the options; nothing is asked.

        Raises:
            InvalidSetting: an option is unknown or has a bad value, or no model is named.
            BackendMissing: the package ``ollama`` is not installed.
        """
        if find_spec("ollama") is None:
            raise BackendMissing(backend="ollama", extra="ollama")
        if spec.model is None:
            raise InvalidSetting(
                f"{spec.name}: ollama needs the name of a model, such as qwen2.5:1.5b; "
                "set model in its table, or LLM_MODEL."
            )
        self._model, self._settings = spec.model, settings
        self._options = parse(spec, OllamaOptions)
        self._asking = Asking(self._model, self._options, settings)
        self._window = self._options.num_ctx or settings.ctx_tokens
        self._can: frozenset[str] = frozenset({"tools", "vision", "thinking"})
        self._count = LikelyCount()
        self._io: IoThread | None = None
        self._client: OllamaClient | None = None

    @property
    def abilities(self) -> Abilities:
        """As the server tells them of the model; a raw prompt has no messages, so none of theirs.

        It continues where the text so far is sure to be read as the answer's beginning.
        """
        raw = self._options.raw
        lacks = {"tools"} if raw or "tools" not in self._can else set()
        return Abilities(
            continues=raw or self._options.prefill,
            options=OPTIONS - lacks,
            window=self._window,
            slots=0,
            chat=not raw,
            images="vision" in self._can and not raw,
            reasoning="thinking" in self._can,
            anew_with=frozenset({"response_format", "tools"}),  # their parsers would begin anew
            warms_up=False,
        )

    def load(self, say: Say = unsaid) -> None:
        """Asks what the model can; downloads it first where it is not there and ``pull`` is set.
        Waits for a server that does not answer, APEX_LOAD_TIMEOUT_S at most.

        Raises:
            BackendError: the server does not answer, or does not have the model.
        """
        from workers.backends.ollama.client import OllamaClient

        quiet_http()
        base_url = self._options.base_url or self._settings.api_base
        self._client = OllamaClient(base_url, self._options.api_key, self._model)
        self._io = IoThread("ollama")
        try:
            asking = partial(self._facts, self._client, say)
            most_s = self._settings.load_timeout_s
            self._know(self._io.run(until_it_answers(asking, most_s, say)))
        except BackendError:
            self.close()
            raise

    async def _facts(self, client: OllamaClient, say: Say) -> dict[str, Any]:
        try:
            return await client.ask("/api/show", {"model": self._model})
        except ModelNotFound:
            if not self._options.pull:
                raise
        await pull(client, self._model, say)
        return await client.ask("/api/show", {"model": self._model})

    def _know(self, facts: dict[str, Any]) -> None:
        if facts.get("capabilities") is not None:  # older servers do not tell
            self._can = frozenset(facts["capabilities"])
        info = facts.get("model_info") or {}
        trained = info.get(f"{info.get('general.architecture')}.context_length")
        if isinstance(trained, int) and trained > 0:
            self._window = min(self._window, trained)

    def count_tokens(self, request: Request) -> int:
        """An estimate that learns from the server's counts: it has no endpoint that counts."""
        return self._count.of(request)

    def stream(self, run: Run) -> Iterator[Piece]:
        """Yields what the server sends, about a token at a time.

        Raises:
            InvalidRequest: the request has something that Ollama has no form for.
            BackendError: or one of its kinds, in Ollama's words.
        """
        io, client = self._loaded
        lines = io.iterate(client.lines(self._asking.path, self._asking.body(run)), run.stop)
        answer = OllamaAnswer(
            run.max_tokens,
            logprobs=run.request.logprobs is not None,
            continues=bool(run.continue_from),
        )
        with closing(lines):
            try:
                for piece in answer.pieces(lines):
                    if piece.prompt_tokens:
                        self._count.learn(run.request, piece.prompt_tokens)
                    yield piece
            except BackendError:
                if not run.stop.is_set():  # an answer that was stopped has no end
                    raise

    def forget(self, tenant: str, session_id: str | None = None) -> None:
        """It keeps nothing; the server's cache has no names of sessions."""

    def health(self) -> str:
        """Whether the server answers."""
        if self._client is None or self._io is None:
            return "The model is not loaded."
        asked = self._io.start(self._client.version())
        try:
            asked.result(HEALTH_S)
        except Exception as error:  # noqa: BLE001  whatever its client raises
            asked.cancel()
            return f"Ollama at {self._client.where} does not answer ({type(error).__name__})."
        return ""

    def close(self) -> None:
        """Closes the connections."""
        if self._io is not None and self._client is not None:
            self._io.run(self._client.close())
            self._io.close()
        self._io = self._client = None

    @property
    def _loaded(self) -> tuple[IoThread, OllamaClient]:
        if self._io is None or self._client is None:
            raise BackendError(self.health(), backend="ollama", retriable=False)
        return self._io, self._client
