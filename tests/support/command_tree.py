"""Every command that `relayd` has."""

from collections.abc import Iterator, Mapping

import click

from relayd.cli.command import root


def all_commands() -> Mapping[str, click.Command]:
    """Return them by name, such as `relayd queue hold`; groups are commands too."""
    return dict(_commands(root, click.Context(root), "relayd"))


def _commands(
    command: click.Command, context: click.Context, path: str
) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _commands(below, context, f"{path} {name}")
