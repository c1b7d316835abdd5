"""How many tokens an attempt may still make."""

from __future__ import annotations

from budgets import levels_of
from ledger import jobs
from ledger.errors import ContextTooLong
from ledger.jobs import Claim
from ledger.messages import Request
from workers.backends import Estimate
from workers.persist import persist
from workers.place import Place


class Allowance:
    """What request, window and budgets allow one attempt; ``prompt_tokens``: as counted by now."""

    def __init__(self, place: Place, claim: Claim, request: Request) -> None:
        self.prompt_tokens = claim.prompt_tokens
        self._place, self._claim, self._request = place, claim, request
        self._held = claim.held

    def tokens_for(self, prompt: int, so_far: int) -> int | None:
        """Completion tokens that are still allowed; None when fenced off.

        ``so_far``: tokens of the text that is gone on from. What was held at submit was an upper
        bound; only when that does not reach does this cost a round trip. Where ``prompt`` is an
        estimate, the window is left to the server, which knows better.

        Raises:
            ContextTooLong, BudgetExceeded
        """
        window = 0 if isinstance(prompt, Estimate) else self._place.backend.abilities.window
        if window and prompt >= window:
            raise ContextTooLong(
                prompt_tokens=prompt,
                window=window,
                backend=self._place.spec.backend,
                retriable=False,
            )
        wanted = self._request.max_tokens - so_far
        if window:
            wanted = min(wanted, window - prompt - so_far)
        if wanted <= 0:
            return 0
        spent = prompt + self._claim.made
        if spent + wanted > self._held and not self._top_up(spent + wanted, spent + 1):
            return None
        return min(wanted, self._held - spent)

    def _top_up(self, wanted: int, least: int) -> bool:
        """Has more held; False when fenced off."""
        call = jobs.hold(
            self._claim.job_id,
            fence=self._claim.fence,
            wanted=wanted,
            least=least,
            levels=levels_of(self._request, self._place.settings),
        )
        held = persist(self._place.ledger, call)
        self._held = held or self._held
        return held is not None

    def recount(self, prompt: int, made: int) -> int:
        """Takes over a server's own count of the prompt, as far as what is held reaches.

        Returns how many tokens this attempt may make then, of which it has ``made`` some.
        """
        room = self._held - self._claim.made
        self.prompt_tokens = min(prompt, room - made)
        return room - self.prompt_tokens
