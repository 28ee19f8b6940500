"""Slow down who guesses passwords of the console.

Owns the rule: no clock, no waiting; bounded memory. A failed log-in counts against its account and against
the address it came from. Five are free; then the waits double, from 30 seconds to 15 minutes, and one
failure is forgiven every 15 minutes. An address that logged in to the account within a day is judged
apart, so strangers lock nobody out. Instants and waits are seconds of a clock that never goes back.
"""

from ipaddress import IPv4Address

from relayd.policy.intake.admit import address_of, network_of
from relayd.policy.intake.failures import Failures, Pace
from relayd.policy.intake.known_sources import OCTETS, KnownSources

PACE = Pace(free=5, every=900.0)
_ROOM = 10_000


class LoginBackOff:
    """What is remembered of log-ins. `key` is random: it hides which names share a count."""

    def __init__(self, key: bytes) -> None:
        self._accounts = Failures(PACE, room=_ROOM, key=key, shares=True)
        self._hosts = Failures(PACE, room=_ROOM, key=key, shares=True)
        self._known = KnownSources(key, bytearray(OCTETS))

    def wait(self, account: str, client: str, *, now: float) -> float:
        """Return for how long a log-in will not even be looked at; 0: it will."""
        name, host = self._names(account, client, now)
        return max(self._accounts.wait(name, now=now), self._hosts.wait(host, now=now))

    def failed(self, account: str, client: str, *, now: float) -> None:
        name, host = self._names(account, client, now)
        self._accounts.add(name, now=now)
        self._hosts.add(host, now=now)

    def succeeded(self, account: str, client: str, *, now: float) -> None:
        """Remember the address; what others failed at is not forgiven for that."""
        self._known.add(account, _host_of(client), now=now)
        for counts, name in zip(
            (self._accounts, self._hosts), self._names(account, client, now), strict=True
        ):
            counts.forget(name)

    def _names(self, account: str, client: str, now: float) -> tuple[str, str]:
        """Return under which names failures count: of the account, and of the address."""
        host = _host_of(client)
        if self._known.has(account, host, now=now):
            return f"{account}\0{host}", f"{account}\0{host}"
        return account, host


def _host_of(client: str) -> str:
    """An IPv6 client has a /64 for itself. On a unix socket there is no address."""
    if not client:
        return ""
    address = address_of(client)
    return str(address) if isinstance(address, IPv4Address) else network_of(address, 64)
