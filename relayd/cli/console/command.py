"""`relayd console`: the group."""

import click

from relayd.cli.console.key import key
from relayd.cli.console.sessions import sessions
from relayd.cli.console.user import user
from relayd.cli.context import settings_option
from relayd.cli.group import Group


@click.group(cls=Group)
@settings_option()
def console() -> None:
    """Manage who may use the console and its API."""


console.add_command(user)
console.add_command(key)
console.add_command(sessions)
