"""`relayd parse-bounce`: what the daemon would read from returned mail.

Calls the very function that the daemon calls, with the same rules; needs no daemon.
"""

import os

import click

from relayd.cli.context import json_option, load_rules, settings_option
from relayd.cli.inputs import read_inputs, say_unreadable
from relayd.cli.output import show_json
from relayd.policy.inbound_bounce import parse_bounce as read_bounce
from relayd.policy.inbound_bounce import to_json


@click.command(name="parse-bounce")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(allow_dash=True, readable=False),
)
@json_option
@settings_option()
def parse_bounce(*, files: tuple[str, ...], as_json: bool) -> None:  # noqa: ARG001 -- always JSON
    """Say what a bounce mail is, and which recipients it reports.

    Prints one JSON line per FILE, which may be - for standard input, or a folder for all files below it.
    """
    rules = load_rules()
    unreadable = 0
    for each in read_inputs(files):
        if each.trouble:
            say_unreadable(each)
            unreadable += 1
            continue
        show_json(to_json(each.name, read_bounce(each.octets, rules=rules)))
    if unreadable:
        click.get_current_context().exit(os.EX_NOINPUT)
