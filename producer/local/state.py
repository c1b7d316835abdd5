"""The directory of a stack with a memory: its lock, its state file, its data and its logs."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ledger.errors import StackFailed

PROBES = 5
PROBE_PAUSE_S = 0.02


class State(BaseModel):
    """A stack that is up. ``started_at`` is in seconds since 1970.

    ``answered`` is the id of the last :class:`Wish` that was looked at; ``error``, a record, says
    why it could not be granted.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")  # written by another version, perhaps

    pid: int
    started_at: float
    redis_url: str
    instances: tuple[str, ...]
    log_dir: Path
    answered: str = ""
    error: dict[str, Any] | None = None


class Wish(BaseModel):
    """How many instances somebody wants; ``id`` is the answer's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    instances: int


class StateDir:
    """One stack's directory, by default ``.apexq``; only its owner may look inside.

    The supervisor holds a lock on a file in it for as long as it lives, and the kernel lets go of
    that lock at its death, however it died. So a held lock proves that the pid in the state file is
    the supervisor's, and a pid that was given to another process since is never signalled.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.data, self.log = self.path / "data", self.path / "log"
        self._state, self._lock = self.path / "state.json", self.path / "lock"
        self._wish = self.path / "wish.json"
        self._held = -1

    def make(self) -> None:
        """Makes the directories.

        Raises:
            StackFailed: that is not possible there.
        """
        try:
            for path in (self.path, self.data, self.log):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StackFailed(
                f"The state directory {self.path} cannot be made: {error.strerror}."
            ) from None

    def hold(self) -> None:
        """Takes the lock until this process ends, and removes a dead stack's state.

        Raises:
            StackFailed: another process has it.
        """
        self.make()
        self._held = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        for attempt in range(PROBES):
            if attempt:  # it may have been somebody who only looked
                time.sleep(PROBE_PAUSE_S)
            with suppress(BlockingIOError):
                fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.clear()
                return
        os.close(self._held)
        self._held = -1
        raise StackFailed(f"A stack is up already in {self.path}; stop it with `apexq down`.")

    def held(self) -> bool:
        """Whether a supervisor lives that has the lock."""
        try:
            lock = os.open(self._lock, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def write(self, state: State) -> None:
        """Replaces the state file."""
        _replace(self._state, state)

    def wish(self, wish: Wish) -> None:
        """Leaves a wish for the supervisor, who looks at it at SIGHUP."""
        _replace(self._wish, wish)

    def read_wish(self) -> Wish | None:
        """The last wish, or None if there is none."""
        try:
            return Wish.model_validate_json(self._wish.read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def read(self) -> State | None:
        """What the state file says, or None if there is none."""
        try:
            return State.model_validate_json(self._state.read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def clear(self) -> None:
        """Removes the state file, if this process is the one that writes it."""
        if self._held >= 0:
            self._state.unlink(missing_ok=True)
            self._wish.unlink(missing_ok=True)


def _replace(path: Path, content: BaseModel) -> None:
    draft = path.with_suffix(".new")
    # A URL may have a password in it.
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(content.model_dump_json(indent=2) + "\n")
    draft.replace(path)
