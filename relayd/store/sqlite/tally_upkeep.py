"""Keeping the tally small: fine steps that are too old go, and what is rare in a step that is over is put together.

Each change is one short transaction. Done twice, it changes nothing more.
"""

import apsw
import orjson

from relayd.mail.tally import DAY, KEPT, MOST_VALUES, SPANS, TEN_MINUTES
from relayd.store.sqlite.tallying import (
    keep_from,
    kept_from,
    read_meta,
    write_meta,
)
from relayd.store.sqlite.values import fetch
from relayd.store.tallies import DIMENSIONS, GROWN, GROWN_DELAYS, SUMS, Tidying, rare


def forget(db: apsw.Connection, older_than: int) -> None:
    """The history before that instant is purged: its days go as well, by and by.

    Ids of the last events may be given again, when those were purged.
    """
    last = db.execute("SELECT max(id) FROM event").get or 0
    write_meta(db, "tallied", min(read_meta(db, "tallied") or 0, last))
    keep_from(db, DAY, older_than)


def untidy(db: apsw.Connection, now: int) -> Tidying | None:
    """Return a step that is too old, or is over and was not looked at for what is rare; None without one."""
    with db:
        for span in SPANS:
            oldest = _next_step(db, span, 0)
            low = now - KEPT[span] if span in KEPT else kept_from(db)[span]
            if oldest is not None and oldest < low - low % span:
                return Tidying(span, oldest, keep_from=low - low % span)
        for span in SPANS:
            at = _next_step(db, span, read_meta(db, f"tally_tidied_{span}") or 0)
            if at is None or at + span > now - TEN_MINUTES:
                continue
            for dimension in range(1, len(DIMENSIONS)):
                if found := _rare(db, (span, dimension, at)):
                    return Tidying(span, at, dimension=dimension, rare=found)
            return Tidying(span, at)
    return None


def tidy(db: apsw.Connection, step: Tidying) -> None:
    """Do what `untidy` found."""
    if step.keep_from is not None:
        keep_from(db, step.span, step.keep_from)
        for dimension in range(len(DIMENSIONS)):
            _delete(db, (step.span, dimension, step.at))
    elif step.rare:
        _fold(db, (step.span, step.dimension, step.at), step.rare)
    else:
        write_meta(db, f"tally_tidied_{step.span}", step.at + step.span)


def _next_step(db: apsw.Connection, span: int, since: int) -> int | None:
    found: int | None = db.execute(
        "SELECT min(at) FROM tally WHERE span = ? AND dimension = 0 AND at >= ?", (span, since)
    ).get
    return found


_OF_STEP = "span = ?1 AND dimension = ?2 AND at = ?3"
_RARE = rare(f"{_OF_STEP} AND value <> char(10)")
_FOLD = (
    f"INSERT INTO tally AS t SELECT span, dimension, at, char(10), {SUMS} FROM tally"  # noqa: S608 -- constants
    f" WHERE {_OF_STEP} AND value IN (SELECT value FROM json_each(?4)) GROUP BY 1, 2, 3"
    f" ON CONFLICT DO UPDATE SET {GROWN}"
)
_FOLD_DELAYS = (
    "INSERT INTO tally_delay AS t SELECT span, dimension, char(10), at, class, sum(recipients) FROM tally_delay"  # noqa: S608
    f" WHERE {_OF_STEP} AND value IN (SELECT value FROM json_each(?4)) GROUP BY 1, 2, 4, 5"
    f" ON CONFLICT DO UPDATE SET {GROWN_DELAYS}"
)


def _rare(db: apsw.Connection, key: tuple[int, int, int]) -> tuple[str, ...]:
    if db.execute(f"SELECT count(*) FROM tally WHERE {_OF_STEP}", key).get <= MOST_VALUES:  # noqa: S608
        return ()
    return tuple(value for (value,) in fetch(db, _RARE, key))


def _fold(db: apsw.Connection, key: tuple[int, int, int], wanted: tuple[str, ...]) -> None:
    values = orjson.dumps(wanted).decode()
    for statement in (
        _FOLD,
        _FOLD_DELAYS,
        f"DELETE FROM tally WHERE {_OF_STEP} AND value IN (SELECT value FROM json_each(?4))",  # noqa: S608
        f"DELETE FROM tally_delay WHERE {_OF_STEP} AND value IN (SELECT value FROM json_each(?4))",  # noqa: S608
    ):
        db.execute(statement, (*key, values))


def _delete(db: apsw.Connection, key: tuple[int, int, int]) -> None:
    db.execute(
        f"DELETE FROM tally_delay WHERE {_OF_STEP}"  # noqa: S608 -- constants
        f" AND value IN (SELECT value FROM tally WHERE {_OF_STEP})",
        key,
    )
    db.execute(f"DELETE FROM tally WHERE {_OF_STEP}", key)  # noqa: S608
