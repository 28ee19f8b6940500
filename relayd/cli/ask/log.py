"""`relayd log`: read or follow the status log file.

Reads only the file, so it works without store and daemon. A line that is not one of ours is
shown as it is without a filter and without --json, and skipped otherwise.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import click
import orjson

from relayd.answers import when
from relayd.answers.status_line import FIELDS
from relayd.cli.ask import tail
from relayd.cli.context import NoSuch, load_settings, named_settings_file, settings_option
from relayd.cli.filters import EVERY_FILTER, takes_query
from relayd.cli.group import refuse_fail_empty
from relayd.cli.output import Form, fitted, paint, printable_json, say_empty, show_fields, style_of
from relayd.cli.row_options import takes_row_options
from relayd.cli.table_options import utc_option
from relayd.config.peek import find_status_log
from relayd.file_access import who_may
from relayd.mail.words import EventKind
from relayd.policy.intake.admit import is_among
from relayd.ports.view import Query

_POLL_EVERY = 0.5  # seconds
_RECENT = 16 * 1024  # octets shown first with -f, some forty lines
_FILTERS = [name for name in EVERY_FILTER if name not in ("destination", "changed_since")]
Fields = Mapping[str, Any]


@click.command()
@click.option(
    "-f", "--follow", "following", is_flag=True, help="Also show new events as they come, until ^C."
)
@click.option(
    "--event",
    "events",
    type=click.Choice(EventKind, case_sensitive=False),
    multiple=True,
    metavar="EVENT",  # the list is too long for a line of help
    help=f"The event: {', '.join(EventKind)}.",
)
@takes_query(*_FILTERS)
@takes_row_options
@utc_option
@settings_option()
@click.pass_context
def log(
    ctx: click.Context,
    *,
    following: bool,
    events: Sequence[EventKind],
    query: Query,
    form: Form,
    utc: bool,
) -> int:
    """Read the status log, which has a line for each event, or follow it."""
    if following:
        refuse_fail_empty(ctx, "--follow")
    path = find_status_log(named_settings_file()) or load_settings().log.status_log
    if path == "-":
        raise NoSuch("the status log goes to the daemon's standard output (status_log.path = '-')")
    wanted = wanted_by(events, query)
    try:
        lines = _lines(path, query, following=following)
        count = show(lines, wanted, form, zone=UTC if utc else None)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        hint = f"; {who_may(path)}" if isinstance(error, PermissionError) else ""
        raise NoSuch(f"status log {error.filename or path}: {error.strerror}{hint}") from error
    except KeyboardInterrupt:
        return 1
    if not count:
        say_empty("the status log is empty" if wanted is None else "nothing matches")
    return count


def _lines(path: str, query: Query, *, following: bool) -> Iterator[str]:
    """Yield what there is, rotated files first; following without `--since`, only the latest."""
    if following and query.since is None:
        yield from tail.follow(path, recent=_RECENT, pause=_wait)
        return
    rotated = tail.rotated_files(path)
    yield from tail.read_rotated(rotated, query.since)
    if following:
        yield from tail.follow(path, recent=None, pause=_wait)
    elif not rotated or Path(path).exists():  # it comes back with the next line
        yield from tail.read(path)


def _wait() -> bool:
    time.sleep(_POLL_EVERY)
    return True


def show(
    lines: Iterator[str],
    wanted: Callable[[Fields], bool] | None,
    form: Form,
    *,
    zone: tzinfo | None = None,
) -> int:
    """Print the lines that are `wanted`, None being all; return how many events they are."""
    found = (
        (line, fields)
        for line in lines
        if (fields := _parsed(line)) is None or wanted is None or wanted(fields)
    )
    if form is Form.CSV:
        return show_fields((fields for _, fields in found if fields is not None), FIELDS, form)
    count = 0
    for line, fields in found:
        if fields is not None:
            count += 1
            told = printable_json(line) if form is Form.JSON else fitted(in_words(fields, zone))
            click.echo(told)
        elif wanted is None and line and form is Form.TABLE:
            click.echo(paint(line))
    return count


def _parsed(line: str) -> Fields | None:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) else None


def wanted_by(events: Sequence[EventKind], query: Query) -> Callable[[Fields], bool] | None:
    """Return the test that a line has to pass; None if there is no filter."""
    if not events and query == Query():
        return None
    given: Mapping[str, Sequence[str]] = {
        "event": events,
        "status": query.status,
        "rcpt": query.recipient,
        "from": query.sender,
        "tag": query.tag,
        "bounce_class": query.bounce_class,
        "category": query.category,
    }
    expected = {key: _all_folded(values) for key, values in given.items() if values}
    domains = _all_folded(query.domain)
    headers = {_bare(each) for each in query.message_id_header}
    is_of_client = _of_client(query)

    def wanted(fields: Fields) -> bool:
        return (
            (is_of_client is None or is_of_client(fields))  # first: it remembers what it sees
            and all(_folded(fields, key) in values for key, values in expected.items())
            and (not domains or _folded(fields, "rcpt").rpartition("@")[2] in domains)
            and (not headers or _bare(_folded(fields, "message_id")) in headers)
            and (not query.possible_duplicate or fields.get("possible_duplicate") is True)
            and (query.since is None or _is_since(fields, query.since))
            and (query.until is None or _is_before(fields, query.until))
        )

    return wanted


def _of_client(query: Query) -> Callable[[Fields], bool] | None:
    """Return whether a line is about mail of a client; only its reception says whose it is."""
    users = _all_folded(query.user)
    messages: set[str] = set()

    def is_of_client(fields: Fields) -> bool:
        message, client = str(fields.get("queue_id", "")), str(fields.get("client_ip", ""))
        if "client_ip" not in fields and "auth_user" not in fields:
            return message in messages
        is_wanted = (not users or _folded(fields, "auth_user") in users) and (
            not query.client or is_among(client, query.client)
        )
        if is_wanted and message:
            messages.add(message)
        return is_wanted

    return is_of_client if users or query.client else None


def _all_folded(values: Sequence[str]) -> set[str]:
    return {each.casefold() for each in values}


def _folded(fields: Fields, key: str) -> str:
    return str(fields.get(key, "")).casefold()


def _bare(header: str) -> str:
    return header.casefold().strip("<>")


def _is_since(fields: Fields, since: datetime) -> bool:
    at = _instant(fields)
    return at is not None and at >= since


def _is_before(fields: Fields, until: datetime) -> bool:
    at = _instant(fields)
    return at is not None and at < until


def _instant(fields: Fields) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(fields.get("ts")))
    except ValueError:
        return None
    return None if at.tzinfo is None else at


def in_words(fields: Fields, zone: tzinfo | None = None) -> str:
    """One event as one line: when, what, which mail, the judgement, the remote's own words."""
    kind = str(fields.get("event", "?"))
    parts = [
        paint(when.shown_text(fields.get("ts", "?"), zone), "bright_black"),
        paint(f"{kind:<9}", style_of(kind)),
        paint(str(fields.get("queue_id", ""))),
    ]
    if fields.get("rcpt"):
        parts.append(paint(f"{fields.get('from') or '<>'} -> {fields['rcpt']}"))
    if fields.get("orig_rcpt"):
        parts.append(paint(f"(written to {str(fields['orig_rcpt']).partition(';')[2]})"))
    if fields.get("redirected_to"):
        parts.append(paint(f"(redirected to {fields['redirected_to']})"))
    judged = [str(fields[key]) for key in ("bounce_class", "category") if fields.get(key)]
    if judged:
        parts.append(paint(f"({', '.join(judged)})"))
    if kind == EventKind.REFUSED and fields.get("client_ip"):
        parts.append(paint(f"from client {fields['client_ip']}"))
    if fields.get("by"):
        parts.append(paint(f"by {fields['by']}"))
    words = fields.get("reply") or fields.get("reason")
    if words:
        parts.append(paint(str(words)))
    if fields.get("remote_host"):
        parts.append(paint(f"[{fields['remote_host']}]", "bright_black"))
    return "  ".join(part for part in parts if part)
