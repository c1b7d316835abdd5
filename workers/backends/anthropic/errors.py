"""What Anthropic's API says when something is wrong, as our errors.

By the error's type, which stands in the body also in the midst of a stream, where there is no
status (platform.claude.com/docs/en/api/errors).
"""

from __future__ import annotations

import re
from typing import Any

import anthropic

from ledger.errors import (
    BackendAuth,
    BackendError,
    ContentRefused,
    ContextTooLong,
    ModelNotFound,
    RateLimited,
    ServerAway,
)
from workers.backends.servers.passing import OVERLOADED, asked_again_after_s, may_pass
from workers.backends.servers.retry_after import BUSY_S, retry_after_s
from workers.backends.servers.said import in_short
from workers.backends.servers.too_large import too_large
from workers.backends.servers.unreached import AWAY, LOST, unreached

BACKEND = "anthropic"

# Where the body is not the API's own, as from a proxy, or a server that has types of its own.
_TYPE_OF = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}
_KEY = {"authentication_error", "permission_error", "billing_error"}
# An empty account is told as an invalid request, too.
_UNPAID = re.compile(r"credit balance is too low|specified API usage limits", re.IGNORECASE)
_PASSES = {"overloaded_error", "api_error", "timeout_error"}

# "prompt is too long: 211180 tokens > 200000 maximum"; "input length and `max_tokens` exceed
# context limit: 178959 + 64000 > 200000, …"; vLLM: "This model's maximum context length is …"
_TOO_LONG = re.compile(
    r"prompt is too long|exceed context limit|maximum context length", re.IGNORECASE
)
_SIZES = re.compile(r"(\d+)(?: tokens| \+ \d+) > (\d+)")
_BLOCKED = re.compile(r"content filtering policy", re.IGNORECASE)


def error_of(error: Exception, *, where: str, model: str, key: str) -> BackendError:
    """The error that ``error`` of the SDK or of its HTTP client means.

    Args:
        where: the server, for the sentence.
        model: the one that was asked.
        key: is in no sentence.
    """
    if isinstance(error, anthropic.APIStatusError):
        return _told(error, where, model, key)
    if isinstance(error, anthropic.CredentialsError):
        return no_key(str(error), key)
    reason = in_short(str(error.__cause__ or error) or type(error).__name__, key)
    return unreachable(where, reason, error)


def unreachable(where: str, reason: str, cause: Exception | None = None) -> BackendError:
    """The error of a server that does not answer, or stops in the midst of it; ``reason``: in
    short. ``cause``: what the SDK raised.
    """
    kind, words = (ServerAway, AWAY) if unreached(cause) else (BackendError, LOST)
    return kind(
        words.format(where=where, why=reason),
        backend=BACKEND,
        retriable=True,
    )


def no_key(said: str, key: str = "") -> BackendAuth:
    """The error of an SDK that has no key, or cannot get one."""
    return BackendAuth(backend=BACKEND, said=in_short(said, key), retriable=False)


def refused(said: str) -> ContentRefused:
    """The error of a model that declines."""
    return ContentRefused(backend=BACKEND, said=in_short(said), retriable=False)


def _told(error: anthropic.APIStatusError, where: str, model: str, key: str) -> BackendError:
    status = error.status_code
    kinds = {error.type, _TYPE_OF.get(status)}
    said = in_short(error.api_message or error.message, key)
    facts: dict[str, Any] = {"backend": BACKEND, "said": said, "retriable": False}
    unpaid = "billing_error" in kinds or _UNPAID.search(said) is not None
    if unpaid or kinds & _KEY:
        return BackendAuth(unpaid=unpaid, **facts)
    if "not_found_error" in kinds:
        return ModelNotFound(model=model, **facts)
    never = "rate_limit_error" in kinds and too_large(said)
    if "rate_limit_error" in kinds and not never:
        wait_s = retry_after_s(error.response.headers) or BUSY_S
        return RateLimited(**facts | {"retriable": True, "retry_after_s": wait_s})
    if never or _TOO_LONG.search(said) or "request_too_large" in kinds:
        sizes = _SIZES.search(said)
        if sizes:
            facts |= {"prompt_tokens": int(sizes[1]), "window": int(sizes[2])}
        return ContextTooLong(
            f"The prompt does not fit the model's window ({said}); shorten it, or lower "
            "max_tokens.",
            **facts,
        )
    if _BLOCKED.search(said):
        return ContentRefused(**facts)
    in_the_midst = status < 400 and error.type != "invalid_request_error"
    if kinds & _PASSES or in_the_midst or may_pass(status):
        sent = OVERLOADED if "overloaded_error" in kinds else status
        wait = {"retry_after_s": asked_again_after_s(sent, error.response.headers)}
        return BackendError(f"{where} failed ({said}).", **facts | {"retriable": True} | wait)
    return BackendError(f"{where} does not take the request ({said}); change it.", **facts)
