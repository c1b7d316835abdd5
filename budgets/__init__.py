"""What a job may cost."""

from budgets.cancelling import cancel
from budgets.estimate import hold_for, likely_prompt_tokens, prompt_tokens_bound
from budgets.levels import episode_level, level_named, levels_of, tenant_level
from budgets.low import LOW_AT, is_low
from budgets.stage_manager import Allowance, TokenBudgetManager

__all__ = [
    "LOW_AT",
    "Allowance",
    "TokenBudgetManager",
    "cancel",
    "episode_level",
    "hold_for",
    "is_low",
    "level_named",
    "levels_of",
    "likely_prompt_tokens",
    "prompt_tokens_bound",
    "tenant_level",
]
