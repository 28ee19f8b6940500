"""Questions about TLS of mail hosts, from any process."""

from collections.abc import Mapping
from datetime import date

from relayd.mail.tls_count import CountedSession
from relayd.policy.tls.sts import StsEntry
from relayd.store.sqlite import trust_rows
from relayd.store.sqlite.outside import OutsideReader


class SqliteTrustView:
    """`relayd.ports.trust.TrustView` on a SQLite file."""

    def __init__(self, file: OutsideReader) -> None:
        self._file = file

    def kept_sts_policy(self, domain: str) -> StsEntry | None:
        return self._file.read(lambda db: trust_rows.entry(db, domain))

    def tls_counts(self, day: date | None = None) -> Mapping[CountedSession, int]:
        return self._file.read(lambda db: trust_rows.counts(db, day))
