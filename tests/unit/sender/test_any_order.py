"""Whatever the ledger answers, and whenever it is away, both know the same text."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sending import AWAY, Bench, Sent
from workers.backends import Piece


class Books:
    """A ledger that goes away, before or after it has done what it was asked."""

    def __init__(self, words: list[str], trouble: list[str]) -> None:
        self.text, self.tokens, self.seen, self.last = "", 0, 0, ""
        self._words, self._trouble = iter(words), iter(trouble)

    def run(self, call: Any) -> Any:
        sent = Sent(*call.args)
        trouble = next(self._trouble, "")
        if trouble == "before":
            raise AWAY
        if sent.chunk > self.seen:
            assert sent.chunk == self.seen + 1
            self.last = next(self._words, "go")
            if self.last not in ("fenced", "budget"):
                self.seen = sent.chunk
                self.text += sent.event.text
                self.tokens += sent.tokens
        if trouble == "after":
            raise AWAY
        return call.read(self.last)


WORDS = st.sampled_from(["go"] * 6 + ["yield", "leave", "cancel", "deadline", "budget", "fenced"])


@settings(max_examples=150)
@given(
    pieces=st.lists(st.builds(Piece, st.text("abc ", max_size=3), st.integers(0, 3)), max_size=25),
    words=st.lists(WORDS, max_size=12),
    trouble=st.lists(st.sampled_from(["", "", "before", "after"]), max_size=25),
)
def test_what_the_sender_says_was_accepted_is_what_the_ledger_has(
    pieces: list[Piece], words: list[str], trouble: list[str]
) -> None:
    books = Books(words, trouble)
    bench = Bench(books)
    for piece in pieces:
        bench.sender.put(piece)

    control = bench.closing()()

    sender = bench.sender
    assert (sender.text, sender.tokens) == (books.text, books.tokens)
    whole = "".join(piece.text for piece in pieces)
    assert whole.startswith(sender.text)
    assert bench.stopped.is_set() == (control != "go")
    if control == "go" or (sender.delivered_all and control not in ("fenced", "budget")):
        assert sender.text == whole
        assert sender.tokens == sum(piece.tokens for piece in pieces)
