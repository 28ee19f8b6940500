"""`relayd check-content`: how the content checker scores a message, and how to improve it.

Asks the checker of the settings, by the code that asks for the receiver; needs no daemon.
"""

import asyncio
import os
import sys

import click

from relayd.cli.context import json_option, load_settings, settings_file, settings_option
from relayd.cli.inputs import read_inputs
from relayd.cli.output import hanging, paint, printable, show_json, show_table
from relayd.mail.line_ends import cleaned, is_clean
from relayd.policy.intake.advice import advice_on
from relayd.policy.intake.content import Scored, Symbol
from relayd.settings import ContentSettings

_TITLES = ("SCORE", "SYMBOL", "MEANS")
_TOO_HIGH = 1


class NoChecker(click.ClickException):
    """The settings name none."""

    exit_code = os.EX_CONFIG


@click.command(name="check-content")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(allow_dash=True, readable=False),
)
@json_option
@settings_option()
def check_content(*, files: tuple[str, ...], as_json: bool) -> None:
    """Say how much a message looks like spam, why, and what to improve.

    Asks the checker of `[content]` in the settings. FILE may be - for standard input, or a folder
    for all files below it. Exits with 1 if
    a message reaches the threshold: the lowest of content.tag, hold and refuse, or else that of the checker.
    """
    settings = load_settings().content
    if settings is None:
        raise NoChecker(f"{settings_file()}: [content] names no checker: set rspamd or spamd")
    status = os.EX_OK
    for each in read_inputs(files):
        name, content = each.name, each.octets
        if each.trouble:
            click.echo(paint(f"relayd: {name}: {each.trouble}"), err=True)
            status = os.EX_NOINPUT
            continue
        if not is_clean(content):
            content = cleaned(content)  # as it would be sent
        scored = _ask(settings, content)
        if len(content) > settings.rules.size_limit:
            click.echo(paint(f"{name}: the daemon does not check one so large"), err=True)
        if as_json:
            _show_json(name, settings, scored)
        else:
            _show(name, settings, scored)
        if scored.score >= _threshold(settings, scored):
            status = status or _TOO_HIGH
    click.get_current_context().exit(status)


def _ask(settings: ContentSettings, content: bytes) -> Scored:
    from relayd.net.content import Sample, ask  # noqa: PLC0415 -- for those who need it

    return asyncio.run(ask(settings, Sample(content=content)))


def _threshold(settings: ContentSettings, scored: Scored) -> float:
    lowest = settings.rules.lowest
    return scored.required if lowest is None else lowest


def _show(name: str, settings: ContentSettings, scored: Scored) -> None:
    threshold = _threshold(settings, scored)
    is_high = scored.score >= threshold
    words = f"{scored.score:.4g}, {'at or above' if is_high else 'below'} {threshold:g}"
    click.echo(
        f"{printable(name)}: {paint(words, 'red' if is_high else 'green')} ({settings.name})"
    )
    rows = [(f"{each.score:g}", each.name, _meaning(each)) for each in scored.by_weight]
    if not sys.stdout.isatty():
        show_table(_TITLES, rows)
        return
    widest = max(len(symbol) for _, symbol, _ in [_TITLES, *rows])
    for score, symbol, meaning in [_TITLES, *rows]:
        click.echo(hanging(f"{score:>6}  {printable(symbol):<{widest}}  ", meaning))


def _show_json(name: str, settings: ContentSettings, scored: Scored) -> None:
    show_json(
        {
            "id": name,
            "content_score": scored.score,
            "threshold": _threshold(settings, scored),
            "checker": settings.kind,
            "symbols": [
                {
                    "symbol": each.name,
                    "score": each.score,
                    "description": each.description,
                    "advice": advice_on(each.name),
                }
                for each in scored.by_weight
            ],
        }
    )


def _meaning(symbol: Symbol) -> str:
    return advice_on(symbol.name) or symbol.description
