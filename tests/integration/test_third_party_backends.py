"""A backend that is no part of apexq: a package with an entry point of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

from producer import LLMClient
from tests.conftest import ON_ONE_SERVER, StartWorkers

pytestmark = ON_ONE_SERVER

MODULE = '''
from workers.backends import Abilities, Piece


class Parrot:
    """Says what it is told."""

    abilities = Abilities()

    def __init__(self, spec, settings):
        self._again = int(spec.options.get("again", 1))

    def load(self, say=None):
        pass

    def count_tokens(self, request):
        return len(request.texts[-1].split())

    def stream(self, run):
        words = run.request.texts[-1].split() * self._again
        for word in words[: run.max_tokens]:
            yield Piece(word + " ")
        yield Piece("", 0, "stop")

    def forget(self, tenant, session_id=None):
        pass

    def health(self):
        return ""

    def close(self):
        pass
'''


def installed(folder: Path) -> None:
    """As pip leaves a package with one module and its entry point."""
    (folder / "parrot_backend.py").write_text(MODULE, encoding="utf-8")
    facts = folder / "parrot_backend-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot-backend\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[apexq.backends]\nparrot = parrot_backend:Parrot\n")


def test_a_backend_of_a_third_party_answers_jobs_by_its_entry_point(
    client: LLMClient, start_workers: StartWorkers, tmp_path: Path
) -> None:
    # Given
    installed(tmp_path)
    spec = {"name": "inst0", "backend": "parrot", "again": 2}
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    start_workers("inst0", env={"APEX_LLM_INSTANCES": json.dumps([spec]), "PYTHONPATH": path})
    # When
    result = client.complete("one two", agent_id="a", max_tokens=9)
    # Then
    assert result.text == "one two one two "
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (2, 4)
