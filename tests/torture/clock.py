"""A worker's wall clock, which can be made to jump."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

SHIM = Path(__file__).with_name("clock_shim.c")


class Clock:
    """Compiles the shim; ``env`` is what a process needs to have this clock."""

    def __init__(self, folder: Path) -> None:
        self._offset, library = folder / "clock", folder / "clock_shim.so"
        compiler = shutil.which("cc")
        self.jumps = sys.platform == "linux" and compiler is not None
        self.env: dict[str, str] = {}
        if not self.jumps:
            return
        self.set(0)
        subprocess.run(
            [str(compiler), "-shared", "-fPIC", "-O1", "-o", library, SHIM, "-ldl"], check=True
        )
        self.env = {"LD_PRELOAD": str(library), "TORTURE_CLOCK": str(self._offset)}

    def set(self, seconds: int) -> None:
        """From now on it is so many seconds ahead of the machine's."""
        mode = "r+b" if self._offset.exists() else "w+b"
        with self._offset.open(mode) as file:
            file.write(struct.pack("=q", seconds))
