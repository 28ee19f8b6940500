"""Where Postfix sends mail: next hops with their TLS and logins, by recipient's domain and by sender.

Source: postconf(5), transport(5), SASL_README, TLS_README.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from relayd.elsewhere.found import SUBMISSIONS, Found, Server, alike, implicit, secured
from relayd.elsewhere.lines import host_port, is_domain, is_mailbox, whole
from relayd.elsewhere.postfix_files import Tables, words
from relayd.policy.delivery.route import HostPort
from relayd.policy.tls.ladder import TlsMode

_LEVELS = {
    "": TlsMode.OFF,
    "none": TlsMode.OFF,
    "may": TlsMode.OPPORTUNISTIC,
    "encrypt": TlsMode.REQUIRED,
    "dane": TlsMode.OPPORTUNISTIC,
    "dane-only": TlsMode.VERIFY,
    "fingerprint": TlsMode.VERIFY,
    "verify": TlsMode.VERIFY,
    "secure": TlsMode.VERIFY,
}
_ODD_LEVELS = {
    "dane": 'a smarthost is not asked for DANE: set tls = "verify" if its certificate proves its name',
    "dane-only": "a smarthost is not asked for DANE: the certificate has to prove the name",
    "fingerprint": "relayd knows no fingerprints: the certificate has to prove the name",
}
_TO_MX = {"smtp", "relay"}  # of master.cf as it comes


@dataclass(slots=True)
class Ways:
    """The next hops of one main.cf."""

    values: Mapping[str, str]
    tables: Tables
    found: Found
    services: frozenset[str] = frozenset()  # of SMTP, besides those that come with Postfix
    _passwords: dict[str, str] = field(init=False, repr=False, default_factory=dict)
    _policies: dict[str, str] = field(init=False)
    _by_sender: bool = field(init=False)

    def __post_init__(self) -> None:
        if self._says_yes("smtp_sasl_auth_enable"):
            self._passwords = self.tables.named_by("smtp_sasl_password_maps")
            if not self._passwords:
                self.found.note(
                    "main.cf: smtp_sasl_password_maps",
                    "no password was found: `relayd config set smarthost.username=… smarthost.password_file=…`",
                )
        self._policies = self.tables.named_by("smtp_tls_policy_maps")
        self._by_sender = self._says_yes("smtp_sender_dependent_authentication")

    def _says_yes(self, parameter: str, default: str = "no") -> bool:
        return (self.values.get(parameter) or default).lower() == "yes"

    def read(self) -> None:
        """Find the smarthost, what goes elsewhere by sender, and what by recipient."""
        found = self.found
        default = self.values.get("relayhost", "")
        transports = self.tables.named_by("transport_maps")
        if way := self.values.get("default_transport", ""):
            hop = self._hop(way, "default_transport", default)
            default = default or hop
        if "*" in transports:
            default = self._hop(transports.pop("*"), "transport_maps: *", default)
        if default:
            found.server = self.server(default, "relayhost")
        found.is_direct = not default
        self._read_senders(default)
        for pattern, result in transports.items():
            self._read_transport(pattern, result)
        if found.server is None:
            self._read_policies()

    def server(self, written: str, place: str, sender: str = "") -> Server | None:
        """Return the server that a next hop means; `sender` has a login of its own. None: it means none."""
        good = [(each, host_port(each, 25)) for each in words(written)]
        servers = []
        for each, hop in good:
            if hop is None:
                self.found.note(
                    f"main.cf: {place}", f"{each[:60]} is no host: write it into smarthost.hosts"
                )
                continue
            servers.append(self._server(each, hop, place, sender))
            if not each.startswith("[") and is_domain(hop.host):
                self.found.note(
                    f"main.cf: {place}",
                    f"Postfix asks for the MX of {hop.host}, and relayd connects to that name: if it has an MX, name that in hosts",
                )
        if not servers:
            return None
        return secured(
            alike(servers, f"main.cf: {place}", self.found), f"main.cf: {place}", self.found
        )

    def _server(self, written: str, hop: HostPort, place: str, sender: str) -> Server:
        username, password = self._login(written, hop, sender)
        wraps = self._says_yes("smtp_tls_wrappermode") or hop.port == SUBMISSIONS
        tls = self._tls(written, place)
        if wraps:
            proves = tls is TlsMode.VERIFY
            tls = implicit((hop,), f"main.cf: {place}", self.found, proves=proves)
        return Server(
            hosts=(hop,),
            tls=tls,
            username=username,
            password=password,
            certificate=self._path("smtp_tls_cert_file"),
            key_file=self._path("smtp_tls_key_file") or self._path("smtp_tls_cert_file"),
            ehlo=self._name("smtp_helo_name"),
            source_address=self._source(),
            connections=min(whole(self.values.get("smtp_destination_concurrency_limit", "")), 1000),
            recipients=min(whole(self.values.get("smtp_destination_recipient_limit", "")), 100),
        )

    def _login(self, written: str, hop: HostPort, sender: str) -> tuple[str, str]:
        """Look up in the order of Postfix: the sender where that counts, the host, the next hop as written."""
        keys = []
        if sender and self._by_sender:
            keys = [sender, f"@{sender.rpartition('@')[2]}"] if "@" in sender else [f"@{sender}"]
        for key in (*keys, hop.host, written.lower()):
            username, colon, password = self._passwords.get(key, "").partition(":")
            if colon and password:
                return username, password
        return "", ""

    def _tls(self, hop: str, place: str) -> TlsMode:
        named = host_port(hop, 25)
        host = named.host if named else ""
        above = [f".{host.split('.', count)[count]}" for count in range(1, host.count(".") + 1)]
        keys = (hop.lower(), host, *(above if is_domain(host) else ()))
        policy = next((self._policies[key] for key in keys if self._policies.get(key)), "")
        level = (policy.split() or [self._level()])[0]
        if told := _ODD_LEVELS.get(level):
            self.found.note(f"main.cf: smtp_tls_security_level ({place})", told)
        return _LEVELS.get(level, TlsMode.OPPORTUNISTIC)

    def _level(self) -> str:
        if level := self.values.get("smtp_tls_security_level", ""):
            return level
        if self._says_yes("smtp_enforce_tls"):
            return "verify" if self._says_yes("smtp_tls_enforce_peername", "yes") else "encrypt"
        return "may" if self._says_yes("smtp_use_tls") else "none"

    def _path(self, parameter: str) -> str:
        value = self.values.get(parameter, "")
        return value if value.startswith("/") else ""

    def _name(self, parameter: str) -> str:
        value = self.values.get(parameter, "")
        return value if is_domain(value) and value != self.found.fqdn else ""

    def _source(self) -> str:
        value = self.values.get("smtp_bind_address", "")
        return "" if value.replace(".", "").strip("0") == "" else value

    def _read_senders(self, default: str) -> None:
        hops = self.tables.named_by("sender_dependent_relayhost_maps")
        logins = [key for key in self._passwords if "@" in key and not key.startswith("[")]
        for key in dict.fromkeys([*hops, *(logins if self._by_sender else [])]):
            pattern = key.removeprefix("@")
            if key != "<>" and not is_mailbox(pattern) and not is_domain(pattern):
                self.found.note(
                    f"sender_dependent_relayhost_maps: {key[:60]}",
                    "expected an address or @DOMAIN: see [senders]",
                )
                continue
            hop = hops.get(key, hops.get(f"@{pattern.rpartition('@')[2]}", default))
            if hop.upper() == "DUNNO" or (not hop and self.found.server is not None):
                self.found.rule(pattern).by_default = True
            elif hop:
                place = f"sender_dependent_relayhost_maps ({key})"
                server = self.server(hop, place, pattern)
                if server is None:
                    self.found.refuse(f"main.cf: {place}", f"{hop[:60]} is no host")
                rule = self.found.rule(pattern)
                rule.server, rule.by_default = server, server == self.found.server

    def _hop(self, result: str, place: str, default: str) -> str:
        """Return the next hop of all mail; empty: its own MX. Mail that goes by no SMTP has none, so nothing is made."""
        transport, _, hop = result.partition(":")
        if not self._is_smtp(transport):
            self.found.refuse(
                f"main.cf: {place}",
                f"relayd has no transport {transport[:40]}, and all mail takes it",
            )
            return default
        return hop.strip() or ("" if transport else default)

    def _is_smtp(self, transport: str) -> bool:
        return not transport or transport in _TO_MX or transport in self.services

    def _read_transport(self, pattern: str, result: str) -> None:
        place = f"transport_maps: {pattern}"
        domain = f"*{pattern}" if pattern.startswith(".") else pattern
        transport, _, hop = result.partition(":")
        if "@" in pattern or not is_domain(domain.removeprefix("*.")):
            self.found.note(
                place,
                "relayd routes by domain, not by address: see [routes], or [aliases] for names of this machine",
            )
        elif not self._is_smtp(transport):
            self.found.routes[domain] = "hold"
            self.found.note(
                place,
                f"relayd has no transport {transport[:40]}: its mail is held (`relayd queue list`); see [routes]",
            )
        elif not transport and not hop:
            self.found.routes[domain] = "direct" if self.found.server is None else "smarthost"
        elif not hop:
            self.found.routes[domain] = "direct"
        else:
            server = self.server(hop, f"transport_maps ({pattern})")
            self.found.routes[domain] = server or "hold"
            if self._by_sender and any("@" in key for key in self._passwords):
                self.found.note(
                    place,
                    "Postfix logs in there as the sender, relayd does not: see [smarthosts.NAME]",
                )

    def _read_policies(self) -> None:
        """In direct mode the levels are exceptions by domain."""
        level = _LEVELS.get(self._level(), TlsMode.OPPORTUNISTIC)
        self.found.set("direct", "tls", level.value)
        for name, policy in self._policies.items():
            if not is_domain(name.removeprefix(".")) or not policy:
                continue
            pattern, word = f"*{name}" if name.startswith(".") else name, policy.split()[0]
            wanted = (
                "dane"
                if word.startswith("dane")
                else _LEVELS.get(word, TlsMode.OPPORTUNISTIC).value
            )
            self.found.set("tls_policy", pattern, wanted)
