"""Our settings, made of what was found: values as a TOML file says them, and secrets by file name.

The most specific sender comes first, because the first entry that fits counts, and counts for all that it says: so
each takes over what a wider one would have said.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from relayd.elsewhere.found import Found, Rule, Server
from relayd.policy.intake.aliases import flaws_of
from relayd.policy.tls.ladder import TlsMode

T = TypeVar("T")
_DEFAULT = "smarthost"
_LONGEST = 40  # characters of a smarthost's name
_SMALLEST, _LARGEST = 1000, 512_000_000  # octets of limits.message_size
_ANY, _NULL = "*", "<>"


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be written."""

    values: dict[str, object]
    secrets: dict[str, str]  # by file name


def tell(found: Found, *, local_socket: str) -> Told:
    """Return the settings. Programs that call sendmail get a listener at `local_socket`."""
    _place_local(found)
    names = _names(found)
    secrets: dict[str, str] = {}
    values: dict[str, object] = {"fqdn": found.fqdn}
    if found.server is None:
        values["use_remote_smtp"] = True
    values["listen"] = _listeners(found, local_socket)
    rewriting = _rewriting(found)
    if found.server is not None:
        values["smarthost"] = {**_table(found.server, "smarthost", secrets), **rewriting}
    elif rewriting:
        found.rule(_ANY)
    if named := {
        name: {**_table(server, name, secrets), **rewriting}
        for server, name in names
        if name != _DEFAULT
    }:
        values["smarthosts"] = named
    if routes := {pattern: _route(to, names) for pattern, to in _ordered(found.routes)}:
        values["routes"] = routes
    in_direct_mode = rewriting if found.server is None else {}
    if senders := dict(_senders(found, names, in_direct_mode)):
        values["senders"] = senders
    if aliases := _aliases(found):
        values["aliases"] = aliases
    return Told(values | found.tables, secrets)


def _place_local(found: Found) -> None:
    """Say of this machine's own senders what was said without a domain: relayd calls them USER@fqdn."""
    for user, rule in found.local_users.items():
        found.senders.setdefault(f"{user}@{found.fqdn}", rule)
    if found.local_sender:
        found.rule(found.fqdn).address = found.local_sender
    elif found.local_domain and found.local_domain.lower() != found.fqdn.lower():
        found.domains.setdefault(found.fqdn, found.local_domain)
        found.note(
            f"senders at {found.fqdn}",
            f"become senders at {found.local_domain}, also where a program writes the whole address; names without a domain that get mail stay at {found.fqdn}: see [aliases]",
        )


def _names(found: Found) -> list[tuple[Server, str]]:
    """Return every server once, with the name that it gets."""
    names: list[tuple[Server, str]] = []
    if found.server is not None:
        names.append((found.server, _DEFAULT))
    others = [rule.server for rule in found.senders.values()]
    others += [to for to in found.routes.values() if isinstance(to, Server) and _needs_table(to)]
    for server in others:
        if server is not None and server not in [each for each, _ in names]:
            names.append((server, _new_name(server, {name for _, name in names})))
    return names


def _new_name(server: Server, taken: set[str]) -> str:
    base = re.sub(r"[^a-z0-9]+", "-", server.hosts[0].host.lower()).strip("-")[: _LONGEST - 4]
    if not re.search("[a-z]", base):
        base = f"host-{base}"
    base = base.strip("-")
    numbered = (f"{base}-{number}" for number in range(2, 10_000))
    return next(name for name in (base, *numbered) if name not in taken and name != "default")


def _needs_table(server: Server) -> bool:
    """Tell whether a host of `[routes]` cannot say what a server is like."""
    return bool(server.username or server.certificate or server.ehlo or len(server.hosts) > 1)


def _table(server: Server, name: str, secrets: dict[str, str]) -> dict[str, object]:
    table: dict[str, object] = {
        "hosts": [str(each) for each in server.hosts],
        "tls": server.tls.value,
    }
    if server.username:
        file = f"{name}-password" if name != "store" else f"{name}-smarthost-password"
        secrets[file] = server.password
        key = "token_file" if server.auth in {"xoauth2", "oauthbearer"} else "password_file"
        table |= {"username": server.username, key: file}
        table |= {"auth": server.auth} if server.auth else {}
    for key in ("certificate", "key_file", "ehlo", "source_address", "connections"):
        if value := getattr(server, key):
            table[key] = value
    return table | ({"recipients_per_message": server.recipients} if server.recipients else {})


def _rewriting(found: Found) -> dict[str, object]:
    rewriting = dict(found.rewriting)
    if found.domains:
        if "envelope_from" not in rewriting:
            rewriting["envelope_domains"] = dict(found.domains)
        if "header_from" not in rewriting:
            rewriting["header_domains"] = dict(found.domains)
    return rewriting


