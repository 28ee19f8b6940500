"""Where Postfix sends mail: next hops with their TLS and logins, by recipient's domain and by sender.

Source: postconf(5), transport(5), SASL_README, TLS_README.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from relayd.elsewhere.found import SUBMISSIONS, Found, Server, secured
from relayd.elsewhere.lines import host_port, is_domain, is_mailbox
from relayd.elsewhere.postfix_files import Tables, words
from relayd.policy.tls.ladder import TlsMode

_LEVELS = {
    "": TlsMode.OFF,
    "none": TlsMode.OFF,
    "may": TlsMode.OPPORTUNISTIC,
    "encrypt": TlsMode.REQUIRED,
    "dane": TlsMode.OPPORTUNISTIC,
    "dane-only": TlsMode.REQUIRED,
    "fingerprint": TlsMode.VERIFY,
    "verify": TlsMode.VERIFY,
    "secure": TlsMode.VERIFY,
}
_ODD_LEVELS = {
    "dane": 'a smarthost is not asked for DANE: set tls = "verify" if its certificate proves its name',
    "dane-only": 'a smarthost is not asked for DANE: set tls = "verify" if its certificate proves its name',
    "fingerprint": "relayd knows no fingerprints: the certificate has to prove the name",
}
_TO_MX = {"smtp", "relay"}  # of master.cf as it comes


@dataclass(slots=True)
class Ways:
    """The next hops of one main.cf."""

    values: Mapping[str, str]
    tables: Tables
    found: Found
    _passwords: dict[str, str] = field(init=False, repr=False, default_factory=dict)
    _policies: dict[str, str] = field(init=False)
    _by_sender: bool = field(init=False)

    def __post_init__(self) -> None:
        if self.values.get("smtp_sasl_auth_enable", "no") == "yes":
            self._passwords = self.tables.named_by("smtp_sasl_password_maps")
            if not self._passwords:
                self.found.note(
                    "main.cf: smtp_sasl_password_maps",
                    "no password was found: `relayd config set smarthost.username=… smarthost.password_file=…`",
                )
        self._policies = self.tables.named_by("smtp_tls_policy_maps")
        self._by_sender = self.values.get("smtp_sender_dependent_authentication", "no") == "yes"

    def read(self) -> None:
        """Find the smarthost, what goes elsewhere by sender, and what by recipient."""
        found = self.found
        default = self.values.get("relayhost", "")
        transports = self.tables.named_by("transport_maps")
        if "*" in transports and (hop := self._smtp_hop(transports.pop("*"), "*")):
            default = hop
        found.server = self.server(default, "relayhost") if default else None
        self._read_senders(default)
        for pattern, result in transports.items():
            self._read_transport(pattern, result)
        if found.server is None:
            self._read_policies()

    def server(self, written: str, place: str, sender: str = "") -> Server | None:
        """Return the server that a next hop means; `sender` has a login of its own. None: it means none."""
        hops = words(written)
        good = [(each, host_port(each, 25)) for each in hops]
        hosts = tuple(hop for _, hop in good if hop is not None)
        for each, hop in good:
            if hop is None:
                self.found.note(
                    f"main.cf: {place}", f"{each[:60]} is no host: write it into smarthost.hosts"
                )
            elif not each.startswith("[") and is_domain(hop.host):
                self.found.note(
                    f"main.cf: {place}",
                    f"Postfix asks for the MX of {hop.host}, and relayd connects to that name: if it has an MX, name that in hosts",
                )
        if not hosts:
            return None
        username, password = self._login(hops, sender)
        wraps = self.values.get("smtp_tls_wrappermode", "no") == "yes"
        wraps = wraps or all(hop.port == SUBMISSIONS for hop in hosts)
        server = Server(
            hosts=hosts,
            tls=TlsMode.IMPLICIT if wraps else self._tls(hops[0], place),
            username=username,
            password=password,
            certificate=self._path("smtp_tls_cert_file"),
            key_file=self._path("smtp_tls_key_file") or self._path("smtp_tls_cert_file"),
            ehlo=self._name("smtp_helo_name"),
            source_address=self._source(),
            connections=_number(self.values.get("smtp_destination_concurrency_limit", ""), 1000),
            recipients=_number(self.values.get("smtp_destination_recipient_limit", ""), 100),
        )
        return secured(server, f"main.cf: {place}", self.found)

    def _login(self, hops: list[str], sender: str) -> tuple[str, str]:
        """Look up in the order of Postfix: the sender where that counts, the next hop as written, its host."""
        keys = []
        if sender and self._by_sender:
            keys = [sender, f"@{sender.rpartition('@')[2]}"] if "@" in sender else [f"@{sender}"]
        for hop in hops:
            host = host_port(hop, 25)
            keys += [hop.lower(), f"[{host.host}]" if host else "", host.host if host else ""]
        for key in (*keys, "*"):
            username, colon, password = self._passwords.get(key, "").partition(":")
            if colon and password:
                return username, password
        return "", ""

    def _tls(self, hop: str, place: str) -> TlsMode:
        named = host_port(hop, 25)
        policy = (
            self._policies.get(hop.lower()) or self._policies.get(named.host if named else "") or ""
        )
        level = (policy.split() or [self._level()])[0]
        if told := _ODD_LEVELS.get(level):
            self.found.note(f"main.cf: smtp_tls_security_level ({place})", told)
        return _LEVELS.get(level, TlsMode.OPPORTUNISTIC)

    def _level(self) -> str:
        if level := self.values.get("smtp_tls_security_level", ""):
            return level
        if self.values.get("smtp_enforce_tls", "no") == "yes":
            return (
                "verify"
                if self.values.get("smtp_tls_enforce_peername", "yes") == "yes"
                else "encrypt"
            )
        return "may" if self.values.get("smtp_use_tls", "no") == "yes" else "none"

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
                server = self.server(hop, f"sender_dependent_relayhost_maps ({key})", pattern)
                rule = self.found.rule(pattern)
                rule.server, rule.by_default = server, server == self.found.server

    def _smtp_hop(self, result: str, pattern: str) -> str:
        """Return the next hop of an entry that hands mail over by SMTP; empty: its own MX, or no SMTP."""
        transport, _, hop = result.partition(":")
        if transport and transport not in _TO_MX:
            self.found.note(
                f"transport_maps: {pattern}", f"relayd has no transport {transport}: see [routes]"
            )
            return ""
        return hop.strip()

    def _read_transport(self, pattern: str, result: str) -> None:
        place = f"transport_maps: {pattern}"
        domain = f"*{pattern}" if pattern.startswith(".") else pattern
        transport, _, hop = result.partition(":")
        if "@" in pattern or not is_domain(domain.removeprefix("*.")):
            self.found.note(
                place,
                "relayd routes by domain, not by address: see [routes], or [aliases] for names of this machine",
            )
        elif transport in {"error", "retry"}:
            self.found.routes[domain] = "hold"
            self.found.note(
                place, "its mail is held (`relayd queue list`): relayd refuses by no table"
            )
        elif transport and transport not in _TO_MX:
            self.found.note(place, f"relayd has no transport {transport}: see [routes]")
        elif not transport and not hop:
            self.found.routes[domain] = "direct" if self.found.server is None else "smarthost"
        elif not hop:
            self.found.routes[domain] = "direct"
        elif (server := self.server(hop, f"transport_maps ({pattern})")) is not None:
            self.found.routes[domain] = server

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


def _number(text: str, most: int) -> int:
    return min(int(text), most) if text.isdecimal() else 0
