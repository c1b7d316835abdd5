"""A key for a provider's API."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, SecretStr


def tidy(key: str) -> str:
    """``key`` without the space around it, such as the newline at the end of a file.

    Raises:
        ValueError: it cannot be sent in a header: HTTP clients would quote it in their complaint.
    """
    key = key.strip()
    if not key:
        raise ValueError("the key is empty")
    if not (key.isascii() and key.isprintable()):
        raise ValueError("the key has a character that no key has; copy it again")
    return key


ApiKey = Annotated[SecretStr, AfterValidator(lambda key: SecretStr(tidy(key.get_secret_value())))]
