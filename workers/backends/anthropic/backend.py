"""Claude by Anthropic's Messages API, and servers that speak it. See docs/backends/anthropic.md."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ledger.errors import BackendMissing
from ledger.settings import InstanceSpec, Settings
from workers.backends.anthropic.options import AnthropicOptions
from workers.backends.anthropic.request import body_of
from workers.backends.anthropic.tools import wants_any_json
from workers.backends.base import Abilities, Run, Say
from workers.backends.options import parse
from workers.backends.servers.backend import ServerBackend

if TYPE_CHECKING:
    from workers.backends.anthropic.answer import AnthropicAnswer
    from workers.backends.anthropic.client import AnthropicClient, Facts

OPTIONS = frozenset(
    {"temperature", "top_p", "top_k", "stop", "response_format", "tools", "tool_choice"}
)


class AnthropicBackend(ServerBackend["AnthropicClient", "Facts"]):
    """One model of one provider."""

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        """Reads the options; nothing is asked.

        Raises:
            InvalidSetting: an option is unknown or has a bad value, or no model is named.
            BackendMissing: the package ``anthropic`` is not installed.
        """
        if find_spec("anthropic") is None:
            raise BackendMissing(backend="anthropic", extra="anthropic")
        super().__init__(spec, settings, such_as="claude-haiku-4-5")
        self._options = parse(spec, AnthropicOptions)
        self._window = self._options.window or 0
        self._images = True

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

    def _connect(self) -> AnthropicClient:
        from workers.backends.anthropic.client import AnthropicClient

        return AnthropicClient(self._model, self._options, self._settings)

    async def _facts(self, client: AnthropicClient, say: Say) -> Facts:
        return await client.facts()

    def _know(self, facts: Facts) -> None:
        self._window = self._options.window or facts.window
        self._images = facts.images

    async def _probe(self, client: AnthropicClient) -> None:
        await client.facts()

    def _ask(self, client: AnthropicClient, run: Run) -> tuple[AsyncIterator[Any], AnthropicAnswer]:
        from workers.backends.anthropic.answer import AnthropicAnswer

        body = body_of(run, self._model, self._options, self._settings)
        any_json = wants_any_json(run.request)
        return client.events(body), AnthropicAnswer(run.max_tokens, client.where, any_json=any_json)
