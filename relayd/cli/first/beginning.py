"""What `relayd init` does, in its order: look, ask, try, write, start, send a test mail.

What is told is tried before anything is written. Settings that say something are never replaced silently.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from relayd.cli.checking import check_quickly
from relayd.cli.command import run
from relayd.cli.first.asking import Answers, Told, ask
from relayd.cli.first.drafting import draft_of, group_of
from relayd.cli.first.port import taken_ports
from relayd.cli.first.trying import NotReached, find_way, show, unproven
from relayd.cli.first.unit import start_unit, why_no_unit
from relayd.cli.output import printable
from relayd.config.fresh import Draft, judged, refuse_replacing, write_fresh
from relayd.config.peek import DEFAULT_SETTINGS
from relayd.policy.doctor.finding import Level
from relayd.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What is wanted besides the answers."""

    path: str  # of the settings
    untested: bool
    unit: bool
    to: str | None  # who gets a test mail
    force: bool


def begin(told: Told, wanted: Beginning) -> int:
    """Carry it out; return the exit status. Raises ClickException, ConfigError, StartError."""
    path = wanted.path
    if not wanted.force:
        refuse_replacing(Draft(values={}, about=""), path)
    if wanted.unit and (trouble := why_no_unit(path)):
        raise click.UsageError(f"--unit: {trouble}")
    draft = _tried(ask(told), path, untested=wanted.untested)
    settings = judged(draft, path)
    for line in taken_ports(settings, _option(settings)):
        click.echo(printable(f"  {Level.WARN:<5} {line}"), err=True)
    files = write_fresh(draft, path, group=group_of(settings), replaces=wanted.force)
    click.echo(printable(f"written: {', '.join(map(str, files))}"))
    is_up = _offer_unit(files, wanted)
    _tell_next(settings, is_up=is_up)
    return _offer_test_mail(wanted, is_up=is_up)


def _tried(answers: Answers, path: str, *, untested: bool) -> Draft:
    """Return settings that work. Raises NotReached, ConfigError."""
    server = answers.smarthost
    if server is not None:
        way = unproven(answers, server) if untested else find_way(answers, server, path)
        return draft_of(answers, way, path)
    draft = draft_of(answers, None, path)
    settings = judged(draft, path)
    if not untested:
        findings = check_quickly(settings)
        failed = [each for each in findings if each.level is Level.FAIL]
        show([each for each in findings if each.level in (Level.FAIL, Level.WARN)])
        if failed:
            raise NotReached(
                "mail from here would be refused; nothing is written: correct that, use a smarthost,"
                " or add --untested"
            )
    return draft


def _offer_unit(files: Sequence[Path], wanted: Beginning) -> bool:
    """Install and start the unit if that is wanted; return whether it runs."""
    question = "Run it now, and whenever this machine starts"
    if not (wanted.unit or (not why_no_unit(wanted.path) and _asks(question))):
        return False
    start_unit(files)
    click.echo("relayd runs (systemctl status relayd)")
    return True


def _is_asked() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _asks(question: str) -> bool:
    return _is_asked() and click.confirm(f"{question}?", default=True, err=True)


def _option(settings: Settings) -> str:
    return f" -c {settings.file}" if settings.file != DEFAULT_SETTINGS else ""


def _tell_next(settings: Settings, *, is_up: bool) -> None:
    named = _option(settings)
    if not is_up:
        click.echo(printable(f"start it:          relayd serve{named}"))
    address = settings.listeners[0].address
    click.echo(printable(f"applications:      SMTP to {address}, no TLS, no login"))
    click.echo(printable(f"what became of it: relayd status{named}"))


def _offer_test_mail(wanted: Beginning, *, is_up: bool) -> int:
    """Send a test mail if that is wanted; return the exit status."""
    to = wanted.to
    if to is None and is_up and _is_asked():
        question = "Send a test mail to (empty: nobody)"
        to = click.prompt(question, default="", show_default=False, err=True)
    return run(["-c", wanted.path, "test-mail", to]) if to else os.EX_OK
