"""What a producer was answered and what it read: lines of JSON that outlive its process."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ACCEPTED = "accepted"


@dataclass(slots=True)
class Read:
    """What one reader had in the end. ``differs``: seqs that it got twice, not alike."""

    text: str
    end: str
    reconnects: int = 0
    differs: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    """One job number: its id, ``accepted`` or the code of the refusal, and how it was read."""

    job_id: str
    answer: str
    read: Read | None = None

    @property
    def accepted(self) -> bool:
        return self.answer == ACCEPTED


class Journal:
    """Appends to a file; threads may share one."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._one_at_a_time = threading.Lock()

    def answered(self, number: int, job_id: str, answer: str) -> None:
        """Job ``number`` was accepted, or refused with an error's code."""
        self._write({"n": number, "id": job_id, "answer": answer})

    def read(self, number: int, read: Read) -> None:
        """Job ``number`` was read to its end."""
        self._write({"n": number, "read": asdict(read)})

    def _write(self, line: dict[str, Any]) -> None:
        with self._one_at_a_time:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


def entries(path: Path) -> dict[int, Entry]:
    """What a journal says, by job number. A last line that was cut by a SIGKILL is left out."""
    found: dict[int, Entry] = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if "answer" in said:
            found[said["n"]] = Entry(said["id"], said["answer"])
        else:
            found[said["n"]].read = Read(**said["read"])
    return found
