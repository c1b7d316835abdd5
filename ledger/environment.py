"""Settings as environment variables: which variable sets what, and what is given."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, Field

from ledger.errors import InvalidSetting

PREFIX = "APEX_"


class Given(NamedTuple):
    """A value that somebody gave for a setting, and where, in words for a complaint."""

    value: Any
    source: str


def setting(default: Any, *variables: str, about: str, **constraints: Any) -> Any:
    """A field of the settings.

    Args:
        default: its value when nobody gives one; a function of the fields before it if callable.
        variables: its environment variables, of which the first one wins.
        about: its meaning, as docs/settings.md has it.
        constraints: what pydantic's ``Field`` takes.
    """
    kind = "default_factory" if callable(default) else "default"
    return Field(
        **{kind: default},
        description=about,
        json_schema_extra={"variables": list(variables)},
        **constraints,
    )


def variables_of(model: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """The environment variables of each field of ``model``."""
    extras = {field: info.json_schema_extra for field, info in model.model_fields.items()}
    return {
        field: tuple(str(name) for name in cast("list[str]", extra["variables"]))
        for field, extra in extras.items()
        if isinstance(extra, dict)
    }


def read(env: Mapping[str, str], variables: Mapping[str, tuple[str, ...]]) -> dict[str, Given]:
    """What ``env`` gives, by field. A variable that is empty counts as not given.

    Raises:
        InvalidSetting: an unknown ``APEX_`` name, or two names of one setting that disagree.
    """
    known = [name for names in variables.values() for name in names]
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in known:
            raise InvalidSetting(
                f"Unknown environment variable {name}; did you mean {nearest(name, known)}?"
            )
    found = {}
    for field, names in variables.items():
        given = [Given(env[name].strip(), name) for name in names if env.get(name, "").strip()]
        if given:
            _refuse_two_minds(field, given)
            found[field] = given[0]
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of ``known`` that is spelled most like ``name``."""
    return difflib.get_close_matches(name, sorted(known), n=1, cutoff=0)[0]


def _refuse_two_minds(field: str, given: list[Given]) -> None:
    """APEX_ goes before LLM_, but two APEX_ names of one setting are the same name."""
    same = [one for one in given if one.source.startswith(PREFIX)]
    for other in same[1:]:
        if other.value != same[0].value:
            raise InvalidSetting(
                f"{same[0].source} and {other.source} both set {field} and differ; "
                "keep one of them."
            )
