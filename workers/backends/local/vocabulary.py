"""Text into tokens and back, by a tokenizer in Hugging Face's format."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from ledger.errors import BackendError
from workers.backends.local.token_bytes import bytes_of_tokens


def ends_of(named: int | Sequence[int] | None, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer: those that the model's settings for generation have ``named``,
    and its tokenizer's own.
    """
    listed = named if isinstance(named, Sequence) else [named]
    return frozenset(one for one in (*listed, tokenizer.eos_token_id) if one is not None)


class Vocabulary:
    """What :class:`workers.backends.local.engine.Engine` needs of a tokenizer."""

    def __init__(
        self, tokenizer: Any, *, ends: Collection[int], templated: bool, backend: str
    ) -> None:
        """
        Args:
            tokenizer: a fast one of transformers.
            ends: the tokens with which the model ends an answer.
            templated: prompts come from a chat template, which writes the first token itself.
            backend: its name, for errors.

        Raises:
            BackendError: it is none of the kinds whose tokens can be told apart.
        """
        self._tokenizer: Any = getattr(tokenizer, "backend_tokenizer", None)
        try:
            if self._tokenizer is None:
                raise ValueError("there is no tokenizer.json of it")
            self._bytes = bytes_of_tokens(self._tokenizer)
        except ValueError as error:
            raise BackendError(
                f"The model's tokenizer cannot be used: {error}; take another copy of the model.",
                backend=backend,
                retriable=False,
            ) from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._ends, self._templated = frozenset(ends), templated

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """The model's tokens for the text.

        Args:
            text: anything.
            special: the text is a whole prompt: the names of control tokens in it are these tokens,
                and without a chat template it gets the model's first token.
        """
        self._tokenizer.encode_special_tokens = not special
        first = special and not self._templated
        return list(self._tokenizer.encode(text, add_special_tokens=first).ids)

    def piece(self, token: int) -> bytes:
        """The bytes of a token; none for a control token, nor for one that only fills up the
        model's matrices.
        """
        return self._bytes[token] if token < len(self._bytes) else b""

    def bytes_of(self, tokens: Iterable[int]) -> bytes:
        """The bytes of some tokens in a row."""
        return b"".join(map(self.piece, tokens))

    def ends(self, token: int) -> bool:
        """True for a token with which the model ends its answer."""
        return token in self._ends
