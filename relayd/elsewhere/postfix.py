"""Postfix: /etc/postfix with main.cf, master.cf and lookup tables.

Source: postconf(5), master(5).
"""

import re
from collections.abc import Mapping
from itertools import chain, pairwise
from pathlib import Path

from relayd.elsewhere.found import Found, Listener
from relayd.elsewhere.lines import first_line, is_domain, logical_lines, networks_in, text_of, whole
from relayd.elsewhere.postfix_addresses import read_addresses
from relayd.elsewhere.postfix_files import Tables, parameters, words
from relayd.elsewhere.postfix_ways import Ways
from relayd.elsewhere.telling import message_size

PLACE = "/etc/postfix"
_PORT = 2525
_EVERYWHERE = "0.0.0.0"  # noqa: S104 -- as main.cf has it; networks says who may
_TIME = re.compile(r"(\d+)([smhdw]?)")
_CARRIED = {
    *(
        "alias_maps",
        "alias_database",
        "always_bcc",
        "bounce_queue_lifetime",
        "canonical_maps",
        "default_database_type",
    ),
    *(
        "header_checks",
        "inet_interfaces",
        "inet_protocols",
        "masquerade_domains",
        "maximal_queue_lifetime",
        "message_size_limit",
    ),
    *(
        "mydestination",
        "mydomain",
        "myhostname",
        "mynetworks",
        "mynetworks_style",
        "myorigin",
        "relayhost",
        "recipient_bcc_maps",
    ),
    *(
        "sender_bcc_maps",
        "sender_canonical_maps",
        "sender_dependent_relayhost_maps",
        "smtp_bind_address",
        "smtp_enforce_tls",
    ),
    *(
        "smtp_destination_concurrency_limit",
        "smtp_destination_recipient_limit",
        "smtp_generic_maps",
        "smtp_header_checks",
        "smtp_helo_name",
    ),
    *(
        "smtp_sasl_auth_enable",
        "smtp_sasl_password_maps",
        "smtp_sender_dependent_authentication",
        "smtp_tls_cert_file",
        "smtp_tls_key_file",
    ),
    *(
        "smtp_tls_enforce_peername",
        "smtp_tls_policy_maps",
        "smtp_tls_security_level",
        "smtp_tls_wrappermode",
        "smtp_use_tls",
    ),
    *(
        "transport_maps",
        "default_transport",
        "virtual_alias_maps",
        "virtual_alias_domains",
        "smtp_sasl_mechanism_filter",
    ),
}
_RESTRICTIONS = tuple(
    f"smtpd_{each}_restrictions" for each in ("client", "helo", "sender", "relay", "recipient")
)
_REFUSING = frozenset({"reject", "defer", "reject_unauth_destination", "defer_unauth_destination"})
_USUAL = _REFUSING | {
    *(
        "permit",
        "permit_mynetworks",
        "permit_sasl_authenticated",
        "permit_auth_destination",
        "permit_inet_interfaces",
    ),
    *(
        "reject_non_fqdn_sender",
        "reject_non_fqdn_recipient",
        "reject_unknown_sender_domain",
        "reject_unknown_recipient_domain",
    ),
    *("reject_unauth_pipelining", "reject_invalid_helo_hostname", "reject_non_fqdn_helo_hostname"),
}
_NOTHING_TO_DO = re.compile(
    "compatibility_level|biff|.*_directory|.*_path|.*_program|append_dot_mydomain|.*_session_cache.*|debug.*|setgid_group|mail_owner|default_privs"
    "|manpage.*|html.*|readme.*|mailbox_size_limit|smtp_tls_loglevel|smtpd_tls_loglevel|smtp_tls_note_starttls_offer|smtpd_banner|disable_vrfy_command"
    "|smtp_sasl_security_options|smtp_sasl_tls_security_options|smtp_tls_CA(file|path)|unknown_local_recipient_reject_code|.*_timeout|minimal_backoff_time"
    "|maximal_backoff_time|queue_run_delay|smtpd_helo_required|strict_rfc821_envelopes|tls_.*|smtp_tls_(mandatory_)?(protocols|ciphers|exclude_ciphers)"
    "|smtpd_tls_(mandatory_)?(protocols|ciphers|exclude_ciphers)|smtp_dns_support_level|smtp_host_lookup|maillog_file|meta_directory|shlib_directory"
    "|smtputf8_enable|local_transport|smtp_sasl_type|smtp_address_preference"
)
_ADVICE = {
    "recipient_delimiter": "relayd delivers to no mailboxes",
    "smtpd_milters": "relayd has no milters: see [[dkim]] for signatures, [content] for a content check",
    "non_smtpd_milters": "relayd has no milters: see [[dkim]] for signatures, [content] for a content check",
    "milter_default_action": "relayd has no milters: see content.when_down",
    "content_filter": "see [content] for rspamd or SpamAssassin",
    "smtp_fallback_relay": "add it to smarthost.hosts, or see direct.fallback",
    "virtual_mailbox_domains": "relayd delivers to no mailboxes: keep a mail server for them",
    "virtual_mailbox_maps": "relayd delivers to no mailboxes: keep a mail server for them",
    "home_mailbox": "relayd delivers to no mailboxes: an alias sends their mail to an address",
    "mailbox_command": "relayd delivers to no mailboxes: an alias sends their mail to an address",
    "relay_domains": "relayd is no server for mail from outside; [routes] says where mail to a domain goes",
    "smtpd_sasl_auth_enable": "clients log in with auth on [[listen]]: `relayd user add NAME` for each",
    "smtpd_tls_cert_file": "TLS for clients: [tls] certificate, and tls on [[listen]]",
    "smtpd_tls_key_file": "TLS for clients: [tls] key, and tls on [[listen]]",
    "smtpd_tls_security_level": "TLS for clients: tls on [[listen]]",
    "smtpd_use_tls": "TLS for clients: tls on [[listen]]",
    "recipient_canonical_maps": "relayd rewrites no recipients but names of this machine: see [aliases]",
    "smtp_destination_rate_delay": "see smarthost.messages_per_second",
    "sender_dependent_default_transport_maps": "see smarthost in [senders]",
    "relayhost_maps": "see [senders]",
    "smtp_bind_address6": "see smarthost.source_address",
    "default_destination_rate_delay": "see smarthost.messages_per_second",
}


