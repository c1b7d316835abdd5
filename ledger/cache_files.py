"""The response cache as files: one for each answer, in a folder for each tenant."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ledger.cache import Kept
from ledger.cache_key import CacheKey
from ledger.errors import CorruptEntry
from ledger.messages import Request
from ledger.settings import Settings

log = logging.getLogger(__name__)

SWEEP_EVERY = 64  # one answer in so many, by its digest, has the size of the cache looked at
PART_S = 3600.0  # a file that is still being written after so long has lost its writer


class CacheFiles:
    """A directory, which all callers and workers of a machine may share.

    What cannot be read is no answer, and what cannot be written is not kept: the log says so, the
    jobs go on.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ttl_s: float,
        most_bytes: int,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._folder, self._ttl_s, self._most_bytes, self._now_s = folder, ttl_s, most_bytes, now_s

    @classmethod
    def of(cls, settings: Settings) -> CacheFiles | None:
        """Those that the settings name; None where the cache lies in Redis."""
        if settings.cache_dir is None:
            return None
        most_bytes = settings.cache_max_mb * 1_000_000
        return cls(settings.cache_dir, ttl_s=settings.cache_ttl_s, most_bytes=most_bytes)

    def read(self, key: CacheKey) -> Kept | None:
        """The answer in this place."""
        path = self._path(key)
        try:
            if self._now_s() - path.stat().st_mtime > self._ttl_s:
                return None
            stored = json.loads(path.read_bytes())
            kept = Kept(stored["record"], stored["event"])
            kept.result("", "")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, CorruptEntry) as error:
            log.warning("%s cannot be read from the cache (%s)", path, type(error).__name__)
            return None
        return kept

    def keep(self, kept: Kept, request: Request, key: CacheKey) -> None:
        """Puts an answer there, whole or not at all; the oldest ones make room now and then."""
        path = self._path(key)
        whose = {"agent": request.agent_id, "session": request.session_id}
        data = json.dumps({**whose, "record": kept.record, "event": kept.event}).encode()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(path, data, self._now_s())
            if int(key.digest[:8], 16) % SWEEP_EVERY == 0:
                self._sweep()
        except OSError as error:
            log.warning("%s cannot be written into the cache: %s", path, error.strerror)

    def forget(self, tenant: str, agent_id: str | None, session_id: str | None) -> int:
        """Removes a tenant's answers, or those of one of its sessions; returns how many."""
        folder = self._folder_of(tenant)
        gone = [
            path
            for path in folder.glob("*.json")
            if session_id is None or _whose(path) == (agent_id, session_id)
        ]
        # Whose a part is cannot be told; one that is being written now is missed by nobody.
        for path in (*gone, *folder.glob("*.part")):
            path.unlink(missing_ok=True)
        if session_id is None:
            shutil.rmtree(folder, ignore_errors=True)
        return len(gone)

    def _sweep(self) -> None:
        """Removes what is too old, and the oldest of what is too much."""
        left = self._most_bytes
        for modified, size, path in sorted(self._files("*/*.json"), reverse=True):
            left -= size
            if left < 0 or self._now_s() - modified > self._ttl_s:
                path.unlink(missing_ok=True)
        for modified, _, path in self._files("*/*.part"):
            if self._now_s() - modified > PART_S:
                path.unlink(missing_ok=True)

    def _files(self, pattern: str) -> Iterator[tuple[float, int, Path]]:
        for path in self._folder.glob(pattern):
            try:
                facts = path.stat()
            except FileNotFoundError:  # another process removed it
                continue
            yield facts.st_mtime, facts.st_size, path

    def _folder_of(self, tenant: str) -> Path:
        # A tenant's name may be none that a file can have.
        return self._folder / hashlib.blake2b(tenant.encode(), digest_size=16).hexdigest()

    def _path(self, key: CacheKey) -> Path:
        return self._folder_of(key.tenant) / f"{key.digest}.json"


def _write(path: Path, data: bytes, now_s: float) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.utime(part, (now_s, now_s))
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _whose(path: Path) -> tuple[str | None, str | None]:
    try:
        kept = json.loads(path.read_bytes())
        return kept["agent"], kept["session"]
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
