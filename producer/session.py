"""A session, seen from the caller's side: what an agent and its model have said so far."""

from __future__ import annotations

from ledger.redis_client import AsyncLedger, Ledger
from ledger.sessions import Turn
from ledger.steps import drive, drive_async
from producer.operations import Operations


class Session:
    """A handle by name; a session exists from its first turn on.

    Requests with its ``session_id`` and ``history=True`` read its turns and add to them.
    """

    def __init__(
        self, agent_id: str, session_id: str, ledger: Ledger, operations: Operations
    ) -> None:
        operations.check_session(agent_id, session_id)
        self.agent_id, self.id = agent_id, session_id
        self._ledger, self._operations = ledger, operations

    def turns(self) -> tuple[Turn, ...]:
        """The turns that are kept, oldest first; each has ``.job_id`` and ``.messages``.

        Raises:
            CorruptEntry, RedisUnavailable
        """
        steps = self._operations.session(self.agent_id, self.id)
        return drive(self._ledger, steps).turns

    def clear(self) -> bool:
        """Forgets all turns and the system messages; tokens that were spent stay spent.

        A job that runs meanwhile still adds its turn. Returns False if there was nothing.

        Raises:
            RedisUnavailable
        """
        return drive(self._ledger, self._operations.clear_session(self.agent_id, self.id))


class AsyncSession:
    """As :class:`Session`, with await."""

    def __init__(
        self, agent_id: str, session_id: str, ledger: AsyncLedger, operations: Operations
    ) -> None:
        operations.check_session(agent_id, session_id)
        self.agent_id, self.id = agent_id, session_id
        self._ledger, self._operations = ledger, operations

    async def turns(self) -> tuple[Turn, ...]:
        """As :meth:`Session.turns`."""
        steps = self._operations.session(self.agent_id, self.id)
        return (await drive_async(self._ledger, steps)).turns

    async def clear(self) -> bool:
        """As :meth:`Session.clear`."""
        steps = self._operations.clear_session(self.agent_id, self.id)
        return await drive_async(self._ledger, steps)
