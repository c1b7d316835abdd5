"""The bytes that each token stands for, of tokenizers in Hugging Face's format.

Their own ``decode`` gives text, which is no measure for a part of an answer: a character may be
made of several tokens, and a space at the beginning may be dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

SPACE = "▁"  # how tokenizers like sentencepiece's write one
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def bytes_of_tokens(tokenizer: Any) -> list[bytes]:
    """For each token's id its bytes; none for control tokens.

    Args:
        tokenizer: a ``tokenizers.Tokenizer``, as the fast tokenizers of transformers have in
            ``backend_tokenizer``.

    Raises:
        ValueError: it puts its tokens together in a way that is not known here.
    """
    to_bytes = _decoder_of(tokenizer)
    added = tokenizer.get_added_tokens_decoder()
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    found = [b""] * (1 + max(vocabulary.values(), default=-1))
    for text, number in vocabulary.items():
        if number not in added:
            found[number] = to_bytes(text)
        elif not added[number].special:
            found[number] = str(added[number].content).encode()
    return found


def _decoder_of(tokenizer: Any) -> Callable[[str], bytes]:
    state = json.loads(tokenizer.decoder.__getstate__()) if tokenizer.decoder else {}
    kinds = {step["type"] for step in state.get("decoders", [state]) if step}
    if "ByteLevel" in kinds:
        return _of_byte_level
    if kinds & {"ByteFallback", "Metaspace"}:
        return _of_sentencepiece
    raise ValueError(f"its tokens are put together by {' and '.join(sorted(kinds)) or 'nothing'}")


def _of_sentencepiece(text: str) -> bytes:
    byte = _BYTE.fullmatch(text)
    return bytes([int(byte[1], 16)]) if byte else text.replace(SPACE, " ").encode()


def _of_byte_level(text: str) -> bytes:
    return b"".join(
        bytes([_BYTE_LEVEL[one]]) if one in _BYTE_LEVEL else one.encode() for one in text
    )


def _byte_level() -> dict[str, int]:
    """GPT-2's letters for bytes: those that can be seen stand for themselves, the others for
    letters from 256 on, in their order (https://github.com/openai/gpt-2, ``encoder.py``).
    """
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    others = (byte for byte in range(256) if byte not in seen)
    letters = {chr(byte): byte for byte in seen}
    return letters | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTE_LEVEL = _byte_level()
