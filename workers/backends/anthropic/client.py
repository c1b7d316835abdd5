"""Anthropic's SDK, with its own retries off: whether a job is tried again the ledger decides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import anthropic
import httpx2

from ledger.api_key import tidy
from ledger.errors import BackendError
from ledger.settings import Settings
from workers.backends.anthropic.errors import error_of, no_key, unreachable
from workers.backends.anthropic.options import AnthropicOptions

CONNECT_S = 10.0
OWN_HOST = "api.anthropic.com"

# The SDK's own, and what it lets through of its HTTP client and of reading JSON.
_ERRORS = (anthropic.AnthropicError, httpx2.HTTPError, ValueError)


class Facts(NamedTuple):
    """What the API tells of a model: context in tokens (0: nothing), and whether it sees images."""

    window: int = 0
    images: bool = True


class AnthropicClient:
    """One server, asked about one model; to be used in one event loop.

    Raises:
        BackendAuth: the SDK is told of a key that it cannot find, or finds one that cannot be sent.
    """

    def __init__(self, model: str, options: AnthropicOptions, settings: Settings) -> None:
        key = options.api_key or settings.api_key
        base_url = options.base_url or settings.api_base
        self._model = model
        try:
            self._sdk = anthropic.AsyncAnthropic(
                api_key=key.get_secret_value() if key else None,
                base_url=base_url.rstrip("/").removesuffix("/v1") if base_url else None,
                max_retries=0,
                timeout=anthropic.Timeout(options.silence_s, connect=CONNECT_S),
            )
        except anthropic.CredentialsError as error:
            raise no_key(str(error)) from error
        sdk = self._sdk
        try:
            sdk.api_key = tidy(sdk.api_key) if sdk.api_key else None
            sdk.auth_token = tidy(sdk.auth_token) if sdk.auth_token else None
        except ValueError as error:  # one of the environment
            raise no_key(str(error)) from None
        self._key = sdk.api_key or sdk.auth_token or ""
        url = sdk.base_url
        self.where = f"{url.scheme}://{url.netloc.decode()}"

    async def facts(self) -> Facts:
        """What the API tells of the model; nothing where a server has no such endpoint.

        Raises:
            BackendError: or one of its kinds.
        """
        try:
            model = await self._sdk.models.retrieve(self._model)
        except _ERRORS as error:
            if isinstance(error, anthropic.NotFoundError) and self._sdk.base_url.host != OWN_HOST:
                return Facts()
            raise self._told(error) from error
        except TypeError as error:  # so the SDK says that it has found no key
            raise no_key("there is none") from error
        try:
            can = model.capabilities
            return Facts(model.max_input_tokens or 0, can is None or can.image_input.supported)
        except AttributeError as error:  # a page of something else, such as a proxy's
            raise unreachable(self.where, "what it sent is no model") from error

    async def events(self, body: dict[str, Any]) -> AsyncIterator[Any]:
        """The events of one answer. Closing this ends the work on the server.

        Raises:
            BackendError: or one of its kinds.
        """
        try:
            async with await self._sdk.messages.create(**body, stream=True) as stream:
                async for event in stream:
                    yield event
        except _ERRORS as error:
            raise self._told(error) from error

    async def close(self) -> None:
        """Closes the connections."""
        await self._sdk.close()

    def _told(self, error: Exception) -> BackendError:
        return error_of(error, where=self.where, model=self._model, key=self._key)
