"""Questions about accounts at smarthosts, from any process: quick commands ask them, so little is imported."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from relayd.store.sqlite.outside import OutsideReader
from relayd.store.sqlite.values import fetch

if TYPE_CHECKING:
    from relayd.ports.permits import Standing


class SqlitePermitsView:
    """`relayd.ports.permits.PermitsView` on a SQLite file."""

    def __init__(self, file: OutsideReader) -> None:
        self._file = file

    def paces(self) -> "Sequence[Standing]":
        rows = self._file.read(
            lambda db: fetch(db, "SELECT account, state FROM permit ORDER BY account")
        )
        if not rows:
            return []
        from relayd.policy.accounts.state import read  # noqa: PLC0415 -- few relays have any
        from relayd.ports.permits import standings  # noqa: PLC0415 -- as above

        return standings((account, read(state)) for account, state in rows)
