"""Tables of the settings, which the environment gives as JSON."""

from __future__ import annotations

import json
from typing import Any


def tables(value: object, complaint: str) -> dict[str, Any]:
    """``value``, or the JSON object that it is as text.

    Raises:
        ValueError: it is neither; it says ``complaint``.
    """
    given: Any = value
    if isinstance(value, str):
        try:
            given = json.loads(value)
        except ValueError:
            given = None
    if not isinstance(given, dict):
        raise ValueError(complaint)
    return given
