"""What is the same of all verbs on mail: count, warn, ask, carry it out, tell what was done and what is missing.

Nothing is changed before its number is told to who has to agree. The numbers are the last line, also of
a part. A verb says how it asks the daemon, and what its numbers mean.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import click

from relayd.answers.status_line import FIELDS
from relayd.cli.confirm import confirm, recipients, yes_option
from relayd.cli.context import NoSuch
from relayd.cli.output import Form, show_fields, show_table
from relayd.cli.row_options import takes_form
from relayd.mail.event import Event
from relayd.mail.ids import MessageId, format_id
from relayd.ports.view import Place, Query, Target

_TITLES = ("ID", "RECIPIENT")
_TARGET_FIELDS = ("queue_id", "recipient", "rcpt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The answer to one request."""

    counts: Mapping[str, int]  # `changed` among them
    events: Sequence[Event] = ()  # of what was changed
    targets: Sequence[Target] = ()  # what would be
    more: Place | None = None


class Verb(Protocol):
    """One verb, with all that was said beside the mail it is about."""

    @property
    def name(self) -> str: ...
    @property
    def past(self) -> str: ...
    @property
    def at_once(self) -> int:
        """How many recipients are changed in one transaction: others write in between."""
        ...

    @property
    def titles(self) -> Sequence[str]:
        """The columns that it has besides, for `cells`."""
        ...

    def ask(
        self, query: Query, *, dry_run: bool, limit: int | None = None, before: Place | None = None
    ) -> Part:
        """Have it done, or foreseen; a dry run with a limit names its targets."""
        ...

    def warning(self, foreseen: Mapping[str, int]) -> str:
        """Return what is to be known before; may be empty."""
        ...

    def left_alone(self, counts: Mapping[str, int]) -> str:
        """Return what matches and is not changed; may be empty."""
        ...

    def cells(self, event: Event) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How it is carried out, and shown."""

    form: Form
    dry_run: bool
    yes: bool
    listed: bool


def takes_how(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --dry-run, --yes, --list, --json and --csv; it gets them as `how`."""

    @functools.wraps(function)
    def with_how(*args: Any, form: Form, dry_run: bool, yes: bool, listed: bool, **kw: Any) -> Any:
        if form is Form.CSV and not listed:
            raise click.UsageError("--csv is for the rows of --list.")
        how = How(form=form, dry_run=dry_run, yes=yes, listed=listed)
        return function(*args, how=how, **kw)

    options = (
        takes_form,
        click.option(
            "--dry-run", is_flag=True, help="Count what would change, and change nothing."
        ),
        yes_option,
        click.option(
            "--list",
            "listed",
            is_flag=True,
            help="Show each recipient that was changed; with --dry-run, that would be.",
        ),
    )
    for option in reversed(options):
        with_how = option(with_how)
    return with_how


def check_selector(
    ids: Sequence[MessageId], query: Query, *, everything: bool, example: str, all_: str = "--all"
) -> None:
    """Refuse a command line that says nothing, or everything and something."""
    from relayd.control.protocol import selects_everything  # noqa: PLC0415 -- for who acts

    selected = bool(ids) or not selects_everything(query)
    if everything and selected:
        raise click.UsageError("--all does not go with a selector.")
    if not everything and not selected:
        raise click.UsageError(f"Say which mail: an ID, a filter such as {example}, or {all_}.")


def act(verb: Verb, ids: Sequence[MessageId], queries: Sequence[Query], how: How) -> None:
    """Carry out a verb on what the queries select, which are those of `ids` if there are any.

    Raises NoSuch, in the end, if there was nothing to do for some of the ids; as `confirm` and the daemon's client.
    """
    foreseen = Counter[str]()
    for query in queries:
        foreseen.update(verb.ask(query, dry_run=True).counts)
    if says := verb.warning(foreseen):
        click.echo(says, err=True)
    if how.dry_run:
        if how.listed:
            _show_targets(_parts(verb, queries, dry_run=True), how.form)
        _tell(verb, foreseen, how)
        return
    count = foreseen["changed"]
    confirm(f"{verb.name} {recipients(count)}", count, yes=how.yes)
    done = _Done()
    try:
        _show_events(verb, done.counted(_parts(verb, queries, dry_run=False)), how)
    finally:
        if done.counts:
            _tell(verb, done.counts, how)
    if missed := sorted(set(ids) - done.messages):
        names = ", ".join(map(format_id, missed))
        raise NoSuch(f"nothing to {verb.name} in {names} (see relayd status show)")


@dataclass(slots=True)
class _Done:
    """What was carried out so far."""

    counts: Counter[str] = field(default_factory=Counter)
    messages: set[MessageId] = field(default_factory=set)

    def counted(self, parts: Iterator[Part]) -> Iterator[Event]:
        for part in parts:
            self.counts.update(part.counts)
            self.messages.update(event.message_id for event in part.events)
            yield from part.events


def _parts(verb: Verb, queries: Sequence[Query], *, dry_run: bool) -> Iterator[Part]:
    """Carry it out a part at a time."""
    for query in queries:
        part = verb.ask(query, dry_run=dry_run, limit=verb.at_once)
        yield part
        while part.more is not None:
            part = verb.ask(query, dry_run=dry_run, limit=verb.at_once, before=part.more)
            yield part


def _show_events(verb: Verb, events: Iterator[Event], how: How) -> None:
    """Take all events; print them if that is wanted."""
    if not how.listed:
        for _ in events:
            pass
    elif how.form is Form.TABLE:
        rows = ([format_id(each.message_id), _address(each), *verb.cells(each)] for each in events)
        show_table([*_TITLES, *verb.titles], rows)
    else:
        from relayd.control.protocol import event_to_json  # noqa: PLC0415 -- for who acts

        show_fields(map(event_to_json, events), FIELDS, how.form)


def _show_targets(parts: Iterator[Part], form: Form) -> None:
    targets = (each for part in parts for each in part.targets)
    if form is Form.TABLE:
        show_table(_TITLES, ([format_id(each.message_id), each.address] for each in targets))
        return
    rows = (
        dict(zip(_TARGET_FIELDS, (format_id(one), number, address), strict=True))
        for one, number, address in targets
    )
    show_fields(rows, _TARGET_FIELDS, form)


def _address(event: Event) -> str:
    return f"#{event.recipient}" if event.subject is None else event.subject.address


def _tell(verb: Verb, counts: Mapping[str, int], how: How) -> None:
    """Print the numbers, the last line; beside CSV they are no row."""
    if how.form is Form.JSON:
        show_fields([{"action": verb.name, "dry_run": how.dry_run or None, **counts}], (), how.form)
        return
    did = f"would {verb.name}" if how.dry_run else verb.past
    line = f"{did} {recipients(counts['changed'])}{verb.left_alone(counts)}"
    click.echo(line, err=how.form is Form.CSV)
