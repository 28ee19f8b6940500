"""`relayd dkim dns`: the records that the DNS should have, and whether it has them."""

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from relayd.cli.context import NoSuch, json_option, load_settings, settings_file, settings_option
from relayd.cli.filters import DomainType
from relayd.cli.output import paint, printable, show_json
from relayd.errors import RelaydError
from relayd.policy.doctor.finding import Finding, Level

if TYPE_CHECKING:  # pydantic, cryptography
    from relayd.doctor.dkim_keys import KeyFile
    from relayd.settings import Settings

COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red", Level.UNKNOWN: "magenta"}


@click.command()
@click.argument("domain", type=DomainType(), required=False)
@json_option
@settings_option()
@click.pass_context
def dns(ctx: click.Context, /, *, domain: str | None, as_json: bool) -> None:
    """Print the DNS record of each key, of DOMAIN alone if it is given, and compare it with the DNS.

    Keys that wait beside the settings for `relayd dkim rotate` are among them. Exits with 1 if a record is missing
    or wrong, with 75 if the DNS gives no answer.
    """
    settings = load_settings()
    keys = [key for each in _domains(settings, domain) for key in keys_or_error(settings, each)]
    if not keys:
        raise NoSuch(
            f"{settings_file()} has no [[dkim]]{'' if domain is None else f' for {domain}'}, and there is"
            " no key beside it: `relayd dkim keygen DOMAIN` makes one"
        )
    findings = asyncio.run(_compare(settings, keys))
    for key, finding in zip(keys, findings, strict=True):
        if as_json:
            show_json(as_fields(key) | compared(finding))
        else:
            click.echo(f"; {'signs' if key.place is not None else 'is new, and does not sign yet'}")
            click.echo(key.published.zone_lines)
            click.echo(f"; {in_words(finding)}")
    ctx.exit(status_of(findings))


def keys_or_error(settings: "Settings", domain: str) -> "Sequence[KeyFile]":
    """Return the keys of a domain. Raises RelaydError."""
    from relayd.doctor.dkim_keys import keys_of  # noqa: PLC0415
    from relayd.net.dkim_keys import KeyUnfit  # noqa: PLC0415

    try:
        return keys_of(settings, domain)
    except KeyUnfit as error:
        raise RelaydError(str(error)) from None


def as_fields(key: "KeyFile") -> dict[str, object]:
    """Return what JSON says of a key."""
    return {
        "domain": key.domain,
        "selector": key.selector,
        "kind": key.kind,
        "key_file": str(key.path),
        "signs": key.place is not None,
        "name": key.published.name,
        "record": key.published.record,
    }


def compared(finding: Finding) -> dict[str, object]:
    """Return what JSON says of a record."""
    return {"level": finding.level, "reason": finding.reason, "remedy": finding.remedy or None}


def in_words(finding: Finding) -> str:
    """Return a finding as one line."""
    text = f"{finding.reason}. {finding.remedy}" if finding.remedy else finding.reason
    return f"{paint(finding.level, COLOURS[finding.level])}: {printable(text)}"


def status_of(findings: Sequence[Finding]) -> int:
    """Return the exit status: a record that is wrong counts more than one that nobody knows."""
    levels = {each.level for each in findings}
    if Level.FAIL in levels:
        return 1
    return os.EX_TEMPFAIL if Level.UNKNOWN in levels else os.EX_OK


def _domains(settings: "Settings", domain: str | None) -> Sequence[str]:
    from relayd.doctor.dkim_keys import signing_domains  # noqa: PLC0415

    return signing_domains(settings) if domain is None else (domain,)


async def _compare(settings: "Settings", keys: "Sequence[KeyFile]") -> Sequence[Finding]:
    from relayd.doctor.dkim_keys import own_keys  # noqa: PLC0415
    from relayd.net.dns.resolver import DnsResolver  # noqa: PLC0415
    from relayd.policy.doctor.dkim import judge_dkim  # noqa: PLC0415
    from relayd.worker.system import SystemClock  # noqa: PLC0415

    dns = DnsResolver(
        nameservers=settings.dns.nameservers, timeout=settings.dns.timeout, clock=SystemClock()
    )
    answers = await asyncio.gather(*(dns.texts(key.published.name) for key in keys))
    own = {
        domain: own_keys([key for key in keys if key.domain == domain])
        for domain in {key.domain for key in keys}
    }
    return [
        judge_dkim(key.selector, key.domain, answer, own=own[key.domain][key.selector])
        for key, answer in zip(keys, answers, strict=True)
    ]
