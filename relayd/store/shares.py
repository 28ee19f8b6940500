"""Shares of scarce limits, whatever the engine: one row a limit and worker."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from relayd.policy.delivery.scarce import Claim, Claimant, decide

_HELD_FOR = 60_000  # milliseconds after it was asked for: the time of a lease
_WAITS_FOR = 10_000  # the same of one that waits: it asks each second
_RENEWED_BY = 2_000  # milliseconds: what ends later than it would is not written again


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A claimant, until an instant in milliseconds of the clock that leases end by."""

    key: str
    claimant: Claimant
    ends_at: int

    @property
    def is_held(self) -> bool:
        """Tell whether it is a share, and not the wish for one."""
        return self.claimant.claim is not Claim.WAITS


def row_of(key: str, worker: int, claim: str, since: int, ends_at: int) -> Row:
    """Return a row as the tables have it."""
    claimant = Claimant(worker=worker, claim=Claim(claim), since=since)
    return Row(key=key, claimant=claimant, ends_at=ends_at)


def asked(
    rows: Iterable[Row], keys: Iterable[str], *, worker: int, limit: int, now: int
) -> Mapping[str, Row]:
    """Return the row of a worker for each key that it asks for, given the rows of all that are alive."""
    there: dict[str, list[Claimant]] = {}
    for row in rows:
        there.setdefault(row.key, []).append(row.claimant)
    found = {}
    for key in keys:
        others = [each for each in there.get(key, ()) if each.worker != worker]
        mine = next((each for each in there.get(key, ()) if each.worker == worker), None)
        claimant = decide(limit, mine, others, worker=worker, now=now)
        row = Row(key=key, claimant=claimant, ends_at=now + _WAITS_FOR)
        found[key] = replace(row, ends_at=now + _HELD_FOR) if row.is_held else row
    return found


def to_write(before: Iterable[Row], after: Iterable[Row]) -> Sequence[Row]:
    """Return the rows that changed, or have to be renewed."""
    there = {(row.key, row.claimant): row.ends_at for row in before}
    return [
        row for row in after if row.ends_at >= there.get((row.key, row.claimant), 0) + _RENEWED_BY
    ]


def claims(rows: Mapping[str, Row]) -> Mapping[str, Claim]:
    return {key: row.claimant.claim for key, row in rows.items()}
