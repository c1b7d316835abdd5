"""OpenAI's API and servers that speak it: one driver, several endpoints."""
