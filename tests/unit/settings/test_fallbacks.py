"""Which models are tried after another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.errors import InvalidSetting
from ledger.settings import load_settings
from tests.support.configured import complaint, in_file, load

TWO = '[[instances]]\nname = "a"\nmodel = "big"\n[[instances]]\nname = "b"\nmodel = "small"\n'


def test_a_model_has_others_that_are_tried_after_it(tmp_path: Path) -> None:
    settings = load_settings(env=in_file(tmp_path, f'{TWO}[fallbacks]\nbig = ["small"]'))
    assert settings.fallbacks == {"big": ("small",)}
    assert load_settings(env=settings.to_env()) == settings
    assert load_settings(env=in_file(tmp_path, f'{TWO}[fallbacks]\nbig = "small"')) == settings


@pytest.mark.parametrize(
    ("chains", "expected"),
    [
        ('big = ["smal"]', "no instance has the model 'smal'; did you mean 'small'?"),
        ('bgi = ["small"]', "no instance has the model 'bgi'; did you mean 'big'?"),
        ('big = ["small"]\nsmall = ["big"]', "'big' leads back to itself; a chain has an end"),
        ('big = ["big"]', "a model is named twice in the chain of 'big'"),
        ('big = ["small", "small"]', "a model is named twice in the chain of 'big'"),
        ("big = []", "'big' has no model after it; leave it out"),
        ("big = 5", "big of fallbacks in"),
    ],
)
def test_a_chain_of_models_that_cannot_be_followed_is_refused(
    tmp_path: Path, chains: str, expected: str
) -> None:
    assert expected in complaint(in_file(tmp_path, f"{TWO}[fallbacks]\n{chains}"))
    assert "takes models by model" in complaint(in_file(tmp_path, "fallbacks = 5"))


def test_instances_of_an_argument_leave_the_files_chains_out_also_in_a_child(
    tmp_path: Path,
) -> None:
    env = in_file(tmp_path, f'{TWO}[fallbacks]\nbig = ["small"]')
    settings = load_settings(env=env, instances=2)
    assert settings.fallbacks == {}
    assert load_settings(env=settings.to_env()) == settings
    with pytest.raises(InvalidSetting, match="no instance has the model 'big'"):
        load_settings(env=env, instances=2, fallbacks={"big": ["small"]})


def test_instances_of_an_argument_leave_the_environments_chains_out() -> None:
    env = {"APEX_FALLBACKS": '{"big": ["small"]}'}
    tables = [{"name": "a", "model": "large"}, {"name": "b", "model": "little"}]
    assert load(env, instances=2).fallbacks == {}
    assert "no instance has the model 'big'" in complaint(env)
    chains = {"large": ["little"]}
    assert load(env, instances=tables, fallbacks=chains).fallbacks == {"large": ("little",)}
