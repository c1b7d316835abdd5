"""Chat templates, which come out of files from somewhere."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

pytest.importorskip("jinja2")

from ledger.errors import BackendError, InvalidRequest
from ledger.messages import ChatMessage
from tests.support.local_models import Library
from tests.support.sentences import is_one_sentence
from workers.backends.local.template import ChatTemplate

TURNS = [
    ChatMessage(role="system", content="Be brief."),
    ChatMessage(role="user", content='Say "hi" & <b>'),
]


def template(source: str) -> ChatTemplate:
    """With a clock by which every look at it takes a millisecond, and a time of one second."""
    ticks = itertools.count()
    return ChatTemplate(
        source,
        bos="<s>",
        eos="</s>",
        backend="llama_cpp",
        limit_s=1.0,
        clock=lambda: next(ticks) / 1000,
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ bos_token }}{% for m in messages %}{{ m.role }};{% endfor %}", "<s>system;user;"),
        ("{% for m in messages %}{{ loop.index }}/{{ loop.length }} {% endfor %}", "1/2 2/2 "),
        ("{% for m in messages if m['role'] == 'user' %}{{ loop.last }}{% endfor %}", "True"),
        ("{% for m in [] %}{% else %}none{% endfor %}", "none"),
        ("{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}x{% endfor %}", "x"),
        ("{% for k, v in messages[0].items() %}{{ k }},{% endfor %}", "role,content,"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}"
         "{{ ns.n }}", "2"),
        ("{{ messages[1].content | tojson }}", '"Say \\"hi\\" & <b>"'),
        ("{{ messages[0]['content'].strip().upper() }}", "BE BRIEF."),
        ("{% generation %}{{ 'a' * 3 }}{% endgeneration %}", "aaa"),
        ("{% if tools %}tools{% endif %}{% if add_generation_prompt %}go{% endif %}", "go"),
        ("{{ strftime_now('%Y')[:2] }}{{ nothing }}", "20"),
        ("  {% if true %}\n  x\n  {% endif %}\n", "  x\n"),
    ],
)  # fmt: skip
def test_what_templates_of_models_use_works(source: str, expected: str) -> None:
    assert template(source).render(TURNS) == expected


def test_what_a_provider_wants_back_with_a_call_is_in_no_prompt() -> None:
    call = {"id": "c1", "extra_content": {"anthropic": {"thinking": ["secret"]}}}
    said = ChatMessage(role="assistant", content=None, tool_calls=({**call, "type": "function"},))

    rendered = template("{{ messages[0].tool_calls | tojson }}").render([said])

    assert rendered == '[{"id": "c1", "type": "function"}]'


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__init__.__globals__ }}",
        "{{ raise_exception.__globals__['os'].system('id') }}",
        "{{ (messages | map(attribute='__class__') | list) }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ strftime_now.__self__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].clear() }}",
    ],
)
def test_a_template_that_reaches_out_is_stopped(source: str) -> None:
    refused = template(source)

    with pytest.raises(BackendError, match="chat template was stopped") as caught:
        refused.render(TURNS)
    assert is_one_sentence(caught.value)
    assert not caught.value.retriable


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(90) }}",
        "{{ 9 ** (9 ** 9) }}",
        "{% for a in range(10 ** 9) %}{% endfor %}",
    ],
)
def test_a_template_that_does_not_end_is_stopped(source: str) -> None:
    with pytest.raises(BackendError, match="chat template") as caught:
        template(source).render(TURNS)
    assert is_one_sentence(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' * 99999999999 }}",
        "{{ 'x' | center(99999999999) }}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}"
        "{% endfor %}",
    ],
)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is not bounded here")
def test_a_template_that_takes_all_memory_is_stopped(source: str) -> None:
    with pytest.raises(BackendError, match="MemoryError") as caught:
        template(source).render(TURNS)
    assert is_one_sentence(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "{% for %}",
        "{{ nothing.at_all }}",
        "{{ 1 / 0 }}",
        "{% include 'other' %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ lipsum(n=100000000) }}",
        "{{ messages | no_such_filter }}",
    ],
)
def test_a_broken_template_is_refused_in_a_sentence(source: str) -> None:
    with pytest.raises(BackendError, match="chat template") as caught:
        template(source).render(TURNS)
    assert is_one_sentence(caught.value)


def test_messages_that_a_template_refuses_are_the_callers_fault() -> None:
    source = "{{ raise_exception('Only user and assistant roles are supported!') }}"

    with pytest.raises(InvalidRequest, match="Only user and assistant roles") as caught:
        template(source).render(TURNS)
    assert is_one_sentence(caught.value)


@pytest.mark.parametrize("source", ["{% for %}", "{{ ''.__class__.__mro__ }}", "{{ 1 / 0 }}"])
def test_a_model_with_such_a_template_is_not_loaded(
    library: Library, tmp_path: Path, source: str
) -> None:
    backend = library.created(library.write(tmp_path, chat_template=source))

    with pytest.raises(BackendError, match="chat template") as caught:
        backend.load()
    assert is_one_sentence(caught.value)
    assert backend.health()
