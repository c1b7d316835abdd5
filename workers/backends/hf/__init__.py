"""transformers, torch and bitsandbytes."""
