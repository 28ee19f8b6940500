"""Keeping the tally small: fine steps that are too old go, and what is rare in a step that is over is put together.

Each change is one short transaction, of one worker at a time. Done twice, it changes nothing more.
"""

from relayd.mail.tally import DAY, KEPT, MOST_VALUES, SPANS, TEN_MINUTES
from relayd.store.postgres import meta
from relayd.store.postgres.line import Session
from relayd.store.postgres.tallying import DELAY_KEY, KEY, keep_from, take
from relayd.store.tallies import DIMENSIONS, GROWN, GROWN_DELAYS, SUMS, Tidying, rare

Key = tuple[int, int, int]  # span, dimension, and when the step begins

_OF_STEP = "span = $1 AND dimension = $2 AND at = $3"
_AMONG = f"{_OF_STEP} AND lower(value) = ANY($4::text[])"
# For each span: from when on its steps are complete, its oldest step, and the oldest of which nobody looked for what is rare.
_NUMBER = (
    "coalesce((SELECT convert_from(value, 'UTF8')::bigint FROM meta WHERE key = '{}' || s.span), 0)"
)
_OLDEST = "(SELECT min(at) FROM tally WHERE span = s.span AND dimension = 0{})"
_STEPS = (
    f"SELECT s.span, {_NUMBER.format('tally_from_')}, {_OLDEST.format('')},"  # noqa: S608 -- constants
    f" {_OLDEST.format(' AND at >= ' + _NUMBER.format('tally_tidied_'))}"
    " FROM unnest($1::bigint[]) WITH ORDINALITY AS s (span, n) ORDER BY s.n"
)
_SIZE = f"SELECT count(*) FROM tally WHERE {_OF_STEP}"  # noqa: S608 -- constants
_RARE = rare(f"{_OF_STEP} AND value <> chr(10)")
_FOLD = (
    f"INSERT INTO tally AS t SELECT span, dimension, at, chr(10), {SUMS} FROM tally"  # noqa: S608 -- constants
    f" WHERE {_AMONG} GROUP BY span, dimension, at ON CONFLICT {KEY} DO UPDATE SET {GROWN}"
)
_FOLD_DELAYS = (
    "INSERT INTO tally_delay AS t SELECT span, dimension, chr(10), at, class, sum(recipients) FROM tally_delay"  # noqa: S608
    f" WHERE {_AMONG} GROUP BY span, dimension, at, class"
    f" ON CONFLICT {DELAY_KEY} DO UPDATE SET {GROWN_DELAYS}"
)
_FOLDS = (
    _FOLD,
    _FOLD_DELAYS,
    f"DELETE FROM tally WHERE {_AMONG}",  # noqa: S608 -- constants
    f"DELETE FROM tally_delay WHERE {_AMONG}",  # noqa: S608 -- constants
)
_DELETE_DELAYS = (
    f"DELETE FROM tally_delay WHERE {_OF_STEP}"  # noqa: S608 -- constants
    f" AND lower(value) IN (SELECT lower(value) FROM tally WHERE {_OF_STEP})"
)
_DELETIONS = (_DELETE_DELAYS, f"DELETE FROM tally WHERE {_OF_STEP}")  # noqa: S608 -- constants


async def forget(db: Session, older_than: int) -> None:
    """The history before that instant is purged: its days go as well, by and by."""
    await take(db)
    await keep_from(db, DAY, older_than)


async def tidy(db: Session, now: int) -> bool:
    """Put one step in order that is too old, or is over; False, and no transaction is begun, when there is none."""
    if await _untidy(db, now) is None:
        return False
    await db.begin()
    await take(db)
    if (step := await _untidy(db, now)) is not None:  # not yet by another worker
        await _put_in_order(db, step)
    return True


async def _untidy(db: Session, now: int) -> Tidying | None:
    """Return a step that is too old, or is over and was not looked at for what is rare; None without one."""
    steps = await db.fetch(_STEPS, list(SPANS))
    for span, kept, oldest, _ in steps:
        low = now - KEPT[span] if span in KEPT else kept
        if oldest is not None and oldest < low - low % span:
            return Tidying(span, oldest, keep_from=low - low % span)
    for span, _, _, at in steps:
        if at is None or at + span > now - TEN_MINUTES:
            continue
        for dimension in range(1, len(DIMENSIONS)):
            if found := await _rare(db, (span, dimension, at)):
                return Tidying(span, at, dimension=dimension, rare=found)
        return Tidying(span, at)
    return None


async def _put_in_order(db: Session, step: Tidying) -> None:
    if step.keep_from is not None:
        await keep_from(db, step.span, step.keep_from)
        for dimension in range(len(DIMENSIONS)):
            for deletion in _DELETIONS:
                await db.execute(deletion, step.span, dimension, step.at)
    elif step.rare:
        values = [value.encode().lower().decode() for value in step.rare]
        for statement in _FOLDS:
            await db.execute(statement, step.span, step.dimension, step.at, values)
    else:
        await meta.write_number(db, f"tally_tidied_{step.span}", step.at + step.span)


async def _rare(db: Session, key: Key) -> tuple[str, ...]:
    if await db.value(_SIZE, *key) <= MOST_VALUES:
        return ()
    return tuple(value for (value,) in await db.fetch(_RARE, *key))
