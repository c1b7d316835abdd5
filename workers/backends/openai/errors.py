"""What the SDK raises, as errors of the contract, with the provider's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ledger.errors import (
    BackendAuth,
    BackendError,
    ContentRefused,
    ContextTooLong,
    ModelNotFound,
    RateLimited,
    ServerAway,
)
from workers.backends.openai.error_body import ErrorBody
from workers.backends.servers.passing import asked_again_after_s, may_pass
from workers.backends.servers.retry_after import BUSY_S, LONGEST_S, retry_after_s
from workers.backends.servers.said import in_short
from workers.backends.servers.too_large import too_large
from workers.backends.servers.unreached import AWAY, LOST, unreached

_TOO_LONG_CODES = ("context_length_exceeded", "exceed_context_size_error")
_REFUSED_CODES = ("content_filter", "content_policy_violation", "moderation_blocked")
_UNPAID_CODES = (
    *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active"),
    "exceeded_current_quota_error",  # Moonshot's
)
_MODEL_CODES = ("model_not_found",)

# "Please try again in 1.242s", "… in 20ms", "… in 6m0s": how OpenAI words what its headers say too.
# "Please retry in 36.4s": Google's, whose headers do not say it.
_AGAIN_IN = re.compile(r"(?:try again|retry) in\s+((?:\d+(?:\.\d+)?(?:ms|s|m|h))+)", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Errors:
    """Errors of one instance's backend."""

    def __init__(self, backend: str, model: str, key: str) -> None:
        self._facts = {"backend": backend}
        self._model, self._key = model, key

    def of(self, error: Exception, where: str) -> BackendError:
        """The error that ``error`` of the SDK means; ``where``: the endpoint's URL."""
        body = ErrorBody(getattr(error, "body", None), str(error))
        status = getattr(error, "status_code", None)
        if status is None and not body.is_empty:  # an error in the midst of a stream
            status = body.status
        if status is None:
            return self.lost(where, str(error) or type(error).__name__, error.__cause__)
        response = getattr(error, "response", None)
        headers = response.headers if response is not None else {}
        return self._told(int(status), body, headers, where)

    def lost(self, where: str, why: str, cause: BaseException | None = None) -> BackendError:
        """The connection to ``where`` was lost, or could not be made."""
        said = self._clean(str(cause or "") or why)
        kind, words = (ServerAway, AWAY) if unreached(cause) else (BackendError, LOST)
        return kind(
            words.format(where=where, why=said),
            retriable=True,
            lost=True,
            **self._facts,
        )

    def refused(self, words: str) -> ContentRefused:
        """The model or a filter declined to answer."""
        return ContentRefused(said=self._clean(words), retriable=False, **self._facts)

    def _told(
        self, status: int, body: ErrorBody, headers: Mapping[str, str], where: str
    ) -> BackendError:
        said, after_s = self._clean(body.words), retry_after_s(headers)
        facts: dict[str, Any] = {"said": said, "retriable": False, **self._facts}
        too_long = status == 413 or (status in (400, 422) and body.says_too_long)
        if too_long or _any(body.kinds, _TOO_LONG_CODES):
            return ContextTooLong(
                f"The prompt does not fit the model's window ({said}); shorten it.", **facts
            )
        if _any(body.kinds, _REFUSED_CODES):
            return ContentRefused(**facts)
        if status == 404 or _any(body.kinds, _MODEL_CODES):
            return ModelNotFound(model=self._model, **facts)
        in_flight = status == 402 and after_s is not None  # OpenRouter's: what runs is paid first
        unpaid = (status == 402 and not in_flight) or _any(body.kinds, _UNPAID_CODES)
        if unpaid or status in (401, 403) or (status == 400 and body.says_wrong_key):
            return BackendAuth(**facts, unpaid=unpaid)
        if status == 429 and too_large(said):
            return ContextTooLong(
                f"The request is larger than the provider's limit ({said}); shorten it, or lower "
                "max_tokens.",
                **facts,
            )
        if status == 429 or in_flight:
            pause_s = after_s or in_words(body.words) or BUSY_S
            facts |= {"retriable": True, "retry_after_s": round(pause_s, 3)}
            return RateLimited(**facts)
        if status == 503 and "loading model" in said.lower():  # llama.cpp's, which listens at once
            facts |= {"retriable": True, "lost": True}
            return ServerAway(f"{where} is not ready yet ({said}).", **facts)
        if may_pass(status):
            facts["retriable"] = True
            if (wait_s := asked_again_after_s(status, headers)) is not None:
                facts["retry_after_s"] = round(wait_s, 3)
            return BackendError(f"{where} failed with the status {status} ({said}).", **facts)
        return BackendError(f"{where} does not take the request ({said}); change it.", **facts)

    def _clean(self, words: str) -> str:
        return in_short(words, self._key)


def in_words(words: str) -> float | None:
    """Seconds, where a provider's sentence says when to try again."""
    found = _AGAIN_IN.search(words)
    if found is None:
        return None
    wait_s = sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(found[1]))
    return min(wait_s, LONGEST_S) or None


def _any(kinds: list[str], known: tuple[str, ...]) -> bool:
    return any(kind in known for kind in kinds)
