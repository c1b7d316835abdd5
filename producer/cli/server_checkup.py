"""What ``apexq doctor`` looks at of the servers that have models: whether they answer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from http.client import HTTPException
from threading import Thread
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, build_opener, getproxies, proxy_bypass

from ledger.address import bare, shown
from ledger.model_servers import ASKING, servers_of
from ledger.settings import Settings
from producer.cli.check import Check

PATIENCE_S = 3.0


def check_servers(settings: Settings) -> Check:
    """Whether somebody answers at the address of each. No key is sent, no model is asked."""
    asking: dict[tuple[str, str], list[str]] = {}  # who asks which, and how that is shown
    nowhere: list[str] = []  # who is to ask one, and has no address
    for spec in settings.instances:
        urls = servers_of(spec, settings)
        for url in urls:
            asking.setdefault((_asked(url), shown(url)), []).append(spec.name)
        if spec.backend in ASKING and spec.backend != "remote" and not urls:
            nowhere.append(spec.name)
    if nowhere:
        found = f"{', '.join(nowhere)}: no address that begins with http:// or https:// is named"
        return Check("servers", "fail", found, "set base_url or endpoints, or LLM_API_BASE")
    if not asking:
        return Check("servers", "ok", "no instance asks a server")
    troubles = troubles_at(url for url, _ in asking)
    lines = [
        f"{where} ({', '.join(names)}) {troubles[url] or 'answers'}"
        for (url, where), names in asking.items()
    ]
    well = sum(not troubles[url] for url, _ in asking)
    found = f"{well} of {len(asking)} answer this machine"
    if well == len(asking):
        return Check("servers", "ok", found, lines=tuple(lines))
    todo = "start it, or correct base_url or LLM_API_BASE; until then its jobs wait"
    return Check("servers", "warn", found, todo, tuple(lines))


def troubles_at(urls: Iterable[str]) -> dict[str, str]:
    """As :func:`trouble_at`, of all at once, by address; takes PATIENCE_S at most."""
    found = dict.fromkeys(urls, f"does not answer within {PATIENCE_S:g} s")

    def ask(url: str) -> None:
        found[url] = trouble_at(url)

    threads = [Thread(target=ask, args=(url,), daemon=True) for url in found]
    for thread in threads:
        thread.start()
    until = time.monotonic() + PATIENCE_S
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0))
    return dict(found)  # who still waits writes no more into this


def trouble_at(url: str) -> str:
    """Empty if a server answers, be it that it wants a key or knows no such page."""
    ask = build_opener().open  # by the proxies of this moment
    try:
        with ask(Request(url, headers={"User-Agent": "apexq"}), timeout=PATIENCE_S):
            return ""
    except HTTPError as error:
        with error:
            said = f"answers {error.code} {error.reason}"
            if proxy := _answering_proxy(url):
                return f"{said}, or the proxy {proxy} does, which NO_PROXY leaves out"
            return "" if error.code < 500 else said
    except URLError as error:
        return f"does not answer ({error.reason})"
    except OSError as error:
        return f"does not answer ({error or type(error).__name__})"
    except (HTTPException, ValueError) as error:  # its words may quote a part of a password
        return f"cannot be asked ({type(error).__name__})"


def _asked(url: str) -> str:
    """The address with nothing secret, as HTTP clients send it; empty if it is none."""
    try:
        return quote(bare(url), safe=":/?[]@!$&'()*+,;=%~")
    except ValueError:
        return ""


def _answering_proxy(url: str) -> str:
    """The proxy, as it is shown, whose own page an answer from ``url`` may be; empty: none.

    What a proxy says of itself where it is asked for ``https`` is never taken for an answer.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or proxy_bypass(parts.netloc):
        return ""
    proxy = getproxies().get("http", "")
    return proxy and shown(proxy if "://" in proxy else f"http://{proxy}")
