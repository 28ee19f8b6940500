"""`relayd pause`, `relayd resume`, `relayd pauses`: have mail wait, and let it go on.

Rules are listed from the store; changes go through the daemon's control socket (F-21).
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import click

from relayd.answers import when
from relayd.answers.pauses import fields, in_words, sides_in_words
from relayd.cli.context import NoSuch, json_option, load_settings, now, open_view, settings_option
from relayd.cli.filters import TEXT, DurationType
from relayd.cli.output import printable, show_json, show_table
from relayd.cli.pause.names import names_in, sides_in, takes_names, takes_sides
from relayd.control import client
from relayd.control.pauses import PauseRequest, ResumeRequest
from relayd.mail.pause import Named, PauseRule, Scope, Side

_DELIVERY = frozenset({Side.DELIVERY})
_TITLES = ("PAUSE", "MAIL", "STOPS", "SINCE", "UNTIL", "BY", "REASON")


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
        _list(as_json=as_json)
        return
    request = PauseRequest(names=names, sides=sides or _DELIVERY, last=last, reason=reason or "")
    _tell("paused", client.pause(load_settings().control_socket, request), as_json=as_json)


@click.command()
@click.argument("which", metavar="[all|PAUSE]...", nargs=-1)
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
    ended = client.resume(load_settings().control_socket, request)
    if not ended and wanted is not None:
        raise NoSuch("nothing like that is paused (see relayd pauses)")
    if not ended and not as_json:
        click.echo("nothing is paused")
    _tell("resumed", ended, as_json=as_json)


@click.command()
@json_option
@settings_option()
def pauses(*, as_json: bool) -> None:
    """Show what is paused, until when, by whom and why."""
    _list(as_json=as_json)


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


def _list(*, as_json: bool) -> None:
    with open_view() as view:
        rules = [rule for rule in view.pause_rules() if not rule.is_over(now())]
    if as_json:
        for rule in rules:
            show_json(fields(rule))
    elif rules:
        show_table(_TITLES, map(_cells, rules))
    else:
        click.echo("nothing is paused")


def _cells(rule: PauseRule) -> tuple[str, ...]:
    return (
        str(rule.number),
        str(rule.named),
        sides_in_words(rule),
        when.shown(rule.since),
        when.shown(rule.until) or "resumed",
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
            what += f", {in_words(rule)}; to end it: relayd resume {rule.number}"
        click.echo(printable(what))
