"""Counts how TLS sessions went, for reports: in memory, and added to the store now and then.

A crash loses what was counted since the last time, never mail. Memory is bounded: beyond `_KINDS` new kinds of sessions
are not counted until the next time.

Source: RFC 8460 §4.
"""

from collections import Counter

import structlog

from relayd.errors import CommitUnknown, StoreBroken, StoreError
from relayd.mail.tls_count import CountedSession
from relayd.ports.trust import TrustStore

_KINDS = 10_000

log = structlog.get_logger(__name__)


class TlsTally:
    """What one worker has counted since the store was told."""

    def __init__(self, store: TrustStore) -> None:
        self._store = store
        self._counts: Counter[CountedSession] = Counter()

    def note(self, session: CountedSession | None) -> None:
        """Count a session; None: it is none that counts."""
        if session is not None and (session in self._counts or len(self._counts) < _KINDS):
            self._counts[session] += 1

    async def flush(self) -> None:
        """Add what was counted to the store. Raises StoreBroken; any other failure keeps it for the next time."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            await self._store.add_tls_results(counts)
        except StoreBroken:
            raise
        except CommitUnknown as error:  # it may be counted: twice would be a lie
            log.info("tls_results_not_kept", fault="local", reason=str(error))
        except StoreError as error:
            counts.update(self._counts)
            self._counts = counts
            log.info("tls_results_not_kept", fault="local", reason=str(error))
