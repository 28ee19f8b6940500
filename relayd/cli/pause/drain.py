"""`relayd drain`: take no mail, deliver what is there, tell when the queue is empty."""

import os
import time
from collections.abc import Callable

import click

from relayd.cli.context import json_option, load_settings, now, open_view, settings_option
from relayd.cli.filters import TEXT
from relayd.cli.output import show_json
from relayd.control import client
from relayd.control.pauses import PauseRequest
from relayd.mail.pause import Named, Scope, Side
from relayd.ports.view import UNFINISHED, Counts, QueueView, Status

_EVERY = 2.0  # seconds between two looks at the queue
_TOLD = 10.0  # seconds between two lines of progress


@click.command()
@click.option("--wait", is_flag=True, help="Tell how far it is, until nothing is left.")
@click.option("--reason", type=TEXT, default="drained", help="Why: clients and colleagues read it.")
@json_option
@settings_option()
@click.pass_context
def drain(ctx: click.Context, *, wait: bool, reason: str, as_json: bool) -> None:
    """Empty this host: take no mail, and deliver what is there.

    Clients are told to try again later (450). It holds over a restart, until `relayd resume all`.
    With --wait the exit status is 0 when the queue is empty, and 75 when all that is left waits for
    somebody: held or paused mail.
    """
    request = PauseRequest(names=[Named(Scope.ALL)], sides=frozenset({Side.INTAKE}), reason=reason)
    [rule] = client.pause(load_settings().control_socket, request)
    if not as_json:
        click.echo(f"no mail is taken; to end it: relayd resume {rule.number}")
    with open_view() as view:
        ctx.exit(follow(view, waits=wait, as_json=as_json))


def follow(
    view: QueueView, *, waits: bool, as_json: bool, pause: Callable[[float], None] = time.sleep
) -> int:
    """Tell what is left: once, or until nothing moves any more. Return the exit status.

    A message that came in just before is stored a moment later, so it looks twice.
    """
    told_at, was_still = 0.0, False
    while True:
        began = time.monotonic()
        counts = view.counts()
        left = sum(counts.by_status.values())
        is_still = left == counts.by_status.get(Status.HELD, 0) + counts.paused
        is_over = not waits or (is_still and was_still)
        if is_over or began - told_at >= _TOLD:
            _tell(counts, left, as_json=as_json)
            told_at = began
        if is_over:
            return os.EX_TEMPFAIL if waits and left else os.EX_OK
        was_still = is_still
        pause(max(_EVERY, time.monotonic() - began))


def _tell(counts: Counts, left: int, *, as_json: bool) -> None:
    numbers = {status.value: counts.by_status.get(status, 0) for status in UNFINISHED}
    if as_json:
        show_json({"ts": now(), "left": left, **numbers})
    elif left:
        parts = ", ".join(f"{number} {status}" for status, number in numbers.items() if number)
        click.echo(f"{left} recipient{'' if left == 1 else 's'} left: {parts}")
    else:
        click.echo("the queue is empty")
