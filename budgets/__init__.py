"""What a job may cost."""

from budgets.estimate import hold_for, prompt_tokens_bound
from budgets.levels import episode_level, levels_of, tenant_level

__all__ = ["episode_level", "hold_for", "levels_of", "prompt_tokens_bound", "tenant_level"]
