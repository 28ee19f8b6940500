"""What is kept about TLS of mail hosts: MTA-STS policies, and how sessions went, for TLS reports.

Each verb is one transaction, and may raise what `relayd.ports.queue` says. That there is no policy is known only when
the store answers: without it mail waits, since a policy that cannot be read may be there.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Protocol

from relayd.mail.envelope import NewMessage
from relayd.mail.tls_count import CountedDomain, CountedSession
from relayd.policy.tls.sts import StsEntry


class TrustView(Protocol):
    """Questions about it; a part of `relayd.ports.view.QueueView`."""

    def kept_sts_policy(self, domain: str) -> StsEntry | None:
        """Return what is kept of a domain in A-labels."""
        ...

    def tls_counts(self, day: date | None = None) -> Mapping[CountedSession, int]:
        """Return how many sessions of a day went so, or of all days that are kept; in their order."""
        ...


class TrustStore(Protocol):
    """A part of `relayd.ports.queue.QueueStore`."""

    async def sts_policy(self, domain: str) -> StsEntry | None:
        """Return what is kept of a domain in A-labels; None: nothing."""
        ...

    async def keep_sts_policy(self, entry: StsEntry) -> None:
        """Keep what was fetched, or that it failed; it changes nothing when a later policy is kept."""
        ...

    async def due_sts_policies(self, limit: int) -> Sequence[StsEntry]:
        """Return policies to be fetched again by now; nobody else is given them within `RETRY_AFTER`.

        Those that no delivery used for `USED_WITHIN` are left alone.
        """
        ...

    async def forget_sts_policies(self, unused_since: datetime) -> int:
        """Delete what no delivery used since; return how many."""
        ...

    async def add_tls_results(self, counts: Mapping[CountedSession, int]) -> None:
        """Add to what is counted. After CommitUnknown it may be counted: called again, it may count twice."""
        ...

    async def tls_days(self, until: date) -> Sequence[CountedDomain]:
        """Return the days before `until` with the domains that something is counted of."""
        ...

    async def tls_results(self, day: date, domain: str) -> Mapping[CountedSession, int]:
        """Return what is counted of a domain's policies on a day."""
        ...

    async def file_tls_report(self, day: date, domain: str, messages: Sequence[NewMessage]) -> bool:
        """Delete what `tls_results` returns, and queue messages, in one commit; False if somebody else did before.

        So a report is sent once, by whichever worker.
        """
        ...

    async def forget_tls_results(self, until: date) -> int:
        """Delete what is counted of the days before; return how many rows."""
        ...