def read_postfix(path: Path) -> Found:
    """Return what the folder, or its main.cf, says."""
    main = path / "main.cf" if path.is_dir() else path
    found = Found()
    values = parameters(main, found)
    name = values.get("myhostname", "")
    found.fqdn = name if is_domain(name) else ""
    origin = values.get("myorigin", "")
    origin = first_line(Path(origin), found) if origin.startswith("/") else origin
    found.local_domain = origin if is_domain(origin) else ""
    here = [each for each in words(values.get("mydestination", "")) if is_domain(each)]
    if others := [each for each in here if each != name and not each.startswith("localhost.")]:
        found.note(
            "main.cf: mydestination",
            f"relayd delivers to no mailboxes: mail to {', '.join(others)[:60]} is sent on like all other; see [routes]",
        )
    tables = Tables(found, values)
    master = main.with_name("master.cf")
    Ways(values, tables, found, _smtp_services(master, found)).read()
    read_addresses(values, tables, found)
    _read_listeners(values, found)
    _read_limits(values, found)
    _note_others(values, found)
    _note_master(master, found)
    return found


def _read_listeners(values: Mapping[str, str], found: Found) -> None:
    """Clients of other machines are let in only where main.cf names their networks."""
    named = words(values.get("mynetworks", ""))
    files = [each for each in named if each.startswith("/")]
    for each in files:
        lines = (line.partition("#")[0] for line in logical_lines(text_of(Path(each), found)))
        named += chain.from_iterable(map(words, lines))
    networks = networks_in(
        [each for each in named if each not in files and (":/" not in each or each[0] == "!")],
        "main.cf: mynetworks",
        found,
    )
    if _are_refused(values, found):
        networks = []
    if not named and values.get("mynetworks_style", "host") != "host":
        found.note(
            "main.cf: mynetworks_style",
            "nobody outside may send: name your networks in listen.networks",
        )
    interfaces = words(values.get("inet_interfaces", "all"))
    found.note(
        "the port",
        f"relayd takes mail at port {_PORT}, Postfix at 25: change it in the applications, or see docs/howto/socket.md",
    )
    if not networks or interfaces in (["loopback-only"], ["localhost"], ["127.0.0.1"]):
        return
    numbers = [each for each in interfaces if each.replace(".", "").isdecimal()]
    addresses = [_EVERYWHERE] if "all" in interfaces else numbers
    found.listeners += [
        Listener(
            address=f"{each}:{_PORT}", networks=networks if not each.startswith("127.") else []
        )
        for each in addresses
    ]
    if any(":" in each for each in interfaces):
        found.note(
            "main.cf: inet_interfaces",
            f'for IPv6 add a [[listen]] with address = "[ADDRESS]:{_PORT}"',
        )


