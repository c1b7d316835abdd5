"""The address of a server, as it may be shown."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def shown(url: str) -> str:
    """``url`` without user and password, and without a query, which may have a key.

    Of one that cannot be read for sure nothing but the scheme is left: where a password has a
    ``#`` or a ``/``, nobody can tell where it ends, and an ``@`` behind the host may be its end.
    """
    unreadable = f"{url.partition('://')[0]}://…"
    try:
        parts = _read(url)
    except ValueError:
        return unreadable
    if "@" in parts.path + parts.query + parts.fragment:
        return unreadable
    return _bare(parts)


def bare(url: str) -> str:
    """``url`` without user, password and query, to be asked; what of it may be shown is
    :func:`shown`.

    Raises:
        ValueError: it cannot be read; its words quote a part of it.
    """
    return _bare(_read(url))


def _read(url: str) -> SplitResult:
    parts = urlsplit(url)
    _ = parts.port  # raises where it is no number, but a part of a password
    return parts


def _bare(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
