"""Rate limits that no waiting helps: one request is larger than the whole limit."""

from __future__ import annotations

import re

# OpenAI: "Request too large for gpt-4o in organization … on tokens per min (TPM): Limit 30000,
# Requested 45000. The input or output tokens must be reduced in order to run successfully."
# Anthropic: "Extra usage is required for long context requests."
_WORDS = re.compile(
    r"request too large|tokens must be reduced|required for long context", re.IGNORECASE
)
_NUMBERS = re.compile(r"\blimit:? (\d+)\b.*\brequested:? (\d+)\b", re.IGNORECASE)


def too_large(said: str) -> bool:
    """Whether a provider's words on a rate limit say that this request will never fit."""
    numbers = _NUMBERS.search(said)
    more = numbers is not None and int(numbers[2]) > int(numbers[1])
    return more or _WORDS.search(said) is not None
