"""The address of a server, as it may be shown."""

from __future__ import annotations

from urllib.parse import urlsplit


def shown(url: str) -> str:
    """``url`` without user and password, and without a query, which may have a key.

    Of one that cannot be read nothing but the scheme is left: where a password has a ``#`` or a
    ``/``, nobody can tell where it ends.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number, but a part of a password
    except ValueError:
        return f"{url.partition('://')[0]}://…"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
