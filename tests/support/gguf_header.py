"""GGUF files that have a header and, as far as their size says, weights; no library is needed."""

from __future__ import annotations

import struct
from pathlib import Path

UINT32, STRING, ARRAY = 4, 8, 9

LLAMA_8B = {
    "context_length": 131_072,
    "block_count": 32,
    "embedding_length": 4096,
    "feed_forward_length": 14_336,
    "attention.head_count": 32,
    "attention.head_count_kv": 8,
}
VOCABULARY = 128_256


def write(path: Path, *, size: int, vocabulary: int = VOCABULARY) -> Path:
    """Llama 3.1 8B's header in a file of ``size`` bytes, which takes no room on the disk."""
    entries = [_entry("general.architecture", STRING, _string("llama"))]
    entries += [
        _entry(f"llama.{name}", UINT32, struct.pack("<I", value))
        for name, value in LLAMA_8B.items()
    ]
    tokens = struct.pack("<IQ", STRING, vocabulary) + _string("x") * vocabulary
    entries.append(_entry("tokenizer.ggml.tokens", ARRAY, tokens))
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries)) + b"".join(entries))
        file.truncate(max(size, file.tell()))
    return path


def _entry(key: str, kind: int, value: bytes) -> bytes:
    return _string(key) + struct.pack("<I", kind) + value


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()
