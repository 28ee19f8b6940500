"""`relayd console sessions`: who is logged in to the console."""

import click

from relayd.cli.completing import complete_people
from relayd.cli.console.asking import NameType, ask, tell
from relayd.cli.context import json_option, settings_option
from relayd.cli.group import Group
from relayd.control.people import name_to_json


@click.group(cls=Group)
@settings_option()
def sessions() -> None:
    """End sessions of the console."""


@sessions.command()
@click.argument("name", type=NameType(), shell_complete=complete_people)
@json_option
@settings_option()
def end(name: str, *, as_json: bool) -> None:
    """Log a person out everywhere."""
    ask(name_to_json("people.end_sessions", name), otherwise=f"{name} is logged in nowhere")
    tell("logged out", name, as_json=as_json)
