"""A grammar holds an answer to its form, where the library has grammars."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.errors import InvalidRequest
from tests.contract.local.conftest import Start
from tests.support.loaded import text_of, tokens_of
from tests.support.local_models import Library, answer, asked, cuts, grammar
from tests.support.sentences import is_one_sentence

BOTH = ("llama_cpp", "hf")
IN_BOTH = pytest.mark.parametrize("library", BOTH, indirect=True)

NOT_OF_USE = [
    grammar("root :: yes"),
    grammar(""),
    grammar("answer ::= [a-z]"),
    grammar("root ::= other"),
    grammar("root ::= " + "(" * 50_000 + '"a"' + ")" * 50_000),
    grammar("".join(f"r{n} ::= r{n + 1}\n" for n in range(9_000)) + "root ::= r0"),
    {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/nowhere"}}},
    {"type": "json_schema", "json_schema": {"schema": {"$ref": "https://example.com/a.json"}}},
    {"type": "json_schema", "json_schema": {}},
    {"type": "yaml"},
    {},
]
NOT_OF_USE_TO_LLAMA = [
    grammar("root ::= root [a]"),
    grammar('root ::= "a\0b"'),
    grammar('root ::= "a"{1000000}'),
]


@pytest.fixture(autouse=True)
def _grammars_of_hf(library: Library) -> None:
    if library.table["backend"] == "hf":
        pytest.importorskip("llguidance")


@pytest.mark.parametrize("library", [*BOTH, "hf_nf4"], indirect=True)
def test_a_schema_holds_the_answer(start: Start) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}, "ok": {"type": "boolean"}},
        "required": ["colour", "ok"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}

    backend = start()
    for options in ({}, {"temperature": 1, "seed": 3}):
        pieces = answer(backend, asked(response_format=wanted, max_tokens=300, **options))

        found = json.loads(text_of(pieces))
        assert set(found) == {"colour", "ok"}
        assert found["colour"] in ("red", "green")
        assert pieces[-1].finish_reason == "stop"


@IN_BOTH
def test_a_grammar_holds_the_answer_and_continues_from_every_cut(
    library: Library, start: Start
) -> None:
    request = asked(response_format=grammar('root ::= ([a-f]{5} " ")+ "."'))
    whole = answer(start(), request)
    another = start()

    assert all(len(word) == 5 for word in text_of(whole).split(" ")[:-1])
    for before, made in cuts(whole, library.cuts):
        assert before + text_of(answer(another, request, before, made)) == text_of(whole)


@IN_BOTH
def test_a_character_of_several_tokens_comes_in_one_piece(library: Library, start: Start) -> None:
    request = asked(response_format=grammar('root ::= "本🙂語" "ü"'), max_tokens=100)

    pieces = answer(start(), request)

    assert text_of(pieces) == "本🙂語ü"
    assert {piece.text for piece in pieces} <= {"本", "🙂", "語", "ü", ""}
    assert tokens_of(pieces) > 4
    another = start()
    for before, made in cuts(pieces, library.cuts):
        assert before + text_of(answer(another, request, before, made)) == "本🙂語ü"


@IN_BOTH
def test_json_object_gives_an_object(backend: Any) -> None:
    assert text_of(answer(backend, asked(response_format={"type": "json_object"}))).startswith("{")
    plain = asked(response_format={"type": "text"})
    assert text_of(answer(backend, plain)) == text_of(answer(backend, asked()))


@pytest.mark.parametrize(
    ("library", "response_format"),
    [(library, one) for library in BOTH for one in NOT_OF_USE]
    + [("llama_cpp", one) for one in NOT_OF_USE_TO_LLAMA],
    indirect=["library"],
    ids=lambda value: str(value)[:40],
)
def test_a_grammar_that_cannot_be_used_is_refused_in_a_sentence(
    backend: Any, response_format: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        answer(backend, asked(response_format=response_format))

    assert is_one_sentence(caught.value)
    assert "response_format" in str(caught.value)
    assert capfd.readouterr().err == ""
    assert answer(backend, asked())
