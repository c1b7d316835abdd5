"""``make torture``: producers, readers and workers under faults, and what must hold at the end."""
