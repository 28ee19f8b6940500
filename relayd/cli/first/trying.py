"""What `relayd init` was told is tried before it is written: the way to the smarthost, its TLS, the login."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from relayd.cli.first.asking import Answers, Server
from relayd.cli.first.drafting import draft_of
from relayd.cli.output import printable
from relayd.cli.progress import progress
from relayd.config.fresh import judged
from relayd.policy.delivery.route import DEFAULT
from relayd.policy.doctor.finding import Finding, Level
from relayd.policy.first_way import Way, ways_to
from relayd.policy.tls.ladder import TlsMode

if TYPE_CHECKING:  # asking takes the resolver and more
    from relayd.settings import Settings


class NotReached(click.ClickException):
    """What was told does not work; says why, and what to do."""

    exit_code = os.EX_UNAVAILABLE


def find_way(answers: Answers, server: Server, path: str) -> Way:
    """Return the first way to the smarthost that works, login included. Raises NotReached, ConfigError.

    The login is tried by one way alone: servers lock accounts whose logins fail.
    """
    refused: list[Finding] = []
    for way in ways_to(server.port, is_here=server.is_here, logs_in=bool(answers.username)):
        found = _knock(answers, way, path, with_login=False)
        if found.level is not Level.OK:
            refused.append(found)
            continue
        if answers.username:
            found = _knock(answers, way, path, with_login=True)
            if found.level is not Level.OK:
                raise NotReached(_told([found]))
        falls_back = way.tls is TlsMode.OPPORTUNISTIC  # why, the last of the others says
        show([*(refused[-1:] if falls_back else ()), found])
        return way
    raise NotReached(_told(refused))


def unproven(answers: Answers, server: Server) -> Way:
    """Return the way that is written where nothing is tried."""
    return ways_to(server.port, is_here=server.is_here, logs_in=bool(answers.username))[0]


def _knock(answers: Answers, way: Way, path: str, *, with_login: bool) -> Finding:
    draft = draft_of(answers, way, path, with_login=with_login)
    settings = judged(draft, path)
    settings = replace(
        settings, smarthosts={DEFAULT: settings.smarthost}
    )  # variables may name others
    with progress() as line:
        line.show(f"  trying {', '.join(map(str, settings.smarthost.hosts))} …")
        found = asyncio.run(_ask(settings))
    return next((each for each in found if each.level is not Level.OK), found[0])


async def _ask(settings: "Settings") -> Sequence[Finding]:
    from relayd.doctor.context import CheckRequest, context_of  # noqa: PLC0415
    from relayd.doctor.servers import check_smarthost  # noqa: PLC0415
    from relayd.logs.operational import silenced  # noqa: PLC0415
    from relayd.worker.system import SystemClock  # noqa: PLC0415

    with silenced():
        return await check_smarthost(context_of(settings, CheckRequest(), SystemClock()))


def show(findings: Sequence[Finding]) -> None:
    """Print findings, a line each."""
    for each in findings:
        click.echo(printable(f"  {each.level:<5} {each.subject}: {_words(each)}"), err=True)


def _words(finding: Finding) -> str:
    return f"{finding.reason}. {finding.remedy}" if finding.remedy else finding.reason


def _told(refused: Sequence[Finding]) -> str:
    tried = "; ".join(f"{each.subject} {_words(each)}".rstrip(".") for each in refused)
    return printable(f"{tried}; nothing is written (--untested writes it all the same)")
