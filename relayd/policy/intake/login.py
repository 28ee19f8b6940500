"""Slow down who guesses passwords, and say whose login comes first.

Owns the rules: no clock, no waiting; bounded memory. A failed login counts against its account,
against its account as seen from its site, and against each network that it is in. Who guesses from
many addresses of a network finds the whole network put off; who guesses from many networks, the
account. The longest wait is the shorter the more it may hit others.

A source that logged in to the account within a day is judged apart: only what it does itself counts. So
nobody who is in is locked out by strangers, however many. This machine is judged apart too: a mistake in
one local program must not stop the others.

Where memory is full, a new source has no count of its own: that of its network is what waits.
Source: A-32.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from relayd.policy.intake.failures import Failures, Pace
from relayd.policy.intake.known_sources import KnownSources
from relayd.policy.intake.login_source import Level, Source
from relayd.policy.intake.turns import Rank

OF_ONE = Pace(free=5, every=900.0)
"""An account from one site; or from one host that is judged apart."""
OF_ACCOUNT = Pace(free=20, every=60.0)
"""An account from everywhere: about a hundred guesses an hour (NIST SP 800-63B §5.2.2)."""
OF_NETWORK = {
    Level.HOST: Pace(
        free=20, every=180.0
    ),  # two programs with old passwords leave the others alone
    Level.BLOCK: Pace(free=30, every=120.0),
    Level.SITE: Pace(free=48, every=75.0),
    Level.REGION: Pace(free=200, every=15.0),
}
ROOM = 10_000  # counts of a kind that can grow
_ACCOUNTS = 16_384  # counts that accounts share: a flood of names in one minute leaves most alone
_REGIONS = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One login. `version` is another one when the account has changed, which then begins anew."""

    user: str
    version: str
    source: Source

    @property
    def account(self) -> str:
        return f"{self.user}\0{self.version}"


class BackOff:
    """What is remembered of logins. `key` is secret: it keeps others from finding names that share."""

    def __init__(self, key: bytes, known: KnownSources) -> None:
        self._known = known
        self._accounts = Failures(OF_ACCOUNT, room=_ACCOUNTS, key=key, shares=True)
        self._apart = Failures(OF_ONE, room=_ACCOUNTS, key=key, shares=True)
        self._at_sites = Failures(OF_ONE, room=ROOM, key=key)
        self._networks = {
            level: Failures(
                pace,
                room=_REGIONS if level is Level.REGION else ROOM,
                key=key,
                shares=level is Level.REGION,
            )
            for level, pace in OF_NETWORK.items()
        }

    def wait(self, tried: Try, *, now: float) -> float:
        """Return for how long a login will not even be looked at; 0: it will."""
        return max(counts.wait(name, now=now) for counts, name in self._counts_of(tried, now))

    def rank(self, tried: Try, *, now: float) -> Rank:
        """Say how good a login looks before it is checked."""
        if self._is_apart(tried, now):
            if self._apart.has(_pair(tried), now=now):
                return Rank.SUSPECT
            return Rank.KNOWN if self._is_known(tried, now) else Rank.NEW
        near = (each for each in self._counts_of(tried, now) if self._is_near(each[0]))
        is_suspect = any(counts.has(name, now=now) for counts, name in near)
        return Rank.SUSPECT if is_suspect else Rank.NEW

    def failed(self, tried: Try, *, now: float) -> None:
        for counts, name in self._counts_of(tried, now):
            counts.add(name, now=now)  # one that has no room leaves it to the coarser ones

    def succeeded(self, tried: Try, *, now: float) -> None:
        """Remember the source; what others failed at is not forgiven for that."""
        self._apart.forget(_pair(tried))
        self._known.add(tried.user, tried.source.host, now=now)

    def _counts_of(self, tried: Try, now: float) -> Iterator[tuple[Failures, str]]:
        """Yield what counts for a login, and under which name."""
        if self._is_apart(tried, now):
            yield self._apart, _pair(tried)
            return
        yield self._accounts, tried.account
        yield self._at_sites, f"{tried.account}\0{tried.source.site}"
        for level, network in tried.source.networks.items():
            yield self._networks[level], network

    def _is_near(self, counts: Failures) -> bool:
        """Tell whether it counts what the site did, not what others did to the account or around."""
        return counts not in (self._accounts, self._networks[Level.REGION])

    def _is_apart(self, tried: Try, now: float) -> bool:
        return tried.source.is_here or self._is_known(tried, now)

    def _is_known(self, tried: Try, now: float) -> bool:
        return self._known.has(tried.user, tried.source.host, now=now)


def _pair(tried: Try) -> str:
    return f"{tried.account}\0{tried.source.host}"
