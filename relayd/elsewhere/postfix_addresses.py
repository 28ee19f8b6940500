"""What Postfix does to addresses: generic, canonical, masquerading, copies, aliases, header fields.

Source: generic(5), canonical(5), virtual(5), aliases(5), header_checks(5), postconf(5).
"""

import re
from collections.abc import Mapping

from relayd.elsewhere.found import Found
from relayd.elsewhere.lines import add_alias, is_domain, is_mailbox, read_aliases
from relayd.elsewhere.postfix_files import Tables, words

_SENDERS = ("smtp_generic_maps", "sender_canonical_maps", "canonical_maps")
_CHECKS = ("header_checks", "smtp_header_checks")
_CHECK = re.compile(r"/(.*)/[a-zA-Z]*\s+(\S+)\s*(.*)")
_STEPS = {"if": 1, "endif": -1}
_FIELD = re.compile(r"\^([A-Za-z0-9-]+):(?:\.\*|\\s\*|\s)*\$?")


def read_addresses(values: Mapping[str, str], tables: Tables, found: Found) -> None:
    """Find what becomes of senders, of names of this machine, and of header fields."""
    here = local_domains(values, found)
    for parameter in _SENDERS:
        for key, value in tables.named_by(parameter).items():
            _read_sender(key, value, here, parameter, found)
    for domain in words(values.get("masquerade_domains", "")):
        if domain.startswith("!"):
            found.note(
                f"masquerade_domains: {domain}",
                "write an entry of its own into smarthost.header_domains",
            )
        elif is_domain(domain):
            found.domains.setdefault(f"*.{domain}", domain)
    _read_copies(values, tables, found)
    for key, value in tables.named_by("virtual_alias_maps").items():
        _read_virtual(key, value, here, found)
    _read_local_aliases(values, tables, found)
    for parameter in _CHECKS:
        for path, text in tables.texts_of(parameter):
            _read_checks(text, f"{parameter} ({path})", found)


def _read_local_aliases(values: Mapping[str, str], tables: Tables, found: Found) -> None:
    is_local = _keeps_names(values, found)
    for path, text in tables.texts_of("alias_maps"):
        if is_local:
            read_aliases(text, str(path), found)
        elif text.strip():
            found.note(
                f"alias_maps ({path})",
                "names without a domain are at myorigin, which is not in mydestination: Postfix sends their mail on, and these aliases are left out",
            )


def _keeps_names(values: Mapping[str, str], found: Found) -> bool:
    """Tell whether a name without a domain is one of this machine, for which alone alias_maps count; or may be."""
    origin, name = (found.local_domain or found.fqdn).lower(), found.fqdn or "$myhostname"
    here = [each.lower() for each in words(values.get("mydestination", name))]
    is_unknown = any(each.startswith(("$", "/")) or ":" in each for each in here)
    return not origin or origin in here or is_unknown


def local_domains(values: Mapping[str, str], found: Found) -> list[str]:
    """Return the domains of names without one: that of the origin first."""
    names = [values.get("myorigin", "") or found.fqdn, found.fqdn, "localhost"]
    named = [each for each in words(values.get("mydestination", "")) if is_domain(each)]
    return list(
        dict.fromkeys(
            each.lower() for each in (*names, *named) if each and not each.startswith("/")
        )
    )


def _read_sender(key: str, value: str, here: list[str], parameter: str, found: Found) -> None:
    place = f"{parameter}: {key[:60]}"
    if key.startswith("@") and value.startswith("@"):
        found.domains.setdefault(key[1:], value[1:])
        return
    if not is_mailbox(value):
        found.note(place, "expected one address to put in its place: see [senders]")
        return
    if key.startswith("@") or is_mailbox(key):
        patterns = [key.removeprefix("@")]
    else:
        patterns = [f"{key}@{domain}" for domain in here if is_domain(domain)]
    for pattern in patterns:
        rule = found.rule(pattern)
        rule.address = rule.address or value
    if parameter != "sender_canonical_maps":
        found.note(
            parameter,
            "MAIL FROM and From are rewritten; Postfix rewrites recipients and other fields too",
        )


def _read_copies(values: Mapping[str, str], tables: Tables, found: Found) -> None:
    if is_mailbox(copy := values.get("always_bcc", "")):
        found.rule("*").copies.append(copy)
    for key, value in tables.named_by("sender_bcc_maps").items():
        pattern = key.removeprefix("@")
        if is_mailbox(value) and (is_mailbox(pattern) or is_domain(pattern)):
            found.rule(pattern).copies.append(value)
        else:
            found.note(
                f"sender_bcc_maps: {key[:60]}", "expected an address: see always_bcc of [senders]"
            )
    if values.get("recipient_bcc_maps"):
        found.note(
            "recipient_bcc_maps", "relayd copies mail by its sender: see always_bcc of [senders]"
        )


def _read_virtual(key: str, value: str, here: list[str], found: Found) -> None:
    name, _, domain = key.partition("@")
    if "@" not in key and is_domain(key):
        return  # says that the domain is one of aliases
    if domain and domain not in here:
        found.note(
            f"virtual_alias_maps: {key[:60]}",
            "relayd redirects names of this machine only: write the other address into the application",
        )
    elif not name:
        add_alias("*", words(value), "virtual_alias_maps", found)
    else:
        add_alias(name, words(value), "virtual_alias_maps", found)


def _read_checks(text: str, place: str, found: Found) -> None:
    """Take over fields that go, or get another value; what looks at a value stays behind."""
    gone: list[str] = found.rewriting.setdefault("remove_headers", [])  # type: ignore[assignment]
    changed: dict[str, str] = found.rewriting.setdefault("set_headers", {})  # type: ignore[assignment]
    depth = 0  # of `if` around a line, which then does not count for all mail
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        depth += _STEPS.get(line.split()[0].lower(), 0)
        rule = _CHECK.fullmatch(line.strip()) if depth == 0 else None
        field = _FIELD.fullmatch(rule[1]) if rule else None
        word, said = (rule[2], rule[3]) if rule else ("", "")
        name, _, value = said.partition(":")
        if field and word.upper() == "IGNORE":
            if field[1].lower() == "received":
                found.hide_client = True
                found.note(
                    place,
                    "Received fields stay, by them loops are found; hide_client leaves the client out of ours",
                )
            else:
                gone.append(field[1])
        elif (
            field
            and word.upper() == "REPLACE"
            and name.lower() == field[1].lower()
            and value.strip().isascii()
        ):
            changed[field[1]] = value.strip()
        else:
            found.note(
                f"{place}: {line.strip()[:40]}",
                "relayd looks at no values of fields: see set_headers and remove_headers",
            )
    for key in ("remove_headers", "set_headers"):
        if not found.rewriting[key]:
            del found.rewriting[key]
