"""Pydantic's complaint about a setting, as our error."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pydantic import ValidationError

from ledger.environment import Given
from ledger.errors import InvalidSetting

WORDING = {
    "Field required": "is missing",
    "Input should": "must",
    "String should": "must",
    "Value should": "must",
    "valid tuple": "list",
    "valid dictionary or instance of InstanceSpec": "table",
}


def refusal(
    error: ValidationError, given: Mapping[str, Given], secret: Collection[str]
) -> InvalidSetting:
    """The first complaint as one sentence, with the name of the value's source.

    Args:
        error: of the settings' model.
        given: the values that were validated, by field.
        secret: fields whose value is not shown.
    """
    first = error.errors(include_url=False)[0]
    said = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return InvalidSetting(_ended(said))
    field, *inner = first["loc"]
    where = given[str(field)].source
    if inner:
        where = f"{_place(inner)} of {where}"
    if first["type"] == "value_error":
        return InvalidSetting(_ended(f"{where}: {said}"))
    said = said.partition(", unable")[0].partition(", got")[0]
    for theirs, ours in WORDING.items():
        said = said.replace(theirs, ours)
    if isinstance(first["input"], str | int | float) and field not in secret:
        said = f"{said}, not {str(first['input'])[:80]!r}"
    return InvalidSetting(_ended(f"{where} {said}"))


def _place(inner: Sequence[str | int]) -> str:
    """Where in a value, for a reader who counts from 1: ``slots of number 2``."""
    first, *rest = inner
    if isinstance(first, str):
        return ".".join(map(str, inner))
    number = f"number {first + 1}"
    return f"{'.'.join(map(str, rest))} of {number}" if rest else number


def _ended(said: str) -> str:
    return said if said.endswith(("?", ".")) else f"{said}."
