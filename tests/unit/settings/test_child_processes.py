"""Settings reach a child process as they are."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.price import Price
from ledger.settings import BudgetSpec, InstanceSpec, load_settings
from tests.support.configured import in_file, load

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True).filter(
    lambda name: not name.startswith("unacked")
)
amounts = st.decimals(0, 1000, places=4)
tokens = st.integers(1, 2**53 - 1)
words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
keys = st.text(st.characters(codec="ascii", exclude_categories=["C", "Z"]), min_size=1)
specs = st.builds(
    InstanceSpec,
    name=names,
    backend=words,
    model=st.none() | words,
    slots=st.integers(1, 64),
    roles=st.lists(words, max_size=3).map(tuple),
    weight=st.floats(0.01, 100),
    options=st.dictionaries(words, st.integers() | words | st.booleans() | st.lists(words)),
)


@given(
    overrides=st.fixed_dictionaries(
        {},
        optional={
            "stub": st.booleans(),
            "backend": words,
            "model": words,
            "instances": st.integers(1, 20)
            | st.lists(specs, min_size=1, max_size=4, unique_by=lambda one: one.name).map(tuple),
            "gguf_model_path": words.map(Path),
            "api_key": keys,
            "temperature": st.floats(0, 10),
            "lease_s": st.floats(0.001, 100),
            "mock_directives": st.booleans(),
            "budgets": st.dictionaries(
                st.sampled_from(["tenant", "agent", "session", "episode"]),
                st.dictionaries(words, st.builds(BudgetSpec, tokens=tokens, tokens_per_day=tokens)),
            ),
            "prices": st.dictionaries(
                words, st.builds(Price, prompt=amounts, completion=amounts, currency=words)
            ),
        },
    )
)
def test_a_child_process_loads_equal_settings(overrides: dict[str, Any]) -> None:
    settings = load(**overrides)
    assert load_settings(env=settings.to_env()) == settings


def test_a_child_process_loads_equal_settings_from_the_same_file(tmp_path: Path) -> None:
    env = in_file(tmp_path, 'max_tokens = 9\n[[instances]]\nname = "a"\nbackend = "vllm"\nx = [1]')
    settings = load_settings(env=env, temperature=0.1)
    assert settings.to_env()["APEX_CONFIG"] == str(tmp_path / "apexq.toml")
    assert load_settings(env=settings.to_env()) == settings


def test_what_a_parents_environment_says_otherwise_does_not_reach_the_child() -> None:
    parent = {"APEX_NUM_LLM_INSTANCES": "9", "LLM_MODEL": "m", "APEX_LLM_STUB": "1", "HOME": "/"}
    settings = load(instances=2, backend="ollama")
    assert load_settings(env=parent | settings.to_env()) == settings


def test_a_child_process_knows_what_nobody_has_set() -> None:
    child = load_settings(env=load(temperature=0.7).to_env())
    assert "temperature" in child.model_fields_set
    assert "top_p" not in child.model_fields_set


def test_settings_can_be_pickled() -> None:
    settings = load({"LLM_API_KEY": "k"})
    assert pickle.loads(pickle.dumps(settings)) == settings
