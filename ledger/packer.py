"""Commands in Redis' wire format.

redis-py's own packer, in pure Python, takes a sixth of a whole submit: it joins anew for every
argument. This one joins once.
"""

from __future__ import annotations

from typing import Any


class Packer:
    """Given to redis-py as ``command_packer``."""

    def pack(self, *args: Any) -> list[bytes]:
        """One command, an array of bulk strings (RESP 2 and 3 alike).

        Text is encoded as UTF-8; numbers as Python prints them. The command's own name may be of
        several words, such as ``SCRIPT LOAD``, which count as arguments each.
        """
        words = (*args[0].split(), *args[1:])
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            data = word if type(word) is bytes else str(word).encode("utf-8", "surrogateescape")
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
        return [b"".join(parts)]
