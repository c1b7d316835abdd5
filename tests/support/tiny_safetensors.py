"""A tiny random Llama as a folder in Hugging Face's format: safetensors, config, tokenizer.

It answers nonsense, but each answer depends on every token of its context, so a foreign token in
the context changes the text. Every text can be tokenised (byte-level BPE), and the same text has
several tokenisations, of which the model makes any. It never ends an answer by itself unless it is
written so. The form is read by mlx-lm, transformers and vLLM alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONTROL = ["<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|end|>"]
BOS, EOS = 0, 1
FIRST_BYTE = len(CONTROL)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Each is an earlier one, or a letter, and one more letter.
PIECES = (
    "th",
    "he",
    "in",
    "er",
    "an",
    "re",
    "on",
    "at",
    "en",
    "the",
    "ing",
    "and",
    "io",
    "ion",
    "er.",
)
PLAIN = "".join(letter for letter in LETTERS if letter not in "".join(PIECES))
N_VOCAB = FIRST_BYTE + 256 + len(LETTERS) + len(PIECES)
MARKER = "Ġ"  # how byte-level BPE writes a space

WIDTH, HEADS, KV_HEADS, LAYERS = 128, 4, 2, 2
TRAINED_CTX = 8192

# Prompts for a model that ``ends``: one is answered in a few tokens, the other in hundreds.
SHORT, LONG = "q", "stop"


def write(
    folder: Path,
    *,
    chat_template: str | None = CHAT_TEMPLATE,
    seed: int = 7,
    ends: bool = False,
    plain: bool = False,
    width: int = WIDTH,
    layers: int = LAYERS,
) -> Path:
    """Writes the model into ``folder`` and returns that.

    Args:
        folder: where to; it is made.
        chat_template: in Jinja; None for a model without one.
        seed: of the weights.
        ends: some answers end by themselves: :data:`SHORT` soon, :data:`LONG` not so soon.
        plain: it makes letters that are part of no longer token, so that each text it makes has one
            tokenisation.
        width, layers: with more of them it is slower, and no longer tiny.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    n_vocab = tokenizer.get_vocab_size()
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(
        folder / "tokenizer_config.json",
        tokenizer_class="PreTrainedTokenizerFast",
        bos_token=CONTROL[BOS],
        eos_token=CONTROL[EOS],
        model_max_length=TRAINED_CTX,
        clean_up_tokenization_spaces=False,
        **({} if chat_template is None else {"chat_template": chat_template}),
    )
    _write(
        folder / "config.json",
        architectures=["LlamaForCausalLM"],
        model_type="llama",
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=width // HEADS,
        vocab_size=n_vocab,
        max_position_embeddings=TRAINED_CTX,
        rms_norm_eps=1e-5,
        rope_theta=10_000.0,
        hidden_act="silu",
        tie_word_embeddings=False,
        bos_token_id=BOS,
        eos_token_id=EOS,
        torch_dtype="float32",
    )
    random = np.random.default_rng(seed)
    weights = {
        name: values.astype(np.float32)
        for name, values in _weights(n_vocab, random, ends, plain, width, layers)
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def tokens_of(text: str) -> list[int]:
    """The tokenizer's own tokens for a text."""
    return list(_tokenizer().encode(text).ids)


def token_of(text: str) -> int:
    """The one token that is this text."""
    [token] = tokens_of(text)
    return token


def letters_alone() -> dict[str, float]:
    """A bias towards letters that are part of no longer token: such an answer is read again as it
    was made.
    """
    return {str(token_of(letter)): 100.0 for letter in PLAIN}


def _write(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(fields, indent=1))


def _tokenizer() -> Tokenizer:
    texts = [*CONTROL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges = [(MARKER, letter) for letter in LETTERS]
    merges += [(piece[:-1], piece[-1]) for piece in PIECES]
    texts += [one + other for one, other in merges]
    vocabulary = {text: number for number, text in enumerate(texts)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in CONTROL])
    return tokenizer


def _weights(
    n_vocab: int, random: np.random.Generator, ends: bool, plain: bool, width: int, layers: int
) -> Iterator[tuple[str, np.ndarray]]:
    def matrix(rows: int, columns: int, scale: float = 1.5) -> np.ndarray:
        return random.normal(0, scale / np.sqrt(columns), (rows, columns))

    yield "model.embed_tokens.weight", matrix(n_vocab, width, 8.0)
    for layer in range(layers):
        block = f"model.layers.{layer}"
        yield f"{block}.input_layernorm.weight", np.ones(width)
        yield f"{block}.self_attn.q_proj.weight", matrix(width, width)
        yield f"{block}.self_attn.k_proj.weight", matrix(width * KV_HEADS // HEADS, width)
        yield f"{block}.self_attn.v_proj.weight", matrix(width * KV_HEADS // HEADS, width)
        yield f"{block}.self_attn.o_proj.weight", matrix(width, width)
        yield f"{block}.post_attention_layernorm.weight", np.ones(width)
        yield f"{block}.mlp.gate_proj.weight", matrix(2 * width, width)
        yield f"{block}.mlp.up_proj.weight", matrix(2 * width, width)
        yield f"{block}.mlp.down_proj.weight", matrix(width, 2 * width)
    yield "model.norm.weight", np.ones(width)
    output = matrix(n_vocab, width, 4.0)
    end = output[EOS].copy()
    output[:FIRST_BYTE] = 0  # no control token is ever the best one
    if ends:
        output[EOS] = 1.2 * end
    output[FIRST_BYTE : FIRST_BYTE + 256] *= 0.7  # bytes, many of them no UTF-8, are rarer
    if plain:
        kept = [*map(int, letters_alone())]
        output[np.setdiff1d(np.arange(EOS + 1, n_vocab), kept)] = 0
    yield "lm_head.weight", output
