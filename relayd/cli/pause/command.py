"""`relayd pause`, `relayd resume`, `relayd pauses`: have mail wait, and let it go on.

Rules are listed from the store; changes go through the daemon's control socket (F-21).
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import click

from relayd.answers.pauses import FIELDS, fields, in_words, sides_in_words
from relayd.cli.ages import Times, times_for
from relayd.cli.asked_daemon import daemon_socket
from relayd.cli.completing import complete_pauses
from relayd.cli.context import NoSuch, json_option, now, open_view, settings_option
from relayd.cli.filters import TEXT, DurationType
from relayd.cli.output import Form, printable, say_empty, show_fields, show_json, show_table
from relayd.cli.pause.names import names_in, sides_in, takes_names, takes_sides
from relayd.cli.row_options import takes_row_options
from relayd.cli.table import USUAL, Column, TableOptions
from relayd.cli.table_options import takes_table_options
from relayd.control import client
from relayd.control.pauses import PauseRequest, ResumeRequest
from relayd.mail.pause import Named, PauseRule, Scope, Side

_DELIVERY = frozenset({Side.DELIVERY})
_COLUMNS = (
    Column(title="PAUSE", whole=True, right=True),
    Column(title="MAIL", least=16),
    Column(title="STOPS", whole=True, goes=2),
    Column(title="SINCE", whole=True, goes=4),
    Column(title="UNTIL", whole=True),
    Column(title="BY", goes=3, least=6),
    Column(title="REASON", goes=1, least=12),
)


@click.command()
@click.argument("everything", metavar="[all]", required=False, type=click.Choice(["all"]))
@takes_names
@takes_sides
@click.option("--for", "last", type=DurationType(), metavar="2h", help="End by itself after this.")
@click.option("--reason", type=TEXT, default=None, help="Why: clients and colleagues read it.")
@json_option
@settings_option()
def pause(
    *,
    everything: str | None,
    last: timedelta | None,
    reason: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Stop an app, a domain or all: mail waits, or none is taken.

    Name senders, tags, users, domains or destinations, or say `all`. Without --intake or
    --delivery, mail is taken and waits. `relayd pause` alone lists what is paused.
    """
    names = _names(everything, given)
    sides = sides_in(given, default=frozenset())
    if not names:
        if sides or last is not None or reason is not None:
            raise click.UsageError(
                "Say whose mail: all, --sender, --tag, --user, --domain or --destination."
            )
        _list(Form.JSON if as_json else Form.TABLE, USUAL)
        return
    request = PauseRequest(names=names, sides=sides or _DELIVERY, last=last, reason=reason or "")
    _tell("paused", client.pause(daemon_socket(), request), as_json=as_json)


@click.command()
@click.argument("which", metavar="[all|PAUSE]...", nargs=-1, shell_complete=complete_pauses)
@takes_names
@takes_sides
@json_option
@settings_option()
def resume(*, which: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Let mail go on that `relayd pause` or `relayd drain` stopped.

    PAUSE is a number that `relayd pauses` shows; `all` ends every pause. With --intake or
    --delivery only that side ends.
    """
    wanted = _wanted(which, names_in(given))
    sides = sides_in(given, default=frozenset(Side))
    request = ResumeRequest(rules=wanted, sides=sides)
    ended = client.resume(daemon_socket(), request)
    if not ended and wanted is not None:
        raise NoSuch("nothing like that is paused (see relayd pauses)")
    if not ended and not as_json:
        click.echo("nothing is paused")
    _tell("resumed", ended, as_json=as_json)


@click.command()
@takes_row_options
@takes_table_options(_COLUMNS)
@settings_option()
def pauses(*, form: Form, table: TableOptions) -> int:
    """Show what is paused, until when, by whom and why."""
    return _list(form, table)


def _names(everything: str | None, given: dict[str, Any]) -> list[Named]:
    names = names_in(given)
    if everything and names:
        raise click.UsageError("`all` does not go with a name.")
    return [Named(Scope.ALL)] if everything else names


def _wanted(which: Iterable[str], names: Sequence[Named]) -> list[int | Named] | None:
    """Return the rules that are meant, None for all of them."""
    numbers = list(which)
    if numbers == ["all"] and not names:
        return None
    wrong = [each for each in numbers if not (each.isascii() and each.isdecimal())]
    if wrong:
        raise click.UsageError(
            f"{wrong[0]!r} is no number that `relayd pauses` shows; `all` goes with no other."
        )
    if not numbers and not names:
        raise click.UsageError("Say which: a number that `relayd pauses` shows, a name, or all.")
    return [*map(int, numbers), *names]


def _list(form: Form, table: TableOptions) -> int:
    with open_view() as view:
        rules = [rule for rule in view.pause_rules() if not rule.is_over(now())]
    if form is Form.TABLE:
        show_rules(rules, table)
    else:
        show_fields(map(fields, rules), FIELDS, form)
    if not rules:
        say_empty("nothing is paused")
    return len(rules)


def show_rules(rules: Iterable[PauseRule], table: TableOptions) -> None:
    """Print the table of these rules."""
    times = times_for(table)
    show_table(_COLUMNS, (_cells(rule, times) for rule in rules), table=table)


def _cells(rule: PauseRule, times: Times) -> tuple[str, ...]:
    return (
        str(rule.number),
        str(rule.named),
        sides_in_words(rule),
        times.past(rule.since),
        times.coming(rule.until) or "resumed",
        rule.by,
        rule.reason,
    )


def _tell(done: str, rules: Sequence[PauseRule], *, as_json: bool) -> None:
    for rule in rules:
        if as_json:
            show_json(fields(rule))
            continue
        what = f"{done} {sides_in_words(rule)} of {rule.named}"
        if done == "paused":
            what += f", {in_words(rule, None)}; to end it: relayd resume {rule.number}"
        click.echo(printable(what))
