"""`relayd route`: where mail to an address would go, and why.

Asks the functions and the resolver that delivery asks, and what the queue says of the destination.
Connects to no mail server, and needs no daemon.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

import click

from relayd.cli.context import (
    NotRunning,
    json_option,
    load_settings,
    now,
    open_view,
    settings_option,
)
from relayd.cli.filters import ADDRESS
from relayd.cli.output import instant, paint, show_json
from relayd.cli.rows import find_rows
from relayd.deliverer.directions import host_settings
from relayd.errors import StoreError
from relayd.mail.address import Address, PathError, parse_address
from relayd.mail.attempt import Breakdown, RouteKind
from relayd.mail.dns import ImplicitMx, MxAnswer, MxHosts
from relayd.policy.mx import Candidate, Candidates, Undeliverable
from relayd.policy.route import (
    Decision,
    OnHold,
    ViaHost,
    ViaMx,
    ViaSmarthost,
    decide,
    forwarded,
    key_of,
)
from relayd.ports import Query, QueueView
from relayd.settings import HostPort, Settings, TlsMode
from relayd.worker.outward import look_up

Fields = Mapping[str, object]

_EXIT = {"deliverable": os.EX_OK, "bounced": 1, "deferred": os.EX_TEMPFAIL, "held": os.EX_TEMPFAIL}
_TLS = {
    TlsMode.OFF: "off: clear text",
    TlsMode.OPPORTUNISTIC: "opportunistic: where offered, with any certificate, else clear text",
    TlsMode.REQUIRED: "required: with any certificate, never clear text",
    TlsMode.VERIFY: "verify: only with a certificate that proves the name",
}
_LABELS = {
    "redirected_to": "redirected to",
    "goes": "goes",
    "because": "because",
    "destination": "route key",
    "mx": "MX",
    "hosts": "tries",
    "skipped": "left out",
    "tls": "TLS",
    "login": "login",
    "source_addresses": "sent from",
    "connections": "connections",
    "suppress": "suppressed",
    "queue": "queue",
    "verdict": "verdict",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What the DNS says of a domain, and what delivery makes of it."""

    answer: MxAnswer
    chosen: Candidates | Undeliverable | Breakdown


@click.command()
@click.argument("address", type=ADDRESS)
@click.option("--test", "is_test", is_flag=True, help="For a test mail (X-Relayd-Test: yes).")
@json_option
@settings_option()
@click.pass_context
def route(ctx: click.Context, *, address: str, is_test: bool, as_json: bool) -> None:
    """Explain where mail to ADDRESS would go, and why.

    Looks up what delivery would look up, but connects to nobody. The exit status is 0 if the mail
    can be delivered as far as that shows, 1 if it would bounce, 75 if it would wait: because the
    DNS gives no answer now, or because a rule holds it.
    """
    try:
        wanted = parse_address(address)
    except PathError as wrong:
        raise click.UsageError(f"{address!r} is no address: {wrong}") from None
    settings = load_settings()
    told = forwarded(wanted, settings.routes)
    decision = decide(told, is_test=is_test, rules=settings.routes)
    found = None
    if isinstance(decision.route, ViaMx):
        found = Found(*asyncio.run(look_up(settings, decision.route.domain)))
    fields = {
        "rcpt": str(wanted),
        "redirected_to": None if told == wanted else str(told),
        "route": _kind(decision),
        "reason": decision.reason,
        "destination": key_of(decision.route),
        **_way(settings, decision, found),
        **_queue(decision, wanted, told),
        **_verdict(decision, found),
    }
    if as_json:
        show_json(fields)
    else:
        for line in _told(fields, decision):
            click.echo(line)
    ctx.exit(_EXIT[str(fields["verdict"])])


def _kind(decision: Decision) -> str:
    match decision.route:
        case ViaMx():
            return RouteKind.DIRECT.value
        case ViaSmarthost() | ViaHost():  # as the status log calls both
            return RouteKind.SMARTHOST.value
        case OnHold():
            return "hold"
        case _:
            assert_never(decision.route)


