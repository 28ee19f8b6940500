"""Slow down who guesses passwords.

Owns the arithmetic: no clock, no waiting; bounded memory. Instants and waits are seconds of a clock
that never goes back. A failed login counts against its source, and against the account as seen
from that source's network: so nobody is locked out by a stranger elsewhere. A source that logged
in to the account lately stands apart from its neighbours, and only what it does itself counts.

This machine is no source: a mistake in one local application must not stop the others. Source: A-32.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from relayd.policy.admit import is_this_machine

TRIES = 5  # failures that are free
WITHIN = 900.0  # seconds in which they add up
FIRST_WAIT = 30.0  # seconds; each failure more doubles it
LONGEST_WAIT = 900.0  # seconds
KNOWN_FOR = 86_400.0  # seconds that a source is remembered for its last success
MOST_RECORDS = 10_000
_NAME_LIMIT = 256  # characters of a name; no account has a longer one

_Key = tuple[str, ...]


@dataclass(slots=True)
class _Record:
    failures: int
    latest: float
    wait: float = 0.0  # from `latest` on


class BackOff:
    """What is remembered of failed logins; the oldest is forgotten when there is too much."""

    def __init__(self) -> None:
        self._records: dict[_Key, _Record] = {}  # the least recent failure first
        self._known: dict[_Key, float] = {}  # account and source -> its last success

    def wait(self, user: str, client_ip: str, *, now: float) -> float:
        """Return for how long a login will not even be looked at; 0: it will."""
        ends = [
            record.latest + record.wait - now
            for key in self._keys(user, client_ip, now)
            if (record := self._records.get(key)) is not None
        ]
        return max(0.0, *ends, 0.0)

    def failed(self, user: str, client_ip: str, *, now: float) -> None:
        for key in self._keys(user, client_ip, now):
            record = self._records.pop(key, None)
            if record is None or now - record.latest - record.wait > WITHIN:
                record = _Record(0, now)
            record.failures += 1
            record.latest = now
            if record.failures >= TRIES:
                doublings = min(record.failures - TRIES, 16)
                record.wait = min(FIRST_WAIT * 2**doublings, LONGEST_WAIT)
            self._records[key] = record
        _keep_newest(self._records)

    def succeeded(self, user: str, client_ip: str, *, now: float) -> None:
        for key in self._keys(user, client_ip, now):
            self._records.pop(key, None)
        pair = _pair(user, client_ip)
        self._known.pop(pair, None)
        self._known[pair] = now
        _keep_newest(self._known)

    def forgive(self) -> None:
        """Forget all failures: the accounts are others now, so what was wrong may be right."""
        self._records.clear()

    def _keys(self, user: str, client_ip: str, now: float) -> list[_Key]:
        user = user[:_NAME_LIMIT]
        pair = _pair(user, client_ip)
        if now - self._known.get(pair, float("-inf")) <= KNOWN_FOR:
            return [pair]
        account = ("account", user, _network(client_ip, 24))
        if is_this_machine(client_ip):
            return [account]
        return [("source", _network(client_ip, 32)), account]


def _pair(user: str, client_ip: str) -> _Key:
    return ("pair", user, _network(client_ip, 32))


def _network(client_ip: str, prefix: int) -> str:
    """Name the source's network: an IPv6 client has a /64 for itself."""
    if not client_ip:
        return "unix"
    address: IPv4Address | IPv6Address = ip_address(client_ip.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return address.exploded[:19]
        address = address.ipv4_mapped
    return str(IPv4Address(int(address) >> (32 - prefix) << (32 - prefix)))


def _keep_newest(memory: dict[_Key, _Record] | dict[_Key, float]) -> None:
    while len(memory) > MOST_RECORDS:
        del memory[next(iter(memory))]
