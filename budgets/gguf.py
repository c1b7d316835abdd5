"""The header of a GGUF file, read without llama.cpp: what is needed before a model is loaded.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from budgets.fit import Model
from ledger.errors import InvalidSetting

MAGIC = b"GGUF"
VERSIONS = (2, 3)
LONGEST_KEPT_ARRAY = 4096  # numbers per layer are kept, the vocabulary is passed over
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_NUMBERS[12] = "d"
_STRING, _ARRAY = 8, 9

Number = int | float
Value = Number | str | list[Number]


@dataclass(frozen=True, slots=True)
class Header:
    """``values``: the metadata by key, less long arrays; of an array of strings its length."""

    values: dict[str, Value]

    @property
    def trained_ctx(self) -> int:
        """Tokens of context that the model was made for; 0 if the file does not say."""
        return self._most("context_length", 0)

    def model(self, weight_bytes: int) -> Model:
        """What memory depends on."""
        return Model(
            weight_bytes,
            self.kv_bytes_per_token(),
            heads=self._most("attention.head_count", 0),
            embedding=self._most("embedding_length", 0),
            vocabulary=int(self._number("tokenizer.ggml.tokens")),
        )

    def kv_bytes_per_token(self, bytes_per_value: int = 2) -> int:
        """What a token of context takes in the KV cache, all layers together."""
        heads = self._most("attention.head_count", 0)
        head_width = self._most("embedding_length", 0) // heads if heads else 0
        keys = self._most("attention.key_length", head_width)
        values = self._most("attention.value_length", head_width)
        kv_heads = self._per_layer("attention.head_count_kv", heads)
        if len(kv_heads) == 1:
            kv_heads *= self._most("block_count", 0)
        return int(sum(kv_heads)) * (keys + values) * bytes_per_value

    def _number(self, key: str) -> Number:
        found = self.values.get(key, 0)
        return 0 if isinstance(found, str | list) else found

    def _most(self, name: str, default: int) -> int:
        return int(max(self._per_layer(name, default)))

    def _per_layer(self, name: str, default: Number) -> list[Number]:
        found = self.values.get(f"{self.values.get('general.architecture')}.{name}", default)
        if isinstance(found, list):
            return found or [default]
        return [default if isinstance(found, str) else found]


def read(path: Path) -> Header:
    """The header of the file.

    Raises:
        InvalidSetting: it is no GGUF file, of a version that is not known, or cut off.
    """
    with path.open("rb") as file:
        reader = _Reader(file, path)
        if file.read(4) != MAGIC:
            raise InvalidSetting(f"{path} is not a GGUF file; llama_cpp reads no other format.")
        (version,) = reader.numbers("I", 1)
        if version not in VERSIONS:
            raise InvalidSetting(
                f"{path} is a GGUF file of version {version} and versions "
                f"{' and '.join(map(str, VERSIONS))} can be read; update apexq or convert the file."
            )
        _, entries = reader.numbers("Q", 2)
        values: dict[str, Value] = {}
        for _ in range(int(entries)):
            key = reader.string()
            value = reader.value(int(reader.numbers("I", 1)[0]))
            if value is not None:
                values[key] = value
        return Header(values)


class _Reader:
    """Reads little-endian values, and never more than the file has."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._size = path.stat().st_size

    def numbers(self, kind: str, count: int) -> tuple[Number, ...]:
        form = f"<{count}{kind}"
        return struct.unpack(form, self._take(struct.calcsize(form)))

    def string(self) -> str:
        return self._take(int(self.numbers("Q", 1)[0])).decode(errors="replace")

    def value(self, kind: int) -> Value | None:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._array()
        if kind not in _NUMBERS:
            raise self._damaged()
        return self.numbers(_NUMBERS[kind], 1)[0]

    def _array(self) -> Value | None:
        (kind,) = self.numbers("I", 1)
        (count,) = self.numbers("Q", 1)
        if kind == _STRING:
            for _ in range(int(count)):
                self._skip(int(self.numbers("Q", 1)[0]))
            return int(count)
        if kind not in _NUMBERS:
            raise self._damaged()
        if count <= LONGEST_KEPT_ARRAY:
            return list(self.numbers(_NUMBERS[int(kind)], int(count)))
        self._skip(int(count) * struct.calcsize(_NUMBERS[int(kind)]))
        return None

    def _take(self, size: int) -> bytes:
        if size > self._size - self._file.tell():
            raise self._damaged()
        return self._file.read(size)

    def _skip(self, size: int) -> None:
        if size > self._size - self._file.tell():
            raise self._damaged()
        self._file.seek(size, 1)

    def _damaged(self) -> InvalidSetting:
        return InvalidSetting(
            f"{self._path} is cut off or damaged in its header; download or copy it again."
        )
