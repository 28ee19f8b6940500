"""`relayd trace`: follow dialogue and decisions live, through the control socket.

Owns what a line looks like, and when it is over: the time is up, the message has left, or ^C. When the
worker that answers leaves in a reload, another one is asked. Whether a message has left is read in the
queue itself, where this user may read it.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import click

from relayd.answers import when
from relayd.cli.asked_daemon import daemon_socket
from relayd.cli.completing import complete_ids
from relayd.cli.context import (
    NoSuch,
    NotRunning,
    json_option,
    open_view,
    settings_option,
)
from relayd.cli.filters import TEXT, DurationType, NetworkType
from relayd.cli.output import hanging, paint, printable, show_json
from relayd.cli.table_options import utc_option
from relayd.control import client as control
from relayd.errors import RelaydError
from relayd.mail.ids import format_id, parse_id
from relayd.ports.view import Query, QueueView
from relayd.trace.wanted import Network, Wanted

_LOOK_EVERY = 0.5  # seconds between looks whether the message has left
_LAST_WORDS = 1.0  # seconds for what is said after that
_AGAIN_AFTER = 0.2  # seconds before another worker is asked
_SHOWN_APART = frozenset(
    [
        "ts",
        "event",
        "line",
        "content",
        "worker",
        "session",
        "queue_id",
        "client_ip",
        "remote_host",
        "remote_ip",
        "remote_port",
    ]
)
Fields = Mapping[str, Any]


@click.command()
@click.argument("queue_id", required=False, type=TEXT, shell_complete=complete_ids)
@click.option(
    "--client",
    "clients",
    type=NetworkType(),
    multiple=True,
    help="What clients at this address or network do.",
)
@click.option(
    "--destination",
    "destinations",
    type=TEXT,
    multiple=True,
    help="What goes to this domain, host or route key.",
)
@click.option(
    "--for",
    "lasting",
    type=DurationType(),
    default="5m",
    show_default=True,
    help="When to end at the latest.",
)
@click.option("--content", is_flag=True, help="Show the first 16 KiB of each message as well.")
@json_option
@utc_option
@settings_option()
def trace(
    *,
    queue_id: str | None,
    clients: tuple[Network, ...],
    destinations: tuple[str, ...],
    lasting: timedelta,
    content: bool,
    as_json: bool,
    utc: bool,
) -> None:
    """Follow live what servers and relayd say: of one message, of clients or of a destination.

    It ends with the message, after the time of `--for`, or by ^C. Each line has its time, the
    milliseconds since the line before, and an arrow: `->` relayd says, `<-` relayd hears. Passwords
    and tokens are masked. What is over is told by `relayd status show ID --explain`.
    """
    if [bool(each) for each in (queue_id, clients, destinations)].count(True) != 1:
        raise click.UsageError("Say what to follow: a queue id, --client IP or --destination NAME.")
    wanted = Wanted(
        queue_id=_read_id(queue_id) if queue_id else "",
        clients=clients,
        destinations=frozenset(each.lower() for each in destinations),
        content=content,
    )
    show = show_json if as_json else _Printer(UTC if utc else None).show
    with ExitStack() as stack:
        has_left = _leaving(stack, wanted.queue_id) if wanted.queue_id else lambda: False
        try:
            why = _follow(daemon_socket(), wanted, lasting, has_left, show)
        except KeyboardInterrupt:
            return
    click.echo(f"trace ended: {why}", err=True)


def _read_id(text: str) -> str:
    try:
        return format_id(parse_id(text))
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _follow(
    socket: str,
    wanted: Wanted,
    lasting: timedelta,
    has_left: Callable[[], bool],
    show: Callable[[Fields], None],
) -> str:
    """Show what comes until it is over; return why it is. Raises as `control.follow` does."""
    looked = now = time.monotonic()
    ends = now + lasting.total_seconds()
    left = False
    for line in _lines(socket, wanted):
        if line is not None:
            show(line)
        now = time.monotonic()
        if not left and now - looked >= _LOOK_EVERY:
            looked, left = now, has_left()
            ends = min(ends, now + _LAST_WORDS) if left else ends
        if now >= ends:
            break
    if left:
        return f"the message has left; see relayd status show {wanted.queue_id} --explain"
    return "the time is up"


def _lines(socket: str, wanted: Wanted) -> Iterator[dict[str, Any] | None]:
    """Yield lines, and None from time to time; when a worker leaves, go on with another one."""
    while True:
        yield from control.follow(socket, wanted, tick=_LOOK_EVERY / 2)
        yield None
        time.sleep(_AGAIN_AFTER)


def _leaving(stack: ExitStack, queue_id: str) -> Callable[[], bool]:
    """Return what tells whether a message has left. Raises NoSuch if it has, or never was here."""
    try:
        view = stack.enter_context(open_view())
    except (RelaydError, NotRunning):  # not for this user to read
        return lambda: False
    message = Query(message_id=parse_id(queue_id))
    rows = view.find(message, limit=1)
    if not rows:
        raise NoSuch(f"no message {queue_id} in the queue or its history")
    if not _is_here(view, message):
        raise NoSuch(
            f"{queue_id} has left the queue: relayd status show {queue_id} --explain tells what happened"
        )
    return lambda: not _is_here(view, message)


def _is_here(view: QueueView, message: Query) -> bool:
    unfinished = Query(message_id=message.message_id, unfinished=True)
    return bool(view.find(unfinished, limit=1))


class _Printer:
    """Lines for people."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone
        self._before: datetime | None = None

    def show(self, fields: Fields) -> None:
        if fields.get("event") == "trace_dropped":
            click.echo(f"    ({fields.get('lines')} lines are missing: they came too fast)")
            return
        at = _instant(fields)
        later = 0 if self._before is None or at is None else (at - self._before).total_seconds()
        self._before = at or self._before
        start = paint(
            f"{when.shown_text(fields.get('ts', '?'), self._zone)} {f'+{later * 1000:.0f}':>7} ms",
            "bright_black",
        )
        arrow = {"smtp_sent": "->", "smtp_received": "<-"}.get(str(fields.get("event")))
        if arrow is None:
            click.echo(hanging(f"{start}  {paint(_whose(fields))} ** ", _decision(fields)))
        else:
            for line in str(fields.get("line", "")).split("\n"):
                click.echo(hanging(f"{start}  {paint(_whose(fields))} {arrow} ", line))
        for line in str(fields.get("content", "")).splitlines():
            click.echo(f"    | {printable(line.replace(chr(9), ' '))}")
        sys.stdout.flush()


def _instant(fields: Fields) -> datetime | None:
    try:
        return datetime.fromisoformat(str(fields.get("ts")))
    except ValueError:
        return None


def _whose(fields: Fields) -> str:
    """Return who is at the other end: a client in, a server out; and which message it is about."""
    peer = fields.get("remote_host") or fields.get("remote_ip")
    ends = [
        f"out {peer}" if peer else f"in {fields['client_ip']}" if fields.get("client_ip") else "",
        f"#{fields['worker']}.{fields['session']}" if fields.get("session") else "",
        str(fields.get("queue_id", "")),
    ]
    return " ".join(end for end in ends if end)


def _decision(fields: Fields) -> str:
    more = [
        f"{name}: {value}" for name, value in fields.items() if name not in _SHOWN_APART and value
    ]
    address = (
        f" [{fields['remote_ip']}]:{fields.get('remote_port')}" if fields.get("remote_ip") else ""
    )
    said = fields.get("line", "")
    return " ".join(f"{fields.get('event')}{address} {said} {'; '.join(more)}".split())
