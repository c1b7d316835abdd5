"""``response_format`` as a grammar that llama.cpp holds the answer to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llama_cpp import llama_cpp as lib
from llama_cpp.llama_grammar import JSON_GBNF, json_schema_to_gbnf

from ledger.errors import InvalidRequest
from workers.backends.llama.engine import Engine
from workers.backends.llama.log import stderr_taken
from workers.backends.local.first_line import first_line

LONGEST = 200_000  # characters
DEEPEST = 200  # nested parentheses; llama.cpp's parser calls itself for each
KINDS = "text, json_object, json_schema and grammar"


def grammar_of(response_format: Mapping[str, Any] | None) -> str | None:
    """The grammar in GBNF; None where any text will do.

    Takes ``{"type": "json_object"}``, ``{"type": "json_schema", "json_schema": {"schema": …}}``
    and ``{"type": "grammar", "grammar": "root ::= …"}``.

    Raises:
        InvalidRequest: it is none of these, or a schema that cannot be made a grammar.
    """
    match response_format:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return str(JSON_GBNF)
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema}}:
            return _of_schema(schema)
        case {"type": "grammar", "grammar": str() as grammar}:
            return grammar
    raise InvalidRequest(
        f"response_format: it takes a type of {KINDS}, with json_schema.schema an object and "
        "grammar a text in GBNF."
    )


def compile_grammar(engine: Engine, grammar: str) -> Any:
    """llama.cpp's sampler for the grammar; whoever gets it frees it.

    Raises:
        InvalidRequest: it does not parse.
    """
    _refuse_unreadable(grammar)
    with stderr_taken() as said:
        sampler = lib.llama_sampler_init_grammar(engine.vocab, grammar.encode(), b"root")
    if sampler:
        return sampler
    raise _refused(_reason(said) or engine.why or "llama.cpp refused it")


def _of_schema(schema: dict[str, Any]) -> str:
    try:
        return str(json_schema_to_gbnf(json.dumps(schema)))
    except RecursionError:
        why = "it is nested too deep"
    except Exception as error:  # noqa: BLE001  whatever the converter raises
        why = first_line(error)
    raise InvalidRequest(f"response_format: the JSON schema cannot be made a grammar: {why}.")


def _refuse_unreadable(grammar: str) -> None:
    """What llama.cpp's parser would take for something else, or would not survive."""
    if not grammar.strip() or "\0" in grammar:
        raise _refused("it is empty or has a zero character")
    if len(grammar) > LONGEST:
        raise _refused(f"it is longer than {LONGEST} characters")
    deep = deepest = 0
    for sign in grammar:
        deep += (sign == "(") - (sign == ")")
        deepest = max(deepest, deep)
    if deepest > DEEPEST:
        raise _refused(f"its parentheses are nested deeper than {DEEPEST}")


def _reason(said: list[str]) -> str:
    """``parse: error parsing grammar: expecting ::= at …`` without the grammar that follows."""
    for line in said:
        _, found, reason = line.partition("error parsing grammar: ")
        if found:
            return reason
    return ""


def _refused(why: str) -> InvalidRequest:
    said = first_line(why)
    return InvalidRequest(f"response_format: the grammar does not parse: {said}.", said=said)
