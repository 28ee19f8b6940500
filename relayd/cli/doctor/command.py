"""`relayd doctor`: whether the set-up is sound, and what direct mode needs.

Needs no daemon. `relayd.doctor` asks, `relayd.policy.doctor` judges; here it is printed.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import click

from relayd.cli.checking import gather, say_what_runs
from relayd.cli.context import (
    NotRunning,
    load_settings,
    named_settings_file,
    now,
    open_view,
    settings_option,
)
from relayd.cli.doctor.words import show_findings, summary
from relayd.cli.filters import DomainType, DurationType
from relayd.cli.notices import show_notices
from relayd.cli.output import Form, printable, show_fields
from relayd.cli.row_options import takes_form
from relayd.cli.screen import repeat
from relayd.errors import ConfigError, RelaydError
from relayd.mail.dns import DomainError, IpAddress, a_labels
from relayd.policy.doctor.finding import has_failed

if TYPE_CHECKING:  # asking takes the resolver, the store and more; `--help` does not
    from relayd.doctor import CheckRequest, Memory
    from relayd.settings import HostPort, Settings

_AFTER_SELECTOR = "_domainkey.example.org"  # so that it can be checked as a name
_SHORTEST = timedelta(minutes=1)  # between two rounds


class SelectorType(click.ParamType[str]):
    """Labels of a name; unlike a domain it may be a number."""

    name = "selector"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return a_labels(f"{value}.{_AFTER_SELECTOR}").removesuffix(f".{_AFTER_SELECTOR}")
        except DomainError:
            self.fail(f"{value!r} is no selector", param, ctx)


class AddressType(click.ParamType[IpAddress]):
    name = "ip"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> IpAddress:
        try:
            return ip_address(value)
        except ValueError:
            self.fail(f"{value!r} is no IP address", param, ctx)


class HostType(click.ParamType[str]):
    """HOST or HOST:PORT; the port is filled in later, by the settings."""

    name = "host[:port]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            _host_of(str(value), 25)
        except ValueError as wrong:
            self.fail(str(wrong), param, ctx)
        return str(value)


class PeriodType(DurationType):
    """The time between two rounds; blocklists and servers must not be asked all the time."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        period = super().convert(value, param, ctx)
        if period < _SHORTEST:
            self.fail(f"{value!r} is too often: expected 1m or more", param, ctx)
        return period


@click.command()
@click.option("--direct", is_flag=True, help="Also check what direct mode needs, if it is off.")
@click.option("--domain", "domains", type=DomainType(), multiple=True, help="A sender's domain.")
@click.option(
    "--selector",
    "selectors",
    type=SelectorType(),
    multiple=True,
    metavar="S",
    help="The selector of a DKIM key of these domains.",
)
@click.option(
    "--reach",
    type=HostType(),
    multiple=True,
    metavar="HOST[:PORT]",
    help="A mail server to try port 25 with.",
)
@click.option(
    "--address",
    "addresses",
    type=AddressType(),
    multiple=True,
    help="Our address as receivers see it, if a gateway changes it.",
)
@click.option("--quick", is_flag=True, help="Ask only the DNS, about our own name.")
@click.option(
    "--watch", type=PeriodType(), metavar="TIME", help="Check again every TIME, such as 15m."
)
@click.option("--rounds", type=click.IntRange(min=1), hidden=True, help="How often with --watch.")
@click.option(
    "--save", "saves", is_flag=True, help="Write the result to doctor.json beside the queue file."
)
@takes_form
@settings_option()
@click.pass_context
def doctor(
    ctx: click.Context,
    /,
    *,
    watch: timedelta | None,
    rounds: int | None,
    saves: bool,
    form: Form,
    reach: Sequence[str],
    **asked: Any,
) -> None:
    """Check the set-up: DNS, reputation, servers, certificate, queue, disk, clock, file modes.

    The checks of direct mode are made if it is on, or with --direct. The exit status is 1 if a check
    failed; a warning is no failure. No mail is sent.
    """
    from relayd.doctor import CheckRequest  # noqa: PLC0415

    memory: Memory = {}

    def check() -> bool:
        try:
            settings = load_settings(with_secrets=True)
        except ConfigError:
            if form is Form.TABLE:
                say_what_runs()
            raise
        hosts = tuple(_host_of(each, settings.direct.port) for each in reach)
        return _round(settings, CheckRequest(reach=hosts, **asked), memory, saves=saves, form=form)

    if watch is None:
        ctx.exit(1 if check() else 0)
    repeat(check, rounds=rounds, every=watch.total_seconds(), pause=time.sleep)


def _round(
    settings: "Settings", request: "CheckRequest", memory: "Memory", *, saves: bool, form: Form
) -> bool:
    """Make every check once and print the findings; return whether one has failed."""
    from relayd.answers.standing import in_one_line, standing_of  # noqa: PLC0415
    from relayd.doctor.daemon import ask_daemon, check_as_service, check_daemon  # noqa: PLC0415
    from relayd.doctor.saved import FIELDS, save  # noqa: PLC0415
    from relayd.doctor.saved import as_json as fields_of  # noqa: PLC0415
    from relayd.logs.operational import silenced  # noqa: PLC0415

    at = now()
    daemon = ask_daemon(settings)
    if form is Form.TABLE:
        click.echo(printable(in_one_line(standing_of(settings, daemon))))
        _show_notices()
    findings = [check_daemon(settings, daemon), *check_as_service(settings)]
    with silenced():
        findings += asyncio.run(gather(settings, request, memory))
    if form is not Form.TABLE:
        show_fields((fields_of(finding, at) for finding in findings), FIELDS, form)
    else:
        show_findings(findings)
        click.echo(summary(findings), err=not sys.stdout.isatty())
    if saves:
        path = save(settings, findings, at)
        click.echo(f"saved to {path}", err=True)
    return has_failed(findings)


def _show_notices() -> None:
    """Show what is in force, as above all lists; what is wrong with the store is a check of its own."""
    with suppress(NotRunning, RelaydError), open_view() as view:
        show_notices(view, named_settings_file())


def _host_of(text: str, port: int) -> "HostPort":
    """Read HOST or HOST:PORT. Raises ValueError."""
    from relayd.config import units  # noqa: PLC0415 -- brings pydantic

    is_bare = ":" not in text or (text.count(":") > 1 and not text.startswith("["))
    if is_bare:
        text = f"[{text}]:{port}" if ":" in text else f"{text}:{port}"
    elif text.endswith("]"):
        text = f"{text}:{port}"
    return units.next_hop(text)
