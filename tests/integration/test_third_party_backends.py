"""A backend that is no part of apexq: a package with an entry point, as docs/backends.md shows."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from producer import LLMClient
from tests.conftest import ON_ONE_SERVER, StartWorkers
from tests.support.workers import ROOT

pytestmark = ON_ONE_SERVER

PAGE = (ROOT / "docs" / "backends.md").read_text("utf-8")
[MODULE] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
[TARGET] = re.findall(r'^parrot = "(.*)"$', PAGE, re.MULTILINE)


def installed(folder: Path) -> None:
    """As pip leaves a package with one module and its entry point."""
    (folder / "parrot_backend.py").write_text(MODULE, encoding="utf-8")
    facts = folder / "parrot_backend-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot-backend\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[apexq.backends]\nparrot = {TARGET}\n")


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
