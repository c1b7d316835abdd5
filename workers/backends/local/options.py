"""What an instance's table in ``apexq.toml`` may say of any model that is driven token by token."""

from __future__ import annotations

from pydantic import Field

from workers.backends.options import BackendOptions


class LocalOptions(BackendOptions):
    """``n_batch``: prompt tokens read in one step. ``resume_batch``: the same for a partial answer
    that is taken up from its text; with 1 it goes on exactly as an uninterrupted one. ``kept_mib``,
    ``kept_states``: how much of other sessions' contexts is kept, so that they are not read again.
    """

    n_batch: int = Field(default=512, ge=1, le=65_536)
    resume_batch: int = Field(default=1, ge=1, le=512)
    kept_mib: int = Field(default=512, ge=0)
    kept_states: int = Field(default=16, ge=0)
