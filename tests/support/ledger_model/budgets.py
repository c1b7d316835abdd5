"""What happens to budgets: windows turn, limits are set and taken back."""

from __future__ import annotations

from hypothesis import strategies as st

from ledger.accounts import reset_budget, set_budget
from ledger.budget_spec import BudgetSpec
from ledger.windows import Window
from tests.support.ledger_model.account import NEVER, ModelAccount
from tests.support.ledger_model.books import Books
from tests.support.ledger_model.step import step


@step(2, among=lambda books: books.accounts.values(), window=st.sampled_from(["day", "month"]))
def a_window_turns(books: Books, account: ModelAccount, window: Window) -> None:
    field = f"at:{window}"
    if books.redis.hexists(account.level.key, field):
        books.redis.hset(account.level.key, field, books.index_of(window) - 1)
    account.turn(window)


@step(
    1,
    among=lambda books: books.accounts.values(),
    window=st.sampled_from([None, "day", "month"]),
    more=st.integers(1, 60),
)
def a_limit_is_set(books: Books, account: ModelAccount, window: Window | None, more: int) -> None:
    account.set(window, NEVER)
    limit = account.used_in(window) + account.held + more
    account.set(window, limit)
    name = f"tokens_per_{window}" if window else "tokens"
    for _ in range(2):  # the reply may be lost
        books.ledger.run(set_budget(account.level, BudgetSpec(**{name: limit})))


@step(1, among=lambda books: [one for one in books.accounts.values() if one.was_set])
def limits_are_taken_back(books: Books, account: ModelAccount) -> None:
    if account.fits(account.defaults):
        account.reset()
        for _ in range(2):
            books.ledger.run(reset_budget(account.level))
