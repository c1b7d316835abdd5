"""Types of what travels as JSON: text that can be encoded, objects that JSON can carry."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator

MAX_DEPTH = 100  # of nested JSON; pydantic's own reader and writer give up somewhere above


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text has a lone surrogate and cannot be encoded as UTF-8") from None
    return text


def _as_it_arrives(value: Any) -> Any:
    """``value`` after its way through JSON, so that sender and receiver see the same."""
    try:
        plain = json.loads(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"JSON cannot carry this ({error})") from None
    level = [plain]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
    if level:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    return plain


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


Text = Annotated[str, AfterValidator(_encodable)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_as_it_arrives)]
