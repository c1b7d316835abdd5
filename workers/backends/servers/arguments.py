"""The arguments of a call of a tool, for APIs that take them as an object."""

from __future__ import annotations

import json
from typing import Any

from ledger.errors import InvalidRequest


def arguments_of(function: dict[str, Any]) -> dict[str, Any]:
    """Those of a call's ``function`` in OpenAI's form, where they are JSON as text.

    Raises:
        InvalidRequest: they are no JSON object.
    """
    given = function.get("arguments") or "{}"
    try:
        found = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    raise InvalidRequest(
        f"messages: the arguments of the call of {function.get('name')!r} are no JSON object."
    )
