"""The shape of a model in Hugging Face's format, from its ``config.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budgets.fit import Model

WEIGHTS = ("*.safetensors", "*.bin")
NF4_BITS = 4.127  # 4, and the scales of blocks of 64 that are quantised again (QLoRA, 2023)
QUANTIZED = {"nf4": NF4_BITS, "int8": 8.0}  # bits of a layer's parameter, by bitsandbytes


@dataclass(frozen=True, slots=True)
class Config:
    """A decoder with grouped attention and a gated feed-forward; sizes in numbers."""

    layers: int
    heads: int
    kv_heads: int
    head_width: int
    embedding: int
    feed_forward: int
    vocabulary: int
    tied: bool = False

    @property
    def linear_parameters(self) -> int:
        """Of the layers' matrices, which are what 4-bit quantisation covers."""
        attention = 2 * self.embedding * (self.heads + self.kv_heads) * self.head_width
        return self.layers * (attention + 3 * self.embedding * self.feed_forward)

    @property
    def embedding_parameters(self) -> int:
        """Of the embedding and the output head, which stay at 16 bits."""
        return self.vocabulary * self.embedding * (1 if self.tied else 2)

    def weight_bytes(self, linear_bits: float = 16) -> int:
        """Bytes of the weights, the layers' matrices at ``linear_bits``."""
        return int(self.linear_parameters * linear_bits / 8) + 2 * self.embedding_parameters

    def kv_bytes_per_token(self, bytes_per_value: int = 2) -> int:
        """What a token of context takes: a key and a value for each layer and KV head."""
        return 2 * self.layers * self.kv_heads * self.head_width * bytes_per_value

    def model(self, weight_bytes: int) -> Model:
        """What memory depends on."""
        return Model(
            weight_bytes,
            self.kv_bytes_per_token(),
            heads=self.heads,
            embedding=self.embedding,
            vocabulary=self.vocabulary,
        )


def read(folder: Path, *, quantization: str = "none") -> Model | None:
    """The model in a local folder, with the size of its files, or what is left of it once it is
    quantised (:data:`QUANTIZED`) in loading; None if it cannot be told.
    """
    try:
        fields = json.loads((folder / "config.json").read_text("utf-8"))
        config = parse(fields)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None
    for pattern in WEIGHTS:
        files = list(folder.glob(pattern))
        if files:
            size = sum(file.stat().st_size for file in files)
            return config.model(int(size * _share_left(fields, config, quantization)))
    return None


def _share_left(fields: dict[str, Any], config: Config, quantization: str) -> float:
    if quantization not in QUANTIZED or "quantization_config" in fields:
        return 1
    dtype = fields.get("dtype") or fields.get("torch_dtype")
    stored = config.weight_bytes() * (2 if dtype == "float32" else 1)
    return config.weight_bytes(QUANTIZED[quantization]) / stored


def trained_ctx_in(folder: Path) -> int | None:
    """As :func:`trained_ctx`, of a local folder; None also where it has no such file."""
    try:
        return trained_ctx(json.loads((folder / "config.json").read_text("utf-8")))
    except (OSError, ValueError, AttributeError):
        return None


def trained_ctx(fields: dict[str, Any]) -> int | None:
    """Tokens of context that a model was made for, by its ``config.json``; None if it is silent."""
    length = fields.get("text_config", fields).get("max_position_embeddings")
    return length if isinstance(length, int) and length > 0 else None


def parse(fields: dict[str, Any]) -> Config:
    """A ``config.json`` as a shape; that of a model with images has the text's in ``text_config``.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError: it has no such shape.
    """
    fields = fields.get("text_config", fields)
    heads = int(fields["num_attention_heads"])
    embedding = int(fields["hidden_size"])
    return Config(
        layers=int(fields["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(fields.get("num_key_value_heads") or heads),
        head_width=int(fields.get("head_dim") or embedding // heads),
        embedding=embedding,
        feed_forward=int(fields.get("intermediate_size") or 4 * embedding),
        vocabulary=int(fields["vocab_size"]),
        tied=bool(fields.get("tie_word_embeddings", False)),
    )
