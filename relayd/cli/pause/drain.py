"""`relayd drain`: take no mail, deliver what is there, tell when the queue is empty."""

import os
import time
from collections.abc import Callable

import click

from relayd.answers.notices import STOPPED
from relayd.cli.asked_daemon import daemon_socket, store_url
from relayd.cli.confirm import recipients
from relayd.cli.context import json_option, now, open_view, settings_option
from relayd.cli.filters import TEXT
from relayd.cli.output import show_json
from relayd.control import client
from relayd.control.glance import glance_at
from relayd.control.pauses import PauseRequest
from relayd.errors import DaemonUnreachable
from relayd.mail.pause import Named, Scope, Side
from relayd.ports.view import UNFINISHED, Counts, QueueView, Status

_EVERY = 2.0  # seconds between two looks at the queue
_TOLD = 10.0  # seconds between two lines of progress
_STOPPED = 3  # looks in a row that find no daemon: a restart is shorter


class DrainEnded(click.ClickException):
    """Somebody has ended it, so the queue does not get empty."""

    exit_code = os.EX_TEMPFAIL


@click.command()
@click.option("--wait", is_flag=True, help="Tell how far it is, until nothing is left.")
@click.option("--reason", type=TEXT, default="drained", help="Why: clients and colleagues read it.")
@json_option
@settings_option()
@click.pass_context
def drain(ctx: click.Context, *, wait: bool, reason: str, as_json: bool) -> None:
    """Empty this host: take no mail, and deliver what is there.

    Clients are told to try again later (450). It holds over a restart, until `relayd resume all`.
    With --wait the exit status is 0 when the queue is empty. It is 75 when all that is left waits for
    somebody (held or paused mail), or when somebody has ended the drain, and 69 when the daemon has stopped.
    Where machines share a queue, it is refused: stop the one that is to go, and the others go on.
    """
    from relayd.store import file_for  # noqa: PLC0415 -- brings pathlib and errors of stores

    file_for("drain", store_url())
    socket = daemon_socket()
    request = PauseRequest(names=[Named(Scope.ALL)], sides=frozenset({Side.INTAKE}), reason=reason)
    [rule] = client.pause(socket, request)
    if not as_json:
        click.echo(f"no mail is taken; to end it: relayd resume {rule.number}")
    with open_view() as view:
        if wait:
            ctx.exit(follow(view, rule.number, socket, as_json=as_json))
        counts = view.counts()
        _tell(counts, sum(counts.by_status.values()), as_json=as_json)


def follow(
    view: QueueView,
    rule: int,
    socket: str,
    *,
    as_json: bool,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Tell what is left until nothing moves any more, with that pause rule. Return the exit status.

    A message that came in just before is stored a moment later, so it looks twice. Raises DrainEnded when
    mail is taken again, and DaemonUnreachable when the daemon has stopped, and is not being restarted.
    """
    told_at, was_still, stopped = 0.0, False, 0
    while True:
        began = time.monotonic()
        counts = view.counts()
        left = sum(counts.by_status.values())
        if not _is_in_force(rule, counts):
            raise DrainEnded(
                f"mail is taken again: somebody ended the drain; {recipients(left)} left"
            )
        is_still = left == counts.by_status.get(Status.HELD, 0) + counts.paused
        is_over = is_still and was_still
        if is_over or began - told_at >= _TOLD:
            _tell(counts, left, as_json=as_json)
            told_at = began
        if is_over:
            return os.EX_TEMPFAIL if left else os.EX_OK
        stopped = stopped + 1 if STOPPED in glance_at(socket) else 0
        if stopped == _STOPPED:
            raise DaemonUnreachable(
                f"the daemon has stopped: nothing is delivered; {recipients(left)} left"
            )
        was_still = is_still
        pause(max(_EVERY, time.monotonic() - began))


def _is_in_force(number: int, counts: Counts) -> bool:
    """Tell whether a pause rule is there, stops the intake, and is not over."""
    at = now()
    return any(
        rule.number == number and Side.INTAKE in rule.sides and not rule.is_over(at)
        for rule in counts.pause_rules
    )


def _tell(counts: Counts, left: int, *, as_json: bool) -> None:
    numbers = {status.value: counts.by_status.get(status, 0) for status in UNFINISHED}
    if as_json:
        show_json({"ts": now(), "left": left, **numbers})
    elif left:
        parts = ", ".join(f"{number} {status}" for status, number in numbers.items() if number)
        click.echo(f"{recipients(left)} left: {parts}")
    else:
        click.echo("the queue is empty")