def _way(settings: Settings, decision: Decision, found: Found | None) -> Fields:
    """The servers, and how they are spoken to."""
    if found is not None:
        return {
            "mx": _mail_hosts(found.answer),
            **_candidates(found.chosen, settings.direct.port),
            "tls": settings.direct.tls,
            "login": False,
            "source_addresses": list(settings.direct.source_addresses),
            "connections": settings.direct.connections_per_destination,
        }
    if isinstance(decision.route, OnHold):
        return {}
    through = host_settings(settings.smarthost, key_of(decision.route))
    own = isinstance(decision.route, ViaSmarthost)
    return {
        "hosts": [str(host) for host in through.hosts],
        "tls": through.tls,
        "login": through.login is not None,
        "connections": through.connections
        if own
        else settings.direct.connections_per_destination,
    }


def _mail_hosts(answer: MxAnswer) -> list[str] | None:
    """What the DNS lists, best first, as `preference host`."""
    match answer:
        case MxHosts(hosts=hosts):
            listed = sorted((host.preference, host.name) for host in hosts)
            return [f"{preference} {name}" for preference, name in listed]
        case ImplicitMx():
            return []
        case _:
            return None


def _candidates(chosen: Candidates | Undeliverable | Breakdown, port: int) -> Fields:
    if not isinstance(chosen, Candidates):
        return {}
    return {
        "hosts": [_spoken(candidate, port) for candidate in chosen.candidates],
        "skipped": list(chosen.skipped),
    }


def _spoken(candidate: Candidate, port: int) -> str:
    return f"{candidate.host} [{candidate.ip}]:{port}"


def _verdict(decision: Decision, found: Found | None) -> Fields:
    if isinstance(decision.route, OnHold):
        return {"verdict": "held"}
    match None if found is None else found.chosen:
        case Undeliverable() as proven:
            return {
                "verdict": "bounced",
                "enhanced": proven.status,
                "category": proven.category,
                "why": proven.reason,
            }
        case Breakdown() as failure:
            return {"verdict": "deferred", "category": failure.category, "why": failure.reason}
        case _:
            return {"verdict": "deliverable"}


def _queue(decision: Decision, wanted: Address, told: Address) -> Fields:
    """What the queue knows of the destination and the address; why not, if it cannot be read."""
    key = key_of(decision.route)
    domain = told.domain if isinstance(decision.route, ViaMx) and told == wanted else None
    try:
        with open_view() as view:
            return {
                "waiting": view.counts().by_destination.get(key, 0),
                "paused_until": _paused_until(view, key, domain, now()),
                "suppress": view.is_suppressed(str(wanted)),
            }
    except NotRunning as nothing:
        return {"queue": nothing.format_message()}
    except StoreError as error:
        return {"queue": f"cannot be read: {error}"}


def _paused_until(
    view: QueueView, key: str, domain: str | None, at: datetime
) -> datetime | None:
    """Until when the destination is left alone; only known while somebody waits for it."""
    waiting = find_rows(view, Query(domain=domain, unfinished=True), limit=0)
    until = next((row.paused_until for row in waiting if row.destination == key), None)
    return until if until is not None and until > at else None


def _told(fields: Fields, decision: Decision) -> Iterator[str]:
    """The same for people."""
    yield paint(str(fields["rcpt"]))
    words = {
        **fields,
        "goes": _goes(decision),
        "because": fields["reason"],
        "queue": fields.get("queue") or _queue_in_words(fields),
        "verdict": _verdict_in_words(fields),
        "suppress": "its bounces speak against using it" if fields.get("suppress") else None,
    }
    if "tls" in fields:
        words["tls"] = _TLS[TlsMode(str(fields["tls"]))]
        words["login"] = "yes" if fields["login"] else "no"
        words["connections"] = f"{fields['connections']} at once"
    if fields.get("mx") == []:
        words["mx"] = "none: the domain itself is its mail server"
    if fields.get("source_addresses") == []:
        words["source_addresses"] = "an address that the system chooses"
    for name, label in _LABELS.items():
        value = words.get(name)
        lines = value if isinstance(value, list) else [value]
        for number, line in enumerate(each for each in lines if each is not None):
            yield paint(f"  {'' if number else label:<14}{line}")
