"""How busy an endpoint is, counted over all processes of this host.

A request takes a berth, a byte of a file that its process locks. The kernel gives it back when the
process ends, however that ends. Locks of other hosts are not seen.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
import threading
from pathlib import Path

MANY = 4096  # berths where no limit is set


class Berths:
    """The berths of one endpoint, numbered from 0; the lowest free one says how busy it is."""

    def __init__(self, url: str, most: int | None, folder: Path | None = None) -> None:
        """
        Args:
            url: of the endpoint; all who name it alike share its berths.
            most: how many there are; None: enough for everybody.
            folder: where their file lies; None: one of this user's in the temporary folder.
        """
        self.most = most or MANY
        name = hashlib.sha256(url.encode()).hexdigest()[:24]
        path = (folder or _own_folder()) / f"{name}.busy"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._taken: set[int] = set()  # locks exclude other processes, not other threads
        self._lock = threading.Lock()

    def take(self, number: int) -> bool:
        """Takes a berth if it is free."""
        with self._lock:
            if number >= self.most or number in self._taken:
                return False
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except OSError:
                return False
            self._taken.add(number)
            return True

    def give_back(self, number: int) -> None:
        """Gives one back."""
        with self._lock:
            if number in self._taken:
                self._taken.discard(number)
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)

    def close(self) -> None:
        """Gives all back; it is not used any more then."""
        with self._lock:
            self._taken.clear()
            os.close(self._file)


def _own_folder() -> Path:
    """A folder that only this user can write to."""
    folder = Path(tempfile.gettempdir()) / f"apexq-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        return Path(tempfile.mkdtemp(prefix="apexq-"))  # somebody else's: shared with nobody
    return folder
