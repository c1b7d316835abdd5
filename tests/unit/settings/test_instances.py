"""How many instances there are, and what each is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.errors import InvalidSetting
from ledger.settings import InstanceSpec, load_settings
from tests.support.configured import complaint, in_file, load


@pytest.mark.parametrize("variable", ["APEX_LLM_INSTANCES", "APEX_NUM_LLM_INSTANCES"])
def test_a_number_of_instances_makes_like_ones(variable: str) -> None:
    settings = load({variable: "2", "LLM_BACKEND": "ollama", "LLM_MODEL": "m"})
    assert settings.instances == (
        InstanceSpec(name="inst0", backend="ollama", model="m"),
        InstanceSpec(name="inst1", backend="ollama", model="m"),
    )
    assert load(instances=2).instances == load({variable: "2"}).instances


def test_two_names_of_the_number_of_instances_must_agree() -> None:
    both = {"APEX_LLM_INSTANCES": "3", "APEX_NUM_LLM_INSTANCES": "3"}
    assert len(load(both).instances) == 3
    both["APEX_NUM_LLM_INSTANCES"] = "4"
    said = complaint(both)
    assert "APEX_LLM_INSTANCES" in said
    assert "APEX_NUM_LLM_INSTANCES" in said


def test_instance_tables_have_defaults_and_the_backends_own_options(tmp_path: Path) -> None:
    env = in_file(
        tmp_path,
        """
        backend = "vllm"
        model = "m"
        [[instances]]
        name = "inst0"
        slots = 16
        roles = ["Planner"]
        weight = 2
        endpoints = ["http://a/v1"]
        [[instances]]
        name = "gpu-1.b"
        backend = "hf_cuda"
        model = "other"
        """,
    )
    first, second = load_settings(env=env).instances
    assert (first.backend, first.model, first.slots, first.weight) == ("vllm", "m", 16, 2.0)
    assert first.roles == ("Planner",)
    assert first.options == {"endpoints": ["http://a/v1"]}
    assert second == InstanceSpec(name="gpu-1.b", backend="hf", model="other")


def test_specs_given_as_an_argument_are_taken_as_they_are() -> None:
    specs = (InstanceSpec(name="a", backend="ollama"), InstanceSpec(name="b", backend="mock"))
    assert load({"LLM_MODEL": "m"}, instances=specs).instances == specs


def test_stub_gives_every_instance_the_mock_backend_without_the_others_options(
    tmp_path: Path,
) -> None:
    env = in_file(
        tmp_path, '[[instances]]\nname = "a"\nbackend = "vllm"\nmodel = "m"\nendpoints = ["e"]'
    )
    settings = load_settings(env=env | {"APEX_LLM_STUB": "1", "APEX_LLM_BACKEND": "hf_cuda"})
    assert settings.backend == "mock"
    assert settings.instances == (InstanceSpec(name="a", backend="mock", model="m"),)
    assert load({"APEX_LLM_STUB": "1"}, backend="hf").instances[0].backend == "mock"


def test_a_stub_keeps_its_models_name_also_where_that_is_its_backends(tmp_path: Path) -> None:
    env = in_file(
        tmp_path,
        '[[instances]]\nname = "a"\nbackend = "vllm"\n'
        '[[instances]]\nname = "b"\nmodel = "small"\n'
        '[fallbacks]\nvllm = "small"',
    )
    settings = load_settings(env=env | {"APEX_LLM_STUB": "1"})
    assert [one.served_model for one in settings.instances] == ["vllm", "small"]


def test_an_unknown_instance_is_named_beside_the_known_ones() -> None:
    settings = load(instances=12)
    assert settings.instance("inst11").name == "inst11"
    with pytest.raises(InvalidSetting, match=r"'inst12'; known: inst0, .*inst9 and 2 more; use"):
        settings.instance("inst12")
