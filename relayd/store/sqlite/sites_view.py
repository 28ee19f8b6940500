"""Questions about sites, from any process: quick commands ask them, so little is imported."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from relayd.store.sqlite.outside import OutsideReader
from relayd.store.sqlite.values import fetch

if TYPE_CHECKING:
    from relayd.ports.sites import Fallback, KnownSite

_ARE_ANY = "SELECT 1 FROM site_state UNION ALL SELECT 1 FROM fallback LIMIT 1"


class SqliteSitesView:
    """`relayd.ports.sites.SiteStatesView` on a SQLite file."""

    def __init__(self, file: OutsideReader) -> None:
        self._file = file

    def sites(self) -> "Sequence[KnownSite]":
        if not self._are_any():
            return []
        from relayd.policy.pace import FREE  # noqa: PLC0415 -- few relays have any
        from relayd.store.sqlite.sites import known_sites  # noqa: PLC0415 -- as above

        return [each for each in self._file.read(known_sites) if each.state != FREE]

    def fallbacks(self) -> "Sequence[Fallback]":
        if not self._are_any():
            return []
        from relayd.store.sqlite.sites import fallbacks  # noqa: PLC0415 -- few relays have any

        return self._file.read(fallbacks)

    def _are_any(self) -> bool:
        return bool(self._file.read(lambda db: fetch(db, _ARE_ANY)))
