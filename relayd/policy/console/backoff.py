"""Slow down who guesses passwords of the console.

Owns the rule: no clock, no waiting; memory of a fixed size, which all workers share. A failed log-in counts
against its account and against the address it came from. Five are free; then the waits double, from 30
seconds to 15 minutes, and one failure is forgiven every 15 minutes. An address that logged in to the account
within a day is judged apart, so strangers lock nobody out. Instants and waits are seconds of a clock that
never goes back.

Invariant: whatever addresses are made up, all who do not come from one that is known share the count of the
account. So a console that was taken over, whose word the address is, has no more guesses either.
"""

from ipaddress import IPv4Address
from mmap import mmap

from relayd.policy.intake import known_sources, shared_failures
from relayd.policy.intake.admit import address_of, network_of
from relayd.policy.intake.failures import Pace
from relayd.policy.intake.known_sources import KnownSources
from relayd.policy.intake.shared_failures import SharedFailures

PACE = Pace(free=5, every=900.0)
OCTETS = known_sources.OCTETS + 2 * shared_failures.OCTETS
"""How much memory it needs."""


class LoginBackOff:
    """What is remembered of log-ins. `key` is random: it hides which names share a count."""

    def __init__(self, key: bytes, octets: bytearray | mmap) -> None:
        """`octets` are the memory, all 0 at first."""
        known, end = known_sources.OCTETS, known_sources.OCTETS + shared_failures.OCTETS
        parts = memoryview(octets)
        self._known = KnownSources(key, parts[:known])
        self._accounts = SharedFailures(PACE, key=key, octets=parts[known:end])
        self._hosts = SharedFailures(PACE, key=key, octets=parts[end:])

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
    """An IPv6 client has a /64 for itself. Without an address, or with what is none, all are one."""
    try:
        address = address_of(client)
    except ValueError:
        return ""
    return str(address) if isinstance(address, IPv4Address) else network_of(address, 64)
