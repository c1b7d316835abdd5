"""The cache as a directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger.cache import Kept
from ledger.cache_files import PART_S, SWEEP_EVERY, CacheFiles
from ledger.cache_key import CacheKey, key_of
from ledger.messages import Request, Result, State

ANSWER = Kept.of(Result(job_id="1", state=State.SUCCEEDED, text="Grüße"))


class Days:
    """A clock that is moved by hand."""

    now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def asked(prompt: str = "hello", tenant: str = "acme", session_id: str | None = None) -> Request:
    return Request(prompt=prompt, agent_id="a", tenant=tenant, session_id=session_id)


def key(request: Request) -> CacheKey:
    return key_of(request, "fingerprint")


@pytest.fixture
def clock() -> Days:
    return Days()


@pytest.fixture
def files(tmp_path: Path, clock: Days) -> CacheFiles:
    return CacheFiles(tmp_path / "cache", ttl_s=60, most_bytes=10_000, now_s=clock)


def test_an_answer_is_read_as_it_was_kept(files: CacheFiles) -> None:
    assert files.read(key(asked())) is None
    files.keep(ANSWER, asked(), key(asked()))
    kept = files.read(key(asked()))
    assert kept == ANSWER
    assert kept.result("2", "inst1").text == "Grüße"
    assert files.read(key(asked("another"))) is None
    assert files.read(key(asked(tenant="other"))) is None


def test_an_answer_is_none_once_its_time_is_over(files: CacheFiles, clock: Days) -> None:
    files.keep(ANSWER, asked(), key(asked()))
    clock.now_s += 61
    assert files.read(key(asked())) is None


def test_the_oldest_answers_make_room(files: CacheFiles, clock: Days, tmp_path: Path) -> None:
    requests = [asked(f"question {number}") for number in range(3000)]
    for request in requests:
        clock.now_s += 0.001
        files.keep(ANSWER, request, key(request))

    sizes = [path.stat().st_size for path in tmp_path.glob("cache/*/*")]

    assert sum(sizes) < 10_000 + 10 * SWEEP_EVERY * sizes[0]
    assert files.read(key(requests[-1])) is not None
    assert files.read(key(requests[0])) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"record": "x", "event": ""}', b"\xff"])
def test_a_damaged_file_is_no_answer(
    files: CacheFiles, tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    files.keep(ANSWER, asked(), key(asked()))
    (path,) = tmp_path.glob("cache/*/*.json")
    path.write_bytes(damage)
    assert files.read(key(asked())) is None
    assert "cannot be read from the cache" in caplog.text


def left_by_a_killed_process(folder: Path, clock: Days) -> Path:
    (answer,) = folder.glob("cache/*/*.json")
    part = answer.with_name("killed.part")
    part.write_text("half an ans")
    os.utime(part, (clock.now_s, clock.now_s))
    return part


def test_what_a_killed_process_was_writing_is_removed_after_an_hour(
    files: CacheFiles, clock: Days, tmp_path: Path
) -> None:
    files.keep(ANSWER, asked(), key(asked()))
    part = left_by_a_killed_process(tmp_path, clock)

    def sweeping() -> None:
        for number in range(10 * SWEEP_EVERY):
            files.keep(ANSWER, asked(f"{number}"), key(asked(f"{number}")))

    sweeping()
    assert part.exists()
    clock.now_s += PART_S + 1
    sweeping()
    assert not part.exists()


@pytest.mark.parametrize("session", [("a", "s"), (None, None)], ids=["session", "tenant"])
def test_to_forget_removes_what_a_killed_process_was_writing(
    files: CacheFiles, clock: Days, tmp_path: Path, session: tuple[str | None, str | None]
) -> None:
    files.keep(ANSWER, asked(), key(asked()))
    part = left_by_a_killed_process(tmp_path, clock)

    files.forget("acme", *session)

    assert not part.exists()


def test_a_folder_that_cannot_be_written_keeps_nothing_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    files = CacheFiles(tmp_path / "file", ttl_s=60, most_bytes=10_000)
    files.keep(ANSWER, asked(), key(asked()))
    assert "cannot be written into the cache" in caplog.text
    assert files.read(key(asked())) is None


def test_nobody_else_may_read_the_answers(files: CacheFiles, tmp_path: Path) -> None:
    files.keep(ANSWER, asked(), key(asked()))
    (path,) = tmp_path.glob("cache/*/*.json")
    assert path.stat().st_mode & 0o077 == path.parent.stat().st_mode & 0o077 == 0


def test_a_tenants_answers_are_forgotten_or_those_of_a_session(files: CacheFiles) -> None:
    all_of_them = [asked(), asked("2", session_id="s"), asked("3", tenant="other")]
    for request in all_of_them:
        files.keep(ANSWER, request, key(request))

    assert files.forget("acme", "a", "s") == 1
    assert [files.read(key(one)) is None for one in all_of_them] == [False, True, False]
    assert files.forget("acme", None, None) == 1
    assert [files.read(key(one)) is None for one in all_of_them] == [True, True, False]
    assert files.forget("acme", None, None) == 0
