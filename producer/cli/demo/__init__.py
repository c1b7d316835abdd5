"""``apexq demo``: five agents on five instances at once, and the proof that nothing leaked."""

from producer.cli.demo.command import command

__all__ = ["command"]
