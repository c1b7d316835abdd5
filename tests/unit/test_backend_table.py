"""Which backend an instance gets, and how many jobs it may serve at once."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from ledger.errors import BackendMissing, InvalidSetting
from ledger.settings import InstanceSpec, Settings, load_settings
from tests.support.scripted import Script
from tests.support.sentences import is_one_sentence
from workers import backends
from workers.backends import Abilities, table


class OfTwo(Script):
    """Serves two jobs at once."""

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        super().__init__([], abilities=Abilities(slots=2))


class OfAny(Script):
    """Serves any number of jobs at once."""

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        super().__init__([], abilities=Abilities(slots=0))


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {name.lower(): f"{__name__}:{name}" for name in ("OfTwo", "OfAny")}
    monkeypatch.setattr(table, "BUILT_IN", {**table.BUILT_IN, **named})


def create(backend: str, slots: int) -> backends.Backend:
    spec = InstanceSpec(name="inst0", backend=backend, slots=slots)
    return backends.create(spec, load_settings(env={}))


def test_more_slots_than_a_backend_serves_are_refused_in_a_sentence() -> None:
    with pytest.raises(InvalidSetting) as refused:
        create("oftwo", 3)

    assert str(refused.value).startswith("inst0 has 3 slots and oftwo serves 2 jobs at a time;")
    assert is_one_sentence(refused.value)


@pytest.mark.parametrize(("backend", "slots"), [("oftwo", 2), ("ofany", 1000), ("mock", 16)])
def test_as_many_slots_as_it_serves_are_taken(backend: str, slots: int) -> None:
    assert create(backend, slots).abilities.slots in (0, 2)


def test_a_third_partys_backend_that_cannot_be_imported_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = EntryPoint("parrot", "no_such_package:Parrot", "apexq.backends")
    monkeypatch.setattr(table, "entry_points", lambda group: [point])

    with pytest.raises(BackendMissing) as refused:
        create("parrot", 1)

    assert "parrot cannot be imported (No module named 'no_such_package')" in str(refused.value)
    assert is_one_sentence(refused.value)
