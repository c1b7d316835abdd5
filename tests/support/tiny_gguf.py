"""A tiny random Llama as a GGUF file: half a megabyte, loads in milliseconds, always the same.

It answers nonsense, but each answer depends on every token of its context, so a foreign token in
the context changes the text. Every text can be tokenised (there are byte tokens), and the same text
has several tokenisations, of which the model makes any. It never ends an answer by itself unless it
is written so; a ``logit_bias`` on :data:`EOS` or a grammar makes it end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
UNKNOWN, BOS, EOS = 0, 1, 2
CONTROL = ["<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|end|>"]
FIRST_BYTE = 1 + len(CONTROL)  # the token of the byte 0x00
LETTERS = " abcdefghijklmnopqrstuvwxyz"
FIRST_PIECE = FIRST_BYTE + 256 + len(LETTERS)  # from here on tokens of several letters
PIECES = ("th", "he", "in", "er", "an", "re", "on", "at", "en", "the", "ing", "and", "ion", "er.")
RARE = ("é", "日", "ü")
PLAIN = "".join(letter for letter in LETTERS.strip() if letter not in "".join(PIECES))
N_VOCAB = FIRST_PIECE + len(PIECES) + len(RARE) + len(LETTERS.strip())

EMBD, HEADS, KV_HEADS, LAYERS, FEED_FORWARD = 64, 4, 2, 2, 128
HEAD = EMBD // HEADS
TRAINED_CTX = 8192

# Prompts for a model that ``ends``: one is answered in 8 tokens, the other in hundreds.
SHORT, LONG = "poem", "stop"


def write(
    path: Path,
    *,
    chat_template: str | None = CHAT_TEMPLATE,
    arch: str = "llama",
    seed: int = 7,
    ends: bool = False,
    kills: bool = False,
    plain: bool = False,
) -> Path:
    """Writes the model to ``path`` and returns that.

    Args:
        path: where to.
        chat_template: in Jinja; None for a model without one.
        arch: what kind of model the file says it is.
        seed: of the weights.
        ends: some answers end by themselves: :data:`SHORT` soon, :data:`LONG` not so soon.
        kills: llama.cpp ends the process that reads with it, as it does with some damaged files.
        plain: it makes letters that are part of no longer token, so that each text it makes has
            one tokenisation only.
    """
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name("tiny random llama")
    writer.add_context_length(TRAINED_CTX)
    writer.add_embedding_length(EMBD)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD)
    writer.add_layer_norm_rms_eps(-1.0 if kills else 1e-5)
    texts, types = _vocabulary()
    writer.add_vocab_size(len(texts))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(texts)
    writer.add_token_scores([float(-rank) for rank in range(len(texts))])
    writer.add_token_types(types)
    writer.add_unk_token_id(UNKNOWN)
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    for name, values in _weights(len(texts), np.random.default_rng(seed), ends, plain):
        writer.add_tensor(name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def letters_alone() -> dict[str, float]:
    """A bias towards letters that are part of no longer token: such an answer is read again as it
    was made.
    """
    return {str(FIRST_BYTE + 256 + LETTERS.index(letter)): 100.0 for letter in PLAIN}


def _vocabulary() -> tuple[list[str], list[int]]:
    kinds = gguf.TokenType
    tokens = [("<unk>", kinds.UNKNOWN)]
    tokens += [(text, kinds.CONTROL) for text in CONTROL]
    tokens += [(f"<0x{byte:02X}>", kinds.BYTE) for byte in range(256)]
    tokens += [(text.replace(" ", "▁"), kinds.NORMAL) for text in [*LETTERS, *PIECES, *RARE]]
    tokens += [(f"▁{letter}", kinds.NORMAL) for letter in LETTERS.strip()]
    return [text for text, _ in tokens], [int(kind) for _, kind in tokens]


def _weights(
    n_vocab: int, random: np.random.Generator, ends: bool, plain: bool
) -> Iterator[tuple[str, np.ndarray]]:
    def matrix(rows: int, columns: int, scale: float = 1.5) -> np.ndarray:
        return random.normal(0, scale / np.sqrt(columns), (rows, columns))

    yield "token_embd.weight", matrix(n_vocab, EMBD, 8.0)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", np.ones(EMBD)
        yield f"{block}.attn_q.weight", matrix(EMBD, EMBD)
        yield f"{block}.attn_k.weight", matrix(HEAD * KV_HEADS, EMBD)
        yield f"{block}.attn_v.weight", matrix(HEAD * KV_HEADS, EMBD)
        yield f"{block}.attn_output.weight", matrix(EMBD, EMBD)
        yield f"{block}.ffn_norm.weight", np.ones(EMBD)
        yield f"{block}.ffn_gate.weight", matrix(FEED_FORWARD, EMBD)
        yield f"{block}.ffn_up.weight", matrix(FEED_FORWARD, EMBD)
        yield f"{block}.ffn_down.weight", matrix(EMBD, FEED_FORWARD)
    yield "output_norm.weight", np.ones(EMBD)
    output = matrix(n_vocab, EMBD, 4.0)
    end = output[EOS].copy()
    output[:FIRST_BYTE] = 0  # no control token is ever the best one
    if ends:
        output[EOS] = 1.2 * end
    output[FIRST_BYTE : FIRST_BYTE + 256] *= 0.7  # bytes, many of them no UTF-8, are rarer
    if plain:
        made = [*map(int, letters_alone()), EOS]
        output[np.setdiff1d(np.arange(n_vocab), made)] = 0
    yield "output.weight", output
