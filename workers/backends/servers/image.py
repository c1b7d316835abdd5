"""An image of a message, for APIs that have forms of their own for it."""

from __future__ import annotations

import re
from typing import NamedTuple

from ledger.errors import InvalidRequest
from ledger.messages import ImagePart

_INLINE = re.compile(r"data:(image/[\w.+-]+);base64,", re.ASCII)


class Inline(NamedTuple):
    """An image that is in the message itself; ``data`` in Base64."""

    media_type: str
    data: str


def inline_of(image: ImagePart, backend: str) -> Inline | None:
    """The image, or None where its URL is one of the web.

    Raises:
        InvalidRequest: a ``detail`` is asked for, which only OpenAI's API has.
    """
    given = image.image_url
    if given.detail not in (None, "auto"):
        raise InvalidRequest(f"messages: {backend} has no detail of an image; leave detail out.")
    found = _INLINE.match(given.url)
    return None if found is None else Inline(found[1], given.url[found.end() :])
