"""From tokens to text, without a model: whole characters, stops, and tokens that add up."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from workers.backends.local.text import Ready, Text

TEXTS = st.text(alphabet="ab日é🙂 ", max_size=30)
STOPS = st.lists(st.text(alphabet="ab日", min_size=1, max_size=4), max_size=3).map(tuple)


@st.composite
def tokens(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A text, and its bytes cut into tokens anywhere."""
    text = draw(TEXTS)
    data = text.encode()
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=40).map(sorted))
    return text, [data[one:other] for one, other in itertools.pairwise([0, *cuts, len(data)])]


def fed(pieces: list[bytes], stops: tuple[str, ...] = (), before: str = "") -> list[Ready]:
    text = Text(stops, before)
    seen = []
    for piece in pieces:
        seen.append(text.push(piece))
        if seen[-1].stopped:
            return seen
    return [*seen, text.flush()]


@given(tokens())
def test_text_comes_out_whole_and_each_token_counts_once(given: tuple[str, list[bytes]]) -> None:
    text, pieces = given
    seen = fed(pieces)

    assert "".join(one.text for one in seen) == text
    assert sum(one.tokens for one in seen) == len(pieces)
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(one.text for one in seen)


@given(tokens(), STOPS)
def test_a_token_without_text_waits_for_the_one_behind_it(
    given: tuple[str, list[bytes]], stops: tuple[str, ...]
) -> None:
    _, pieces = given
    *begun, _ = fed(pieces, stops)

    assert all(bool(one.text) == bool(one.tokens) for one in begun)


@given(tokens(), STOPS)
def test_text_ends_before_the_stop_that_is_complete_first(
    given: tuple[str, list[bytes]], stops: tuple[str, ...]
) -> None:
    text, pieces = given
    seen = fed(pieces, stops)

    found: list[int] = []
    for count in range(1, len(pieces) + 1):
        so_far = b"".join(pieces[:count]).decode(errors="ignore")
        found = found or [at for stop in stops if (at := so_far.find(stop)) >= 0]
    assert "".join(one.text for one in seen) == text[: min(found, default=None)]
    assert seen[-1].stopped == bool(found)


@given(tokens(), STOPS)
def test_what_went_out_ends_where_a_token_ends(
    given: tuple[str, list[bytes]], stops: tuple[str, ...]
) -> None:
    _, pieces = given
    out, count = "", 0

    for one in fed(pieces, stops)[:-1]:
        out, count = out + one.text, count + one.tokens
        assert out.encode() == b"".join(pieces[:count])


@given(tokens(), tokens(), STOPS)
def test_no_stop_shows_where_an_answer_was_taken_up(
    given: tuple[str, list[bytes]], others: tuple[str, list[bytes]], stops: tuple[str, ...]
) -> None:
    out = ""
    for one in fed(given[1], stops)[:-1]:
        out += one.text
        rest = "".join(one.text for one in fed(others[1], stops, out))
        assert not any(stop in out + rest for stop in stops)


def test_what_went_out_before_counts_only_for_what_follows_it() -> None:
    assert "".join(one.text for one in fed([b"b", b"a"], ("xa",), "x")) == "ba"
    assert "".join(one.text for one in fed([b"a", b"b"], ("xa",), "x")) == ""


def test_bytes_that_are_no_utf8_become_replacement_characters() -> None:
    assert "".join(one.text for one in fed([b"a\xff", b"\xc3", b"b"])) == "a\ufffd\ufffdb"


def test_a_character_that_was_only_begun_is_left_out_at_the_end() -> None:
    seen = fed([b"a", "é".encode()[:1]])

    assert "".join(one.text for one in seen) == "a"
    assert sum(one.tokens for one in seen) == 2