def _are_refused(values: Mapping[str, str], found: Found) -> bool:
    """Tell whether clients are refused all the same for their networks; note what else is asked of them."""
    refused = False
    for name in _RESTRICTIONS:
        asked = words(values.get(name, ""))
        refuses = name == "smtpd_relay_restrictions" or not _REFUSING.isdisjoint(asked)
        if asked and "permit_mynetworks" not in asked and refuses:
            refused = True
            found.note(
                f"main.cf: {name}",
                "it does not let mynetworks send, so nobody outside may: see listen.networks, and auth on [[listen]]",
            )
        elif set(asked) - _USUAL:
            found.note(
                f"main.cf: {name}",
                f"{' '.join(each for each in asked if each not in _USUAL)[:60]}: relayd does not ask this; see [networks], [logins] and [routes]",
            )
    return refused


def _read_limits(values: Mapping[str, str], found: Found) -> None:
    if (size := values.get("message_size_limit", "")).isdecimal():
        found.set("limits", "message_size", message_size(whole(size)))
    lifetime = _TIME.fullmatch(values.get("maximal_queue_lifetime", ""))
    if lifetime and (length := whole(lifetime[1])):
        found.set("retry", "give_up_after", f"{length}{lifetime[2] or 'd'}")
    if (protocols := words(values.get("inet_protocols", ""))) in (["ipv4"], ["ipv6"]):
        found.set("direct", "families", protocols)


def _note_others(values: Mapping[str, str], found: Found) -> None:
    """Name every parameter that is set, and is nothing here."""
    for name, value in values.items():
        if name in _CARRIED or name in _RESTRICTIONS or not value or _NOTHING_TO_DO.fullmatch(name):
            continue
        told = _ADVICE.get(
            name, "relayd has no such setting; docs/config.md has those that there are"
        )
        found.note(f"main.cf: {name}", told)


def _smtp_services(path: Path, found: Found) -> frozenset[str]:
    """Return the transports that master.cf has for SMTP (master(5): the eighth word is the program)."""
    services = (line.split() for line in logical_lines(text_of(path, found, is_needed=False)))
    return frozenset(each[0] for each in services if len(each) > 7 and each[7] == "smtp")


def _note_master(path: Path, found: Found) -> None:
    """Name what master.cf sets for a service; the services that come with Postfix need nothing."""
    for line in logical_lines(text_of(path, found, is_needed=False)):
        service = line.split()
        options = [option.partition("=")[0] for flag, option in pairwise(service) if flag == "-o"]
        own = [
            each for each in options if not each.startswith(("syslog_name", "smtp_fallback_relay"))
        ]
        if own and not service[0].startswith(("#", "relay")):
            found.note(
                f"master.cf: {service[0]}",
                f"sets {', '.join(own)[:80]}: see [[listen]] and [smarthost]",
            )
