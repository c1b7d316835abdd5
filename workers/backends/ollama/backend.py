"""Models that an Ollama server runs. See docs/backends/ollama.md.

The server applies the model's template and its cache; closing the connection makes it stop.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ledger.errors import BackendMissing, InvalidSetting, ModelNotFound
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Abilities, Run, Say
from workers.backends.ollama.answer import OllamaAnswer
from workers.backends.ollama.options import OllamaOptions
from workers.backends.ollama.pull import pull
from workers.backends.ollama.request import Asking
from workers.backends.options import parse
from workers.backends.servers.backend import ServerBackend

if TYPE_CHECKING:
    from workers.backends.ollama.client import OllamaClient

OPTIONS = frozenset(
    {"temperature", "top_p", "top_k", "stop", "seed", "logprobs", "response_format", "tools"}
)

Facts = dict[str, Any]


class OllamaBackend(ServerBackend["OllamaClient", Facts]):
    """One model on one server."""

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        """Reads the options; nothing is asked.

        Raises:
            InvalidSetting: an option is unknown or has a bad value, or no model is named.
            BackendMissing: the package ``ollama`` is not installed.
        """
        if find_spec("ollama") is None:
            raise BackendMissing(backend="ollama", extra="ollama")
        super().__init__(spec, settings, such_as="qwen2.5:1.5b")
        self._options = parse(spec, OllamaOptions)
        self._asking = Asking(self._model, self._options, settings)
        self._window = self._options.num_ctx or settings.ctx_tokens
        self._can: frozenset[str] = frozenset({"tools", "vision", "thinking"})

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

    def _connect(self) -> OllamaClient:
        from workers.backends.ollama.client import OllamaClient

        base_url = self._options.base_url or self._settings.api_base
        return OllamaClient(base_url, self._options.api_key, self._model)

    async def _facts(self, client: OllamaClient, say: Say) -> Facts:
        """Downloads the model first where it is not there and ``pull`` is set."""
        try:
            return await client.ask("/api/show", {"model": self._model})
        except ModelNotFound:
            if not self._options.pull:
                raise
        await pull(client, self._model, say)
        return await client.ask("/api/show", {"model": self._model})

    def _know(self, facts: Facts) -> None:
        if facts.get("capabilities") is not None:  # older servers do not tell
            self._can = frozenset(facts["capabilities"])
        info = facts.get("model_info") or {}
        trained = info.get(f"{info.get('general.architecture')}.context_length")
        if isinstance(trained, int) and trained > 0:
            self._window = min(self._window, trained)
        self._refuse_unknown_thinking((facts.get("thinking") or {}).get("values"))

    def _refuse_unknown_thinking(self, levels: list[Any] | None) -> None:
        """A level that a model does not have its server would pass over without a word."""
        think = self._options.think
        if isinstance(think, str) and levels and think not in levels:  # older servers name none
            known = ", ".join(json.dumps(level) for level in levels)
            raise InvalidSetting(
                f"ollama: the model {self._model!r} has no think = {json.dumps(think)}; "
                f"it has {known}."
            )

    async def _probe(self, client: OllamaClient) -> None:
        await client.version()

    def _ask(self, client: OllamaClient, run: Run) -> tuple[AsyncIterator[Any], OllamaAnswer]:
        answer = OllamaAnswer(
            run.max_tokens,
            logprobs=run.request.logprobs,
            continues=bool(run.continue_from),
        )
        return client.lines(self._asking.path, self._asking.body(run)), answer
