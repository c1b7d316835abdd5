"""Celery's results, read from the ledger. Nothing is stored here."""

from __future__ import annotations

from typing import Any

from celery import states
from celery.backends.redis import RedisBackend

from ledger import keys
from ledger.jobs import CELERY_STATES, celery_meta
from ledger.messages import State
from ledger.status import read_result


class LedgerBackend(RedisBackend):
    """``AsyncResult(job.id)`` sees a job: its state, and its text once it has succeeded."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """No SUBSCRIBE for each enqueue; who waits subscribes."""

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        pipe = self.client.pipeline(transaction=False)
        pipe.hget(keys.job(task_id), "state")
        pipe.get(keys.result(task_id))
        state, stored = pipe.execute()
        result = read_result(task_id, stored.decode() if stored else "")
        if result is None:
            known = CELERY_STATES[State(state.decode())] if state else states.PENDING
            known = known if known in (states.PENDING, states.STARTED) else states.PENDING
            return {"status": known, "result": None}
        meta = celery_meta(result)
        if meta["status"] in states.EXCEPTION_STATES:
            meta["result"] = self.exception_to_python(meta["result"])
        return meta

    def mget(self, keys_: list[Any]) -> list[bytes | None]:
        """Encoded meta of ended tasks, for ResultSet and group joins."""
        first = len(self.task_keyprefix)
        out: list[bytes | None] = []
        for key in keys_:
            name = key if isinstance(key, bytes) else key.encode()
            result = self._stored(name[first:].decode())
            out.append(self.encode(celery_meta(result)) if result else None)
        return out

    def _stored(self, task_id: str) -> Any:
        stored = self.client.get(keys.result(task_id))
        return read_result(task_id, stored.decode() if stored else "")

    def _store_result(self, task_id: str, result: Any, state: str, **_: Any) -> Any:
        return result

    def _forget(self, task_id: str) -> None:
        """The ledger keeps what it keeps; retention is a setting."""