def _listeners(found: Found, local_socket: str) -> list[dict[str, object]]:
    listeners: list[dict[str, object]] = []
    for each in found.listeners:
        table: dict[str, object] = {"address": each.address}
        if each.networks:
            table["networks"] = ["127.0.0.0/8", "::1/128", *each.networks]
        listeners.append(table)
    listeners = listeners or [{"address": "127.0.0.1:2525"}]
    listeners.append({"address": f"unix:{local_socket}"})
    if found.hide_client:
        for table in listeners:
            table["hide_client"] = True
    return listeners


def _route(to: Server | str, names: list[tuple[Server, str]]) -> object:
    if isinstance(to, str):
        return to
    name = next((name for server, name in names if server == to), None)
    if name is not None:
        return "smarthost" if name == _DEFAULT else f"smarthost:{name}"
    host = str(to.hosts[0])
    return host if to.tls is TlsMode.OPPORTUNISTIC else {"host": host, "tls": to.tls.value}


def _senders(
    found: Found, names: list[tuple[Server, str]], in_direct_mode: dict[str, object]
) -> Iterator[tuple[str, dict[str, object]]]:
    ordered = _ordered(found.senders)
    for number, (pattern, rule) in enumerate(ordered):
        wider = [each for other, each in ordered[number + 1 :] if _covers(other, pattern)]
        whole = _whole(rule, wider)
        table: dict[str, object] = {}
        if whole.server is not None or whole.by_default:
            name = next((name for server, name in names if server == whole.server), _DEFAULT)
            table["smarthost"] = "default" if name == _DEFAULT else name
        if found.server is None and table.get("smarthost") == "default":
            del table["smarthost"]
        table |= in_direct_mode
        if whole.address:
            for key in ("envelope_domains", "header_domains"):
                table.pop(key, None)
            table |= {"envelope_from": whole.address, "header_from": whole.address}
        if whole.copies:
            table["always_bcc"] = list(dict.fromkeys(whole.copies))
        if table or wider:  # one without keys keeps what a wider one says away
            yield pattern, table


def _whole(rule: Rule, wider: list[Rule]) -> Rule:
    """Return a rule with what wider ones say of what it does not; the nearest first."""
    whole = replace(rule, copies=[*rule.copies])
    for each in wider:
        if whole.server is None and not whole.by_default:
            whole.server, whole.by_default = each.server, each.by_default
        whole.address = whole.address or each.address
        whole.copies += each.copies
    return whole


def _ordered(patterns: dict[str, T]) -> list[tuple[str, T]]:
    return sorted(patterns.items(), key=lambda item: _width(item[0]))


def _width(pattern: str) -> tuple[int, int]:
    """Sort addresses first, then domains, then all below a domain, the longest first, then everything."""
    if "@" in pattern or pattern == _NULL:
        return (0, 0)
    if pattern == _ANY:
        return (3, 0)
    return (2, -pattern.count(".")) if pattern.startswith("*.") else (1, 0)


def _covers(wider: str, pattern: str) -> bool:
    """Tell whether all mail of `pattern` is mail of `wider` too; the null reverse-path is nobody's."""
    if pattern == _NULL:
        return False
    domain = pattern.rpartition("@")[2].removeprefix("*.").lower()
    if wider == _ANY:
        return True
    if wider.startswith("*."):
        is_below = domain.endswith(wider[1:].lower())
        return is_below or (pattern.startswith("*.") and domain == wider[2:].lower())
    return "@" in pattern and domain == wider.lower()


def _aliases(found: Found) -> dict[str, object]:
    """Return those that lead to an address; of the others it is noted what to do."""
    kept = {name: list(targets) for name, targets in found.aliases.items()}
    while flaws := flaws_of(kept):
        for name in flaws:
            known = {each.lower() for each in kept} - {_ANY}
            good = [each for each in kept[name] if "@" in each or each.lower() in known]
            gone = [each for each in kept[name] if each not in good] or kept[name]
            found.note(
                f"alias {name}",
                f"leads to the mailbox {', '.join(gone)[:60]} of this machine, and relayd keeps none:"
                f" `relayd config set aliases.{name} ADDRESS`",
            )
            if good and good != kept[name]:
                kept[name] = good
            else:
                del kept[name]
    return {name: targets[0] if len(targets) == 1 else targets for name, targets in kept.items()}


def message_size(octets: int) -> str:
    """Return a limit on messages as `limits.message_size` has it, within what relayd can do; 0 is none."""
    return f"{min(max(octets, _SMALLEST), _LARGEST) if octets else _LARGEST}B"
