"""``response_format`` as a grammar over a model's own tokens, by llguidance."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLTokenizer, grammar_from

from ledger.errors import BackendError, InvalidRequest
from workers.backends.local.first_line import first_line

LONGEST = 200_000  # characters
SPACE = (
    r"[ ]?|\n{1,2}[ \t]{0,20}"  # in JSON; as in llama.cpp, so that no model makes space for ever
)
KINDS = "text, json_object, json_schema and grammar"


class Grammar:
    """Where one answer stands in it."""

    def __init__(self, matcher: LLMatcher, backend: str) -> None:
        self._matcher, self._backend = matcher, backend

    def allowed(self) -> npt.NDArray[np.bool_]:
        """For each token whether it may be next; those that end the answer where that may be.

        Raises:
            BackendError: the grammar has become too large to be followed.
        """
        found: npt.NDArray[np.bool_] = np.frombuffer(self._matcher.compute_logit_bias(), np.bool_)
        if self._matcher.is_error():
            why = first_line(self._matcher.get_error())
            raise self._failed(f"The grammar cannot be followed: {why}.")
        return found

    def accept(self, token: int) -> None:
        """The next token is this one.

        Raises:
            BackendError: the grammar does not allow it.
        """
        if not self._matcher.consume_token(token):
            raise self._failed("The text so far does not fit the request's grammar.")

    def reset(self) -> None:
        """The answer begins anew."""
        self._matcher.reset()

    def _failed(self, message: str) -> BackendError:
        return BackendError(message, backend=self._backend, retriable=False)


class Grammars:
    """Compiles grammars for one model; the tokenizer is prepared when the first one is."""

    def __init__(
        self, tokenizer: Any, *, n_vocab: int, ends: Collection[int], backend: str
    ) -> None:
        """
        Args:
            tokenizer: a fast one of transformers.
            n_vocab: tokens for which the model gives a number.
            ends: those that end an answer.
            backend: its name, for errors.
        """
        self._given, self._n_vocab, self._ends = tokenizer, n_vocab, sorted(ends)
        self._backend = backend
        self._tokenizer: LLTokenizer | None = None

    def of(self, response_format: Mapping[str, Any] | None) -> Grammar | None:
        """The grammar of a request; None where any text will do.

        Takes ``{"type": "json_object"}``, ``{"type": "json_schema", "json_schema": {"schema": …}}``
        and ``{"type": "grammar", "grammar": …}`` in GBNF or in llguidance's form of Lark.

        Raises:
            InvalidRequest: it is none of these, or does not compile.
        """
        source = _source_of(response_format)
        if source is None:
            return None
        if self._tokenizer is None:
            form = self._given.backend_tokenizer.to_str()
            self._tokenizer = LLTokenizer(form, n_vocab=self._n_vocab, eos_token=self._ends)
        matcher = LLMatcher(self._tokenizer, source, log_level=0)
        if matcher.is_error():
            raise _refused(matcher.get_error())
        return Grammar(matcher, self._backend)


def _source_of(response_format: Mapping[str, Any] | None) -> str | None:
    match response_format:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return _of_schema({"type": "object"})
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema}}:
            return _of_schema(schema)
        case {"type": "grammar", "grammar": str() as grammar} if grammar.strip():
            return _of_grammar(grammar)
    raise InvalidRequest(
        f"response_format: it takes a type of {KINDS}, with json_schema.schema an object and "
        "grammar a text in GBNF or Lark."
    )


def _of_schema(schema: dict[str, Any]) -> str:
    return str(LLMatcher.grammar_from_json_schema(schema, {"whitespace_pattern": SPACE}))


def _of_grammar(grammar: str) -> str:
    if len(grammar) > LONGEST:
        raise _refused(f"it is longer than {LONGEST} characters")
    try:
        return str(grammar_from("grammar", grammar))
    except (ValueError, RecursionError) as error:
        raise _refused(error) from None


def _refused(why: object) -> InvalidRequest:
    said = first_line(why)
    return InvalidRequest(f"response_format: the grammar does not compile: {said}.", said=said)
