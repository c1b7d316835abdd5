"""A model behind three calls: generate, chat, health_check. All of it goes through the queue."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import routing
from ledger.errors import NoInstance, UnknownModel
from ledger.messages import Result
from ledger.overview import read_entries
from producer.aio import AsyncLLMClient
from producer.awaited import send_and_wait
from producer.llm_config import LLMConfig
from routing.registry import Entry

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LLMResponse:
    """An answer. ``tokens_used``: prompt and completion together; of one from the cache those that
    it once cost. ``result`` is the whole record.
    """

    content: str
    tokens_used: int
    cached: bool
    finish_reason: str
    result: Result


def get_llm_client(config: LLMConfig | None = None) -> ModelClient:
    """A client of the configured model; without a ``config`` the environment says which.

    Raises:
        InvalidSetting, UnknownBackend
    """
    return ModelClient(config or LLMConfig())


class ModelClient:
    """Asks one model. It belongs to the event loop that first used it."""

    def __init__(self, config: LLMConfig) -> None:
        self.config = config
        self._client = AsyncLLMClient(config.settings, tenant=config.tenant)
        self._found = not (config.names_backend or config.settings.stub)
        self._model = config.model if self._found else None

    async def generate(
        self, prompt: str, system_prompt: str | None = None, **options: Any
    ) -> LLMResponse:
        """Answers a prompt. If the awaiting task is cancelled, so is the job.

        Args:
            prompt: the text.
            system_prompt: what the model is told before it.
            options: further ones of :class:`ledger.messages.Request`, before those of the config.

        Raises:
            What :meth:`producer.client.LLMClient.complete` raises.
        """
        if system_prompt is None:
            return await self._ask(prompt=prompt, **options)
        told = {"role": "system", "content": system_prompt}
        return await self.chat([told, {"role": "user", "content": prompt}], **options)

    async def chat(self, messages: Iterable[Mapping[str, Any]], **options: Any) -> LLMResponse:
        """Answers a conversation of ``{"role": …, "content": …}``; else as :meth:`generate`."""
        return await self._ask(messages=tuple(messages), **options)

    async def health_check(self) -> bool:
        """Whether Redis answers and a living instance is ready that serves the model, and does not
        rest because its provider takes no requests or its server is away.

        Never raises: what is wrong is in the log.
        """
        try:
            names = [entry.name for entry in await self._entries() if self._is_well(entry)]
            found = await self._client._ledger.run(read_entries(names))
        except Exception as error:  # noqa: BLE001  whoever asks wants yes or no
            log.warning("no health: %s", error)
            return False
        return any(not one.rest_s for one in found)

    async def close(self) -> None:
        """Gives the connections back."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, **request: Any) -> LLMResponse:
        config = self.config
        asked = {"agent_id": config.agent_id, **config.options, **request}
        if "model" not in asked:
            asked["model"] = await self._model_to_ask()
        result = await send_and_wait(self._client, self._client.order(**asked))
        return LLMResponse(
            content=result.text,
            tokens_used=result.usage.total_tokens,
            cached=result.cached,
            finish_reason=result.finish_reason,
            result=result,
        )

    async def _model_to_ask(self) -> str | None:
        """The model of the configured backend, or of a stub; looked up once."""
        if not self._found:
            self._model, self._found = _model_of(await self._entries(), self.config), True
        return self._model

    async def _entries(self) -> tuple[Entry, ...]:
        registry = await self._client._ledger.run(routing.read_registry())
        return registry.entries

    def _is_well(self, entry: Entry) -> bool:
        there = entry.state == "ready" and not entry.closed and not entry.quiet
        heard = entry.absent_s < self.config.settings.lease_s
        return there and heard and _serves(entry, self.config)


def _serves(entry: Entry, config: LLMConfig) -> bool:
    if config.settings.stub:
        return True
    backend, model = entry.descriptor.backend, entry.descriptor.model
    return (not config.names_backend or backend == config.backend) and (
        config.model is None or model == config.model
    )


def _model_of(entries: Iterable[Entry], config: LLMConfig) -> str | None:
    """The model of the config, which an instance with its backend has; None: any instance's, where
    stubs stand for a model that none of them is named after.

    Raises:
        NoInstance: no instance has that backend.
        UnknownModel: those that have it serve others.
    """
    served = sorted(
        entry.descriptor.model for entry in entries if entry.descriptor.backend == config.backend
    )
    if config.settings.stub:
        return config.model if config.model in served else None
    if not served:
        raise NoInstance(
            f"No instance has the backend {config.backend}: start one with "
            f"`LLM_BACKEND={config.backend} celery -A workers worker -Q inst0`; "
            "nothing was enqueued."
        )
    if config.model is None:
        return served[0]
    if config.model not in served:
        raise UnknownModel(model=config.model, known=", ".join(dict.fromkeys(served)))
    return config.model
