"""The pages say what there is, and what they show works."""

from __future__ import annotations

import re
from pathlib import Path

from ledger.environment import variables_of
from ledger.settings import BudgetSpec, Settings, load_settings
from tests.support.configured import in_file

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_page_lists_every_setting_as_the_code_has_it() -> None:
    listed = re.findall(r"^\| `.*\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    defaults = Settings(**dict(Settings())).to_env()
    expected = []
    for field, variables in variables_of(Settings).items():
        default = defaults[variables[0]]
        cells = [
            ", ".join(f"`{name}`" for name in variables),
            "" if field == "config" else f"`{field}`",
            f"`{default}`" if default else "none",
            str(Settings.model_fields[field].description),
        ]
        expected.append(f"| {' | '.join(cells)} |")
    assert set(variables_of(Settings)) == set(Settings.model_fields)
    assert listed == expected


def test_what_the_page_of_models_shows_as_a_file_loads(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.with_name("models.md").read_text(), re.DOTALL)
    settings = load_settings(env=in_file(tmp_path, block))
    assert settings.fallbacks == {"gpt-5-mini": ("hf:org/repo:small.gguf",)}
    assert settings.instance("front").roles == ("Planner", "Critic")


def test_what_the_page_shows_as_a_file_loads(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    settings = load_settings(env=in_file(tmp_path, "\n".join(blocks)))
    assert settings.instance("inst0").slots == 16
    assert settings.budget("tenant", "acme") == BudgetSpec(
        tokens_per_month=40_000_000, tokens_per_day=2_000_000
    )
    assert settings.budget("agent", "anyone") == BudgetSpec(tokens=50_000)
