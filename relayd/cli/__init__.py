"""The `relayd` command. Everything is in the modules; `command` is where it begins."""

from relayd.cli.command import main, run

__all__ = ["main", "run"]
