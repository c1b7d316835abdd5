"""The command line: ``apexq``."""
