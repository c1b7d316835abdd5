"""Real servers and real workers for the tests."""
