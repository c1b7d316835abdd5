"""Ollama's own client, with answers as the server sends them.

The client's types leave out what they do not know: ids of tool calls, nested schemas of tools, how
much of a prompt was cached, the status of an error in the midst of an answer. It also takes a path
in an image for a file to be read here. So it is used for where the server is and how to speak to
it, and bodies go and come as they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import ollama
from pydantic import SecretStr

from ledger.api_key import tidy
from ledger.errors import BackendAuth, BackendError
from workers.backends.ollama import errors as ollama_errors
from workers.backends.servers.said import in_short

CONNECT_S = 10.0


class OllamaClient(ollama.AsyncClient):
    """One server, asked about one model; to be used in one event loop.

    Raises:
        BackendAuth: the environment has a key that cannot be sent.
    """

    def __init__(self, base_url: str | None, api_key: SecretStr | None, model: str) -> None:
        key = api_key.get_secret_value() if api_key else os.environ.get("OLLAMA_API_KEY", "")
        self._key = _tidy(key)
        headers = {"authorization": f"Bearer {self._key}"} if self._key else None
        # No limit on reading: a long prompt on a slow machine takes minutes until the first token.
        timeout = httpx.Timeout(None, connect=CONNECT_S)
        # Without the path of its OpenAI-compatible API, which LLM_API_BASE may have.
        host = base_url.rstrip("/").removesuffix("/v1") if base_url else None
        super().__init__(host, headers=headers, timeout=timeout)
        url = self._client.base_url
        self.where = f"{url.scheme}://{url.netloc.decode()}"
        self._model = model

    async def ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The one object that the server answers with.

        Raises:
            BackendError: or one of its kinds.
        """
        answer: dict[str, Any] = {}
        async for part in self.lines(path, body):
            answer |= part
        return answer

    async def version(self) -> str:
        """The server's version, which any Ollama tells.

        Raises:
            BackendError: or one of its kinds.
        """
        return str((await self.ask("/api/version")).get("version", ""))

    async def lines(
        self, path: str, body: Mapping[str, Any] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """The objects of the answer, as they come. Closing this ends the work on the server.

        Raises:
            BackendError: or one of its kinds.
        """
        method = "GET" if body is None else "POST"
        try:
            async with self._client.stream(method, path, json=body) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise self._refusal(
                        _object(response.text), response.status_code, response.headers
                    )
                async for line in _lines(response.aiter_bytes()):
                    part = json.loads(line)
                    if part.get("error"):
                        raise self._refusal(part, int(part.get("status") or 0))
                    yield part
        except httpx.RequestError as error:
            raise ollama_errors.unreachable(
                self.where, in_short(str(error) or type(error).__name__, self._key), error
            ) from error
        except (ValueError, AttributeError) as error:
            raise ollama_errors.unreachable(self.where, "it sent what is not JSON") from error

    def _refusal(
        self, part: dict[str, Any], status: int, headers: Mapping[str, str] | None = None
    ) -> BackendError:
        return ollama_errors.refusal(
            status,
            in_short(part.get("error") or f"status {status}", self._key),
            where=self.where,
            model=self._model,
            headers=headers,
        )


def _tidy(key: str) -> str:
    try:
        return tidy(key) if key.strip() else ""
    except ValueError as error:
        raise BackendAuth(
            f"{error}; check OLLAMA_API_KEY.", backend=ollama_errors.BACKEND, said=str(error)
        ) from None


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines that end in a newline: httpx' own also end where a text has U+0085 or its like."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"error": text}
