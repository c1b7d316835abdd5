"""What the mock answers when it is told how many tokens to make: numbered words."""

from __future__ import annotations


def numbers(text: str) -> list[int]:
    """The words' numbers: those of a whole answer are 0, 1, 2, …"""
    return [int(word.partition("-")[2]) for word in text.split()]
