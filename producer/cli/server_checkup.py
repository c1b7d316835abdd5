"""What ``apexq doctor`` looks at of the servers that have models: whether they answer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from http.client import HTTPException
from threading import Thread
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from ledger.address import shown
from ledger.model_servers import servers_of
from ledger.settings import Settings
from producer.cli.check import Check

PATIENCE_S = 3.0


def check_servers(settings: Settings) -> Check:
    """Whether somebody answers at the address of each. No key is sent, no model is asked."""
    asking: dict[str, list[str]] = {}  # who asks which
    for spec in settings.instances:
        for url in servers_of(spec, settings):
            asking.setdefault(shown(url), []).append(spec.name)
    if not asking:
        return Check("servers", "ok", "no instance asks a server")
    troubles = troubles_at(asking)
    lines = [
        f"{url} ({', '.join(names)}) {trouble or 'answers'}"
        for (url, names), trouble in zip(asking.items(), troubles, strict=True)
    ]
    well = troubles.count("")
    found = f"{well} of {len(asking)} answer this machine"
    if well == len(asking):
        return Check("servers", "ok", found, lines=tuple(lines))
    todo = "start it, or correct base_url or LLM_API_BASE; until then its jobs wait"
    return Check("servers", "warn", found, todo, tuple(lines))


def troubles_at(urls: Iterable[str]) -> list[str]:
    """As :func:`trouble_at`, of all at once; takes PATIENCE_S at most."""
    found = dict.fromkeys(urls, f"does not answer within {PATIENCE_S:g} s")

    def ask(url: str) -> None:
        found[url] = trouble_at(url)

    threads = [Thread(target=ask, args=(url,), daemon=True) for url in found]
    for thread in threads:
        thread.start()
    until = time.monotonic() + PATIENCE_S
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0))
    return list(found.values())


def trouble_at(url: str) -> str:
    """Empty if a server answers, be it that it wants a key or knows no such page."""
    try:
        with urlopen(Request(url, headers={"User-Agent": "apexq"}), timeout=PATIENCE_S):
            return ""
    except HTTPError as error:
        with error:
            return "" if error.code < 500 else f"answers {error.code} {error.reason}"
    except URLError as error:
        return f"does not answer ({error.reason})"
    except (OSError, HTTPException, ValueError) as error:
        return f"does not answer ({error or type(error).__name__})"
