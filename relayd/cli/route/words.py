"""The findings of `relayd route` in words: a line each, under the address."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from relayd.answers import when
from relayd.answers.way import TLS_WORDS, where
from relayd.cli.output import hanging, paint
from relayd.cli.table import coloured
from relayd.policy.delivery.plan import AT_ONCE
from relayd.policy.delivery.route import Route as Way
from relayd.settings import HostPort

_COLOURS = {"deliverable": "green", "bounced": "red", "deferred": "yellow", "held": "magenta"}


def in_words(fields: Mapping[str, Any], way: Way) -> Iterator[str]:
    """Give the lines to print for the JSON fields of one address."""
    yield paint(fields["rcpt"])
    for label, lines in _parts(fields, way):
        for number, line in enumerate(lines):
            yield hanging(f"  {'' if number else label:<14}", line)
    told = hanging(f"  {'verdict':<14}", _verdict(fields)).split("\n")
    yield "\n".join(coloured(line, _COLOURS[fields["verdict"]]) for line in told)


def _parts(fields: Mapping[str, Any], way: Way) -> Iterator[tuple[str, Sequence[str]]]:
    yield from _instead(fields)
    yield "goes", [where(way)]
    yield "because", [fields["reason"]]
    yield "route key", [fields["destination"]]
    if fields.get("mx") is not None:
        listed = [f"{record['preference']} {record['host']}" for record in fields["mx"]]
        yield "MX", listed or ["none: the domain itself is its mail server"]
    yield "tries", [_host(host) for host in fields.get("hosts", ())]
    yield "left out", fields.get("skipped", ())
    if "site" in fields:
        yield "site", [fields["site"]]
    if "tls" in fields:
        yield "TLS", [TLS_WORDS[fields["tls"]], *_demands(fields)]
        yield "login", ["yes" if fields["login"] else "no"]
    if fields.get("assume_8bit"):
        yield "8-bit", ["sent as it is, whatever the server offers (assume_8bit)"]
    if "source_addresses" in fields:
        yield "sent from", _sources(fields)
        yield "EHLO", [*_our_names(fields)]
    if "connections" in fields:
        yield "connections", [f"at most {fields['connections']} at once"]
    yield "rate", [*_limits(fields)]
    yield "rewritten", fields.get("rewrites", ())
    yield "copies to", fields.get("copies", ())
    if some := fields.get("suppress_for"):
        yield "suppressed", [f"for mail from {sender} (relayd addresses)" for sender in some]
    elif fields.get("suppress"):
        yield "suppressed", ["its bounces speak against using it (relayd addresses)"]
    yield "queue", [fields["queue"] if "queue" in fields else _queue(fields)]


def _demands(fields: Mapping[str, Any]) -> Iterator[str]:
    """What each host has to show, by the row of table A in docs/tls.md; then why DANE is off, if it is."""
    if "mx_secure" in fields:
        yield f"the MX answer is {'' if fields['mx_secure'] else 'not '}secure (DNSSEC)"
    for host in {host["remote_host"]: host for host in fields.get("hosts", ())}.values():
        if "tls_row" not in host:
            return
        why = f": {host['tls_reason']}" if host["tls_reason"] else ""
        said = f"{host['remote_host']}: {host['tls_level']}, by row {host['tls_row']} ({host['tls_policy']}){why}"
        yield f"{said}; TLSA: {', '.join(host['tlsa'])}"
    if "dane" in fields and fields["dane"] != "on":
        yield fields["dane"] if "DANE" in fields["dane"] else f"DANE is {fields['dane']}"


def _limits(fields: Mapping[str, Any]) -> Iterator[str]:
    for unit in ("second", "minute", "hour", "day"):
        if most := fields.get(f"messages_per_{unit}"):
            yield f"at most {most:,} messages a {unit}"
    if most := fields.get("messages_per_connection"):
        yield f"at most {most:,} messages on one connection"
    if (most := fields.get("recipients_per_message", AT_ONCE)) != AT_ONCE:
        yield f"at most {most} recipient{'' if most == 1 else 's'} of one message"


def _instead(fields: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[str]]]:
    """What puts one address in the place of another."""
    if (alias := fields["alias"]) is not None:
        who = "every other name" if alias == "*" else alias
        yield "alias of", [f"{who}, by [aliases], for mail of this machine"]
    if fields["redirected_to"] is not None:
        yield "redirected", [f"to {fields['redirected_to']}, by [redirect]"]


def _host(host: Mapping[str, Any]) -> str:
    if "remote_ip" not in host:
        return str(HostPort(host=host["remote_host"], port=host["remote_port"]))
    return f"{host['remote_host']} [{host['remote_ip']}]:{host['remote_port']}"


def _sources(fields: Mapping[str, Any]) -> Sequence[str]:
    """The addresses that these hosts see, those that cannot be used, and families that are left out."""
    seen = dict.fromkeys(str(host["local_ip"] or "") for host in fields.get("hosts", ()))
    known = ", ".join(filter(None, seen))
    if fields["source_addresses"]:
        chosen = known or f"one of {', '.join(fields['source_addresses'])}"
    else:
        chosen = "an address that the system chooses" + (f", now {known}" if known else "")
    missing = [
        f"{source} rests: this machine does not have it" for source in fields["missing_sources"]
    ]
    left_out = [
        f"never over IPv{family[-1]}: {setting} leaves it out"
        for family, setting in fields["left_out"].items()
    ]
    return [chosen, *missing, *left_out]


def _our_names(fields: Mapping[str, Any]) -> Iterator[str]:
    """What we call ourselves, at each address if that is not the same."""
    names = {str(host["local_ip"]): host["helo"] for host in fields.get("hosts", ())}
    if len(set(names.values())) == 1:
        yield next(iter(names.values()))
        return
    for source, helo in names.items():
        yield f"{helo} from {source}"


def _queue(fields: Mapping[str, Any]) -> str:
    waiting = fields["waiting"]
    count = "nothing waits" if not waiting else f"{waiting} waiting"
    until: datetime | None = fields["paused_until"]
    if until is None:
        return count
    why = f": {fields['paused_for']}" if fields["paused_for"] else ""
    return f"{count}; the destination is paused until {when.shown(until)}{why}"


def _verdict(fields: Mapping[str, Any]) -> str:
    match fields["verdict"]:
        case "bounced":
            return f"bounces at once: {fields['enhanced']} {fields['why']}"
        case "deferred" if "category" not in fields:  # nothing is wrong with the way
            return f"waits: {fields['why']}"
        case "deferred":
            return f"waits for another try: {fields['why']}"
        case "held":
            return "held by the settings"
        case _:
            return "deliverable, as far as this shows"
