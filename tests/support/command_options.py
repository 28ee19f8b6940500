"""The options of a command, by the names that people write."""

import click


def options_of(command: click.Command) -> dict[str, click.Option]:
    """Return them by their longest names."""
    return {
        max(each.opts, key=len): each for each in command.params if isinstance(each, click.Option)
    }
