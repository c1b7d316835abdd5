"""Tokens into text: only whole characters, and never a stop string or the beginning of one.

What is handed out ends at a token's end, always, so that an answer can be continued from there and
tokens and text agree. That token has text: one without would be made, and counted, once more by
whoever goes on. A token that cannot be handed out yet is held with all that follows it.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import NamedTuple


class Ready(NamedTuple):
    """Text that may go out, the tokens it stands for, and whether a stop string ended it."""

    text: str
    tokens: int
    stopped: bool = False


class Utf8:
    """Decodes bytes as they come. Bytes that are no UTF-8 become U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, data: bytes) -> str:
        """The characters that ``data`` completes."""
        return self._decoder.decode(data)

    @property
    def whole(self) -> bool:
        """True if no character is begun."""
        return not self._decoder.getstate()[0]

    def peek(self, data: bytes) -> tuple[str, bool]:
        """What :meth:`push` would return, and :attr:`whole` after it; nothing changes."""
        state = self._decoder.getstate()
        seen = self.push(data), self.whole
        self._decoder.setstate(state)
        return seen


@dataclass(slots=True)
class _Held:
    text: str
    whole: bool


class Text:
    """One answer's tokens on their way out."""

    def __init__(self, stops: tuple[str, ...] = (), before: str = "") -> None:
        """
        Args:
            stops: texts that end the answer.
            before: what has gone out of an answer that is taken up; a stop string may begin there.
        """
        self._stops = stops
        self._longest = max(map(len, stops), default=0)
        self._before = before[-self._longest :] if stops else ""
        self._utf8 = Utf8()
        self._held: list[_Held] = []

    def push(self, data: bytes) -> Ready:
        """Takes the bytes of the next token; says what may go out."""
        text = self._utf8.push(data)
        self._held.append(_Held(text, self._utf8.whole))
        held = "".join(one.text for one in self._held)
        seen = self._before + held
        found = [at for stop in self._stops if (at := seen.find(stop)) >= 0]
        if found:
            end = max(0, min(found) - len(self._before))
            return Ready(held[:end], self._drop(len(self._held)), stopped=True)
        ready = self._up_to(len(held) - self._begun_stop(held))
        if self._stops:
            self._before = (self._before + ready.text)[-self._longest :]
        return ready

    def flush(self) -> Ready:
        """All that is held, at the answer's end; a character that was only begun is left out."""
        text = "".join(one.text for one in self._held)
        return Ready(text, self._drop(len(self._held)))

    def _begun_stop(self, held: str) -> int:
        """How many characters at the end may be the beginning of a stop string."""
        longest = 0
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(held)), longest, -1):
                if held.endswith(stop[:size]):
                    longest = size
                    break
        return longest

    def _up_to(self, limit: int) -> Ready:
        """The held tokens that end within ``limit`` characters, up to a whole character."""
        end, text, passed = 0, "", ""
        for count, one in enumerate(self._held, 1):
            passed += one.text
            if len(passed) > limit:
                break
            if one.whole and one.text:
                end, text = count, passed
        return Ready(text, self._drop(end))

    def _drop(self, count: int) -> int:
        del self._held[:count]
        return count
