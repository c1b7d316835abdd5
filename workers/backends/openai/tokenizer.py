"""What a server's own tokenizer says: how long a prompt is, and which tokens it has.

vLLM and llama-cpp-python's server have pages for it beside OpenAI's API.
"""

from __future__ import annotations

import logging
from typing import Any

import openai

from ledger.messages import Request
from workers.backends.openai.body import messages_of
from workers.backends.openai.dialect import Dialect
from workers.backends.openai.endpoints import Endpoint
from workers.backends.openai.options import OpenAIOptions

log = logging.getLogger(__name__)

COUNT_S = 1.0
TOKENS_S = 10.0


class Tokenizer:
    """Asks the servers of one instance."""

    def __init__(self, model: str, options: OpenAIOptions, dialect: Dialect, host: str) -> None:
        """``host``: the servers', which read their own thoughts again."""
        self._host = host
        self._model, self._options, self._dialect = model, options, dialect

    async def count(self, endpoint: Endpoint, request: Request) -> int | None:
        """The prompt's tokens; None where the server cannot be asked, or does not answer soon."""
        kind, api = self._dialect.tokenizer, self._options.api
        if not kind or request.images or (api == "completions" and request.prompt is None):
            return None
        if kind == "vllm":
            answer = await self._ask(endpoint, "/tokenize", self._prompt(request), COUNT_S)
        elif api == "completions":
            body = {"input": request.prompt}
            answer = await self._ask(endpoint, "/extras/tokenize/count", body, COUNT_S)
        else:
            return None
        return int(answer["count"]) if answer and "count" in answer else None

    async def up_to(self, endpoint: Endpoint, request: Request, so_far: str) -> list[int] | None:
        """All tokens up to the end of a partial answer; None where a server of this kind cannot
        go on from them, or would not tell tools' calls apart then.
        """
        if self._dialect.tokenizer != "vllm" or self._options.api != "chat":
            return None
        if request.images or request.tools:
            return None
        before = await self._ask(endpoint, "/tokenize", self._prompt(request), TOKENS_S)
        body = {"prompt": so_far, "add_special_tokens": False}
        made = await self._ask(endpoint, "/tokenize", body, TOKENS_S)
        if not before or not made or "tokens" not in before or "tokens" not in made:
            return None
        return [*before["tokens"], *made["tokens"]]

    async def text_of(self, endpoint: Endpoint, tokens: list[int]) -> str | None:
        """The text that tokens are of; None where the server does not say."""
        answer = await self._ask(endpoint, "/detokenize", {"tokens": tokens}, TOKENS_S)
        return str(answer.get("prompt")) if answer else None

    def _prompt(self, request: Request) -> dict[str, Any]:
        if self._options.api == "completions":
            return {"prompt": request.prompt}
        body: dict[str, Any] = {"messages": messages_of(request, self._host)}
        if request.tools:
            body["tools"] = list(request.tools)
        rendering = self._options.extra_body.get("chat_template_kwargs")
        return body if rendering is None else {**body, "chat_template_kwargs": rendering}

    async def _ask(
        self, endpoint: Endpoint, path: str, body: dict[str, Any], most_s: float
    ) -> dict[str, Any] | None:
        url = endpoint.url.removesuffix("/v1") + path
        try:
            answer = await endpoint.client.post(
                url,
                cast_to=object,
                body={"model": self._model, **body},
                options={"timeout": most_s},
            )
        except (openai.OpenAIError, ValueError) as error:
            log.info("%s does not count tokens: %s", endpoint.where, type(error).__name__)
            return None
        return answer if isinstance(answer, dict) else None
