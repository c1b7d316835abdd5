"""The address of a server, as it may be shown."""

from __future__ import annotations

from urllib.parse import urlsplit


def shown(url: str) -> str:
    """``url`` without user and password, and without a query, which may have a key.

    Of one that cannot be read for sure nothing but the scheme is left: where a password has a
    ``#`` or a ``/``, nobody can tell where it ends, and an ``@`` behind the host may be its end.
    """
    unreadable = f"{url.partition('://')[0]}://…"
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number, but a part of a password
    except ValueError:
        return unreadable
    if "@" in parts.path + parts.query + parts.fragment:
        return unreadable
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
