"""`relayd check-content`: how the content checker scores a message, what its header lacks, and how to improve it.

Asks the checker of the settings, by the code that asks for the receiver; needs no daemon. Without a checker it
looks at the header alone.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click

from relayd.cli.context import json_option, load_settings, settings_option
from relayd.cli.inputs import read_inputs, say_unreadable
from relayd.cli.output import hanging, paint, printable, show_json, show_table
from relayd.mail.line_ends import cleaned, is_clean
from relayd.policy.doctor.finding import Level
from relayd.policy.intake.advice import advice_on
from relayd.policy.intake.bulk import Flaw, flaws_of
from relayd.policy.intake.content import Scored, Symbol
from relayd.settings import ContentSettings

_TITLES = ("SCORE", "SYMBOL", "MEANS")
_FLAWS = ("LEVEL", "FIELD", "REASON", "REMEDY")
_COLOURS = {Level.WARN: "yellow", Level.FAIL: "red"}
_BAD = 1


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
    """Say how much a message looks like spam, what its header lacks, and what to improve.

    Asks the checker of `[content]` in the settings, if they name one. Then it looks for what large receivers
    want: From, Date, Message-ID, List-Unsubscribe, and a signature. FILE may be - for standard input, or a folder
    for all files below it. Exits with 1 if receivers would refuse a message for its header, or if it reaches
    the threshold: the lowest of content.tag, hold and refuse, or else that of the checker.
    """
    settings = load_settings()
    checker = settings.content
    status = os.EX_OK
    for each in read_inputs(files):
        name, content = each.name, each.octets
        if each.trouble:
            say_unreadable(each)
            status = os.EX_NOINPUT
            continue
        if not is_clean(content):
            content = cleaned(content)  # as it would be sent
        scored = None if checker is None else _ask(checker, content)
        if checker is not None and len(content) > checker.rules.size_limit:
            click.echo(paint(f"{name}: the daemon does not check one so large"), err=True)
        flaws = list(flaws_of(content, {each.domain for each in settings.dkim}))
        if as_json:
            _show_json(name, checker, scored, flaws)
        else:
            _show_score(name, checker, scored)
            _show_flaws(flaws)
        is_high = checker and scored and scored.score >= _threshold(checker, scored)
        if is_high or any(flaw.level is Level.FAIL for flaw in flaws):
            status = status or _BAD
    click.get_current_context().exit(status)


def _ask(settings: ContentSettings, content: bytes) -> Scored:
    from relayd.net.content import Sample, ask  # noqa: PLC0415 -- for those who need it

    return asyncio.run(ask(settings, Sample(content=content)))


def _threshold(settings: ContentSettings, scored: Scored) -> float:
    lowest = settings.rules.lowest
    return scored.required if lowest is None else lowest


def _show_score(name: str, settings: ContentSettings | None, scored: Scored | None) -> None:
    if settings is None or scored is None:
        click.echo(f"{printable(name)}: not scored: [content] names no checker")
        return
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


def _show_flaws(flaws: Sequence[Flaw]) -> None:
    if not flaws:
        click.echo(paint("nothing is wrong with the header", "green"))
    elif not sys.stdout.isatty():
        show_table(_FLAWS, [(each.level, each.field, each.reason, each.remedy) for each in flaws])
    else:
        for each in flaws:
            start = f"{paint(f'{each.level:<4}', _COLOURS[each.level])}  {each.field}: "
            click.echo(hanging(start, f"{each.reason}. {each.remedy}"))


def _show_json(
    name: str, settings: ContentSettings | None, scored: Scored | None, flaws: Sequence[Flaw]
) -> None:
    symbols = () if scored is None else scored.by_weight
    show_json(
        {
            "id": name,
            "content_score": None if scored is None else scored.score,
            "threshold": settings and scored and _threshold(settings, scored),
            "checker": settings and settings.kind,
            "symbols": [
                {
                    "symbol": each.name,
                    "score": each.score,
                    "description": each.description,
                    "advice": advice_on(each.name),
                }
                for each in symbols
            ],
            "flaws": [asdict(each) for each in flaws],
        }
    )


def _meaning(symbol: Symbol) -> str:
    return advice_on(symbol.name) or symbol.description
