"""llama.cpp, by its C functions."""
