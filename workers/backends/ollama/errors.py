"""What Ollama says when something is wrong, as our errors.

Its errors are ``{"error": "…"}`` with a status; in the midst of an answer they are a line of the
same form (docs.ollama.com/api/errors).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ledger.errors import (
    BackendAuth,
    BackendError,
    ContextTooLong,
    ModelNotFound,
    RateLimited,
    ServerAway,
)
from workers.backends.servers.passing import may_pass
from workers.backends.servers.retry_after import BUSY_S, retry_after_s
from workers.backends.servers.unreached import unreached

BACKEND = "ollama"

# "the input length exceeds the context length"; "request (4476 tokens) exceeds the available
# context size (4096 tokens)"; "prompt too long; exceeded max context length by 12 tokens"
_TOO_LONG = re.compile(r"exceed.*context (length|size|window)|prompt (is )?too long", re.IGNORECASE)
_NO_MODEL = re.compile(r"model .* not found|file does not exist", re.IGNORECASE)


def refusal(
    status: int, said: str, *, where: str, model: str, headers: Mapping[str, str] | None = None
) -> BackendError:
    """The error of an answer that is one.

    Args:
        status: HTTP status; 0 in the midst of an answer, where there is none.
        said: Ollama's words, in short.
        where: the server, for the sentence.
        model: the one that was asked.
        headers: of the answer.
    """
    facts: dict[str, Any] = {"backend": BACKEND, "said": said}
    if _TOO_LONG.search(said) or status == 413:
        return ContextTooLong(
            f"The prompt does not fit the window ({said}); shorten it or raise num_ctx.", **facts
        )
    if status == 402:
        return BackendAuth(unpaid=True, **facts)
    if status in (401, 403):
        return BackendAuth(
            f"Ollama at {where} does not accept the request ({said}); check api_key.", **facts
        )
    if status == 404 or (status in (0, 400) and _NO_MODEL.search(said)):
        return ModelNotFound(
            f"Ollama at {where} does not have the model {model!r} ({said}); "
            f"run `ollama pull {model}`, or set pull = true.",
            model=model,
            **facts,
        )
    if status in (429, 503):  # 503: more requests wait than its OLLAMA_MAX_QUEUE
        wait_s = retry_after_s(headers or {}) or BUSY_S
        return RateLimited(retry_after_s=wait_s, **facts)
    in_the_midst = status == 0
    return BackendError(
        f"Ollama at {where} failed ({said}).", retriable=in_the_midst or may_pass(status), **facts
    )


def unreachable(where: str, reason: str, cause: Exception | None = None) -> BackendError:
    """The error of a server that does not answer, or stops in the midst of it; ``reason``: in
    short. ``cause``: what the HTTP client raised.
    """
    kind = ServerAway if unreached(cause) else BackendError
    return kind(
        f"Ollama at {where} does not answer ({reason}); "
        "start it with `ollama serve`, or check base_url.",
        backend=BACKEND,
        retriable=True,
        retry_after_s=BUSY_S,
    )
