"""The books: every job and every token, changed only by atomic scripts."""
