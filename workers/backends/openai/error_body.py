"""The body of an error, in whichever of the forms servers give it."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Where a server has no code for it: vLLM, llama.cpp, LM Studio, Google, xAI, SGLang, Anthropic in
# this order.
_TOO_LONG = re.compile(
    r"maximum context length|exceeds? (?:the )?(?:available )?context|context (?:window|length) of"
    r"|greater than the context length|longer than the maximum model length"
    r"|context size has been exceeded|exceeds the maximum number of tokens|maximum prompt length"
    r"|longer than the model's context|prompt is too long",
    re.IGNORECASE,
)
# Where a wrong key is told as a bad request: Google, xAI.
_WRONG_KEY = re.compile(r"api key not valid|incorrect api key", re.IGNORECASE)
_FLAGGED = ("reasons", "flagged_input")  # OpenRouter's word on a request that a filter stopped


class ErrorBody:
    """What it says: ``words`` for people, and ``kinds``, its codes and types."""

    def __init__(self, given: object, otherwise: str) -> None:
        """
        Args:
            given: as the SDK has read it, which takes it out of its ``error``.
            otherwise: words where it has none.
        """
        if isinstance(given, list) and given:  # Google's are in a list, which the SDK leaves alone
            given = given[0].get("error") if isinstance(given[0], Mapping) else None
        body = given if isinstance(given, Mapping) else {}
        text = given if isinstance(given, str) else ""
        more = body.get("metadata")
        metadata = more if isinstance(more, Mapping) else {}
        self.words = str(body.get("message") or body.get("detail") or text or otherwise)
        told = (body.get("code"), body.get("type"), metadata.get("error_type"))
        self.kinds = [str(one) for one in told if one is not None]
        if any(name in metadata for name in _FLAGGED):
            self.kinds.append("content_filter")
        self.is_empty = not body and not text
        self._code = body.get("code")

    @property
    def says_too_long(self) -> bool:
        """Whether these are words on a prompt that does not fit a model's window."""
        return _TOO_LONG.search(self.words) is not None

    @property
    def says_wrong_key(self) -> bool:
        """Whether these are words on a key that a provider does not know."""
        return _WRONG_KEY.search(self.words) is not None

    @property
    def status(self) -> int:
        """The status that it stands for in a stream, where there is none: its code, or by type."""
        code = str(self._code)
        if code.isdigit() and 400 <= int(code) < 600:
            return int(code)
        kind = " ".join(self.kinds).lower()
        if "rate_limit" in kind:
            return 429
        if "authentication" in kind or "permission" in kind:
            return 401
        final = "invalid_request" in kind or "badrequest" in kind or self.says_too_long
        return 400 if final else 500
