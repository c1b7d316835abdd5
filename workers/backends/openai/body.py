"""A request in the form of OpenAI's API."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from ledger.messages import ChatMessage, Request
from ledger.settings import Settings
from workers.backends.base import Run
from workers.backends.extra_content import ANTHROPIC, OPENAI, without_extra
from workers.backends.openai.dialect import Dialect
from workers.backends.openai.options import OpenAIOptions
from workers.backends.openai.thoughts import thoughts_in


class Body:
    """Makes the bodies of one instance's requests."""

    def __init__(
        self,
        model: str,
        options: OpenAIOptions,
        dialect: Dialect,
        settings: Settings,
        *,
        key: str,
        host: str,
    ) -> None:
        """
        Args:
            key: for the API; makes what tenants salt the server's cache with unguessable.
            host: the servers', which get their own thoughts back.
        """
        self._model, self._options, self._dialect = model, options, dialect
        self._sampling = {
            name: getattr(settings, name)
            for name in ("temperature", "top_p")
            if dialect.defaults or name in settings.model_fields_set
        }
        self._key, self._host = key, host

    def of(
        self, run: Run, so_far: str, most: int, tokens: list[int] | None = None
    ) -> dict[str, Any]:
        """The body that asks for at most ``most`` tokens, after ``so_far``. With all ``tokens`` up
        to there it is one of the completions API, whichever the instance has.
        """
        request, dialect = run.request, self._dialect
        chat = self._options.api == "chat" and tokens is None
        usage: dict[str, Any] = {"include_usage": True}
        if dialect.counts_along:
            usage["continuous_usage_stats"] = True
        return {
            **self._sampling,
            **(self._input(request, so_far) if tokens is None else {"prompt": tokens}),
            **self._sampled(request, chat=chat),
            **self._extended(run),
            "model": self._model,
            "stream": True,
            "stream_options": usage,
            dialect.most_tokens if chat else "max_tokens": most,
            **self._options.extra_body,
        }

    def _input(self, request: Request, so_far: str) -> dict[str, Any]:
        if self._options.api == "completions":
            return {"prompt": (request.prompt or "") + so_far}
        messages = messages_of(request, self._host)
        if not so_far:
            return {"messages": messages}
        body: dict[str, Any] = {"messages": [*messages, {"role": "assistant", "content": so_far}]}
        if self._dialect.extended:
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        return body

    def _sampled(self, request: Request, *, chat: bool) -> dict[str, Any]:
        names = (
            *("temperature", "top_p", "top_k", "seed", "logit_bias"),
            *("response_format", "tools", "tool_choice"),
        )
        given = {name: getattr(request, name) for name in names}
        body = {name: value for name, value in given.items() if value is not None}
        if request.stop:
            body["stop"] = list(request.stop)
        if request.logprobs is not None:
            asked = {"logprobs": True, "top_logprobs": request.logprobs}
            body |= asked if chat else {"logprobs": request.logprobs}
        return body

    def _extended(self, run: Run) -> dict[str, Any]:
        """What vLLM takes: an id for its log, and a prefix cache that tenants do not share."""
        if not self._dialect.extended:
            return {}
        secret = f"{run.request.tenant}\x00{self._key}"
        body: dict[str, Any] = {
            # A server refuses an id that it still works on, as of an answer that was just stopped.
            "request_id": f"{run.job_id}-{run.attempt}-{secrets.token_hex(3)}",
            "cache_salt": hashlib.sha256(secret.encode()).hexdigest(),
        }
        if len(self._options.endpoints) > 1:  # another one can go on from exactly these
            body["return_token_ids"] = True
        if self._options.priority:
            body["priority"] = int(run.request.priority)
        return body


def messages_of(request: Request, host: str) -> list[dict[str, Any]]:
    """The request as messages, in its own order: what stays the same from one to the next of a
    session comes first, so that a server's prefix cache has it.
    """
    if request.prompt is not None:
        return [{"role": "user", "content": request.prompt}]
    return [_message(one, host) for one in request.messages or ()]


def _message(given: ChatMessage, host: str) -> dict[str, Any]:
    plain = without_extra(without_extra(given, ANTHROPIC), OPENAI)
    return plain.model_dump(mode="json", exclude_defaults=True) | thoughts_in(given, host)
