"""`relayd parse-bounce`: what the daemon would read from returned mail.

Calls the very function that the daemon calls, with the same rules; needs no daemon.
"""

import os
from pathlib import Path

import click

from relayd.cli.context import json_option, load_rules, settings_option
from relayd.cli.output import paint, show_json
from relayd.policy.inbound_bounce import parse_bounce as read_bounce
from relayd.policy.inbound_bounce import to_json


@click.command(name="parse-bounce")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@json_option
@settings_option()
def parse_bounce(*, files: tuple[str, ...], as_json: bool) -> None:  # noqa: ARG001 -- always JSON
    """Say what a bounce mail is, and which recipients it reports.

    Prints one JSON line per FILE.
    """
    rules = load_rules()
    unreadable = 0
    for name in files:
        try:
            raw = Path(name).read_bytes()
        except OSError as error:
            click.echo(paint(f"relayd: {name}: {error.strerror}"), err=True)
            unreadable += 1
            continue
        show_json(to_json(name, read_bounce(raw, rules=rules)))
    if unreadable:
        click.get_current_context().exit(os.EX_NOINPUT)
