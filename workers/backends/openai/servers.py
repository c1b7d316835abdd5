"""The servers of one instance, by the official SDK, and whether they are there."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import openai

from ledger.errors import BackendAuth, BackendError
from workers.backends.openai.berths import Berths
from workers.backends.openai.endpoints import Endpoint, Endpoints
from workers.backends.openai.errors import Errors
from workers.backends.openai.options import OpenAIOptions
from workers.backends.openai.proxy import proxy_of
from workers.backends.servers.quiet_http import quiet_http

log = logging.getLogger(__name__)

PROBE_S = 5.0

# A host that is gone without a word is noticed after 25 s.
KEEPALIVE = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 10),
    (socket.IPPROTO_TCP, "TCP_KEEPALIVE", 10),  # macOS' name for the one before
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 5),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
)


class Servers:
    """All methods are for the loop in which it was made."""

    def __init__(
        self, urls: Sequence[str], key: str, options: OpenAIOptions, errors: Errors
    ) -> None:
        quiet_http()
        self._options, self._errors = options, errors
        counted = len(urls) > 1 or options.max_concurrent is not None
        self.endpoints = Endpoints(
            [
                Endpoint(
                    url,
                    _client(url, key, options, alone=len(urls) == 1),
                    Berths(url, options.max_concurrent) if counted else None,
                )
                for url in urls
            ],
            self.probe,
        )

    async def models(self) -> list[Mapping[str, Any]]:
        """What the first server lists that answers and has a list.

        Raises:
            BackendAuth: none does, and one does not accept the key.
            BackendError: none does.
        """
        answers = await asyncio.gather(*(self._models(one) for one in self.endpoints))
        lists = [answer for answer in answers if isinstance(answer, list)]
        if lists:
            return next((one for one in lists if one), [])
        errors = [answer for answer in answers if isinstance(answer, BackendError)]
        raise next((error for error in errors if not error.retriable), errors[0])

    async def probe(self, endpoint: Endpoint) -> BackendError | None:
        """The error if a server does not answer."""
        answer = await self._models(endpoint)
        return answer if isinstance(answer, BackendError) else None

    async def troubles(self) -> list[BackendError]:
        """The errors of all servers, if none of them answers."""
        found = await asyncio.gather(*(self.probe(one) for one in self.endpoints))
        errors = [error for error in found if error is not None]
        return errors if len(errors) == len(found) else []

    async def close(self) -> None:
        """Closes all connections."""
        await self.endpoints.close()

    async def _models(self, endpoint: Endpoint) -> list[Mapping[str, Any]] | BackendError:
        """What a server lists; nothing where it has no list, or none for this key, which may be
        good for answers all the same; or the error if it does not answer.
        """
        try:
            page = await endpoint.client.models.list(timeout=PROBE_S)
            return [one.model_dump() for one in page.data or ()]
        except openai.OpenAIError as error:
            told = self._errors.of(error, endpoint.where)
            if told.facts.get("unpaid") or isinstance(error, openai.PermissionDeniedError):
                return []
        except Exception as error:  # noqa: BLE001  a page of something else, such as a proxy's
            log.info("%s lists no models: %s", endpoint.where, type(error).__name__)
            told = self._errors.lost(endpoint.where, "what it sent is no list of models")
        return told if told.retriable or isinstance(told, BackendAuth) else []


def _client(url: str, key: str, options: OpenAIOptions, *, alone: bool) -> Any:
    timeout = openai.Timeout(options.silence_s, connect=options.connect_timeout_s)
    more: dict[str, Any] = {}
    if not alone:
        transport = httpx2.AsyncHTTPTransport(proxy=proxy_of(url), socket_options=_socket_options())
        more["http_client"] = openai.DefaultAsyncHttpxClient(transport=transport, timeout=timeout)
    return openai.AsyncOpenAI(
        api_key=key,
        base_url=url,
        organization=options.organization,
        project=options.project,
        timeout=timeout,
        max_retries=0,
        **more,
    )


def _socket_options() -> list[tuple[int, int, int]]:
    return [
        (level, getattr(socket, name), value)
        for level, name, value in KEEPALIVE
        if hasattr(socket, name)
    ]
