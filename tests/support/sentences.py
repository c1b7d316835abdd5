"""What an error says."""

from __future__ import annotations


def is_one_sentence(error: BaseException) -> bool:
    """One line that can be shown to a user as it is."""
    said = str(error)
    return "\n" not in said and said.endswith(".") and len(said) < 500
