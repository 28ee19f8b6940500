"""Copying a queue, and undoing that.

Each piece is written in one transaction with the mark that says how far the copy is, so a process that dies anywhere
leaves a copy that is gone on with. From the first piece on both stores are marked, and no relayd serves either; they
are given free in an order in which never both are: first the source is marked as left, then the copy as complete.
"""

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from shlex import quote

from relayd.errors import (
    CommitUnknown,
    ContentLost,
    CopyFailed,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from relayd.store.copying.compare import AT_ONCE, Sum, differences, sums
from relayd.store.copying.side import Side, Tell
from relayd.store.copying.tables import CONTENT, CONTENTS, RECIPIENT, TABLES, Table
from relayd.store.moved import DONE, UNDER_WAY, Mark

_FINISHED = "all of them"  # in the place of a table: nothing is left to copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A copy that is complete."""

    source: str
    target: str
    rows: Mapping[str, int]  # by the table
    states: Mapping[str, int]  # recipients, by their state
    octets: int  # of content


async def copy(source: Side, target: Side, tell: Tell, *, at_once: int = AT_ONCE) -> Copied:
    """Copy a queue, or go on with it, compare both, and let the copy take the place of the source.

    `at_once` rows are written in one piece. Raises CopyFailed, StoreError.
    """
    left, mark = await _begin(source, target)
    try:
        return await _go_on(source, target, left, mark, tell, at_once)
    except (CommitUnknown, ContentLost, StoreFull, StoreUnavailable) as error:
        raise CopyFailed(
            f"{error}; what is copied stays: the same command goes on, and with --undo it gives the copy up"
        ) from error


async def undo(
    source: Side, name: str, target: Callable[[], AbstractAsyncContextManager[Side]]
) -> None:
    """Let the source be served again, and not the copy, which is called `name` and opened by `target`.

    Raises CopyFailed if that would send mail twice, StoreError.
    """
    left, _ = await source.marks()
    if left is None:
        raise CopyFailed(f"{source.shown} was not copied: there is nothing to undo")
    if left.target != name:
        raise CopyFailed(f"{source.shown} was copied to {left.target}, not to {name}")
    if left.state == DONE:
        async with target() as side:
            await _give_up(side, left)
    else:  # a copy that is not complete is never served, so it need not even be there
        with suppress(StoreError):
            async with target() as side:
                await _give_up(side, left)
    await source.stay(left)


async def _give_up(target: Side, left: Mark) -> None:
    _, arrived = await target.marks()
    if arrived is None or arrived.copy != left.copy:
        raise CopyFailed(
            f"{target.shown} is not the copy of {left.source} that was made: if that is lost, the same command"
            " without --undo makes it again"
        )
    await target.give_up(arrived)


async def _begin(source: Side, target: Side) -> tuple[Mark, Mark]:
    """Mark both; return the mark of the source, and that of the copy."""
    if source.shown == target.shown:
        raise CopyFailed(f"{source.shown} is both the source and the copy")
    left, at_home = await source.marks()
    gone, arrived = await target.marks()
    if at_home is not None and at_home.state != DONE:
        raise CopyFailed(f"{source.shown} is a copy of {at_home.source} that is not complete")
    if left is not None and left.state == DONE == _state(arrived):
        raise CopyFailed(
            f"the queue of {source.shown} went to {left.target}: name that in store.url,"
            f" or give that copy up with {left.command} --undo"
        )
    if left is not None and left.target != target.shown:
        raise CopyFailed(
            f"the queue of {source.shown} goes to {left.target}: go on with {left.command}, or give that copy up"
            " with --undo"
        )
    if arrived is not None and (left is None or arrived.copy != left.copy):
        raise CopyFailed(
            f"{target.shown} has a copy of {arrived.source} ({arrived.state}): name an empty store"
        )
    if gone is not None:
        raise CopyFailed(f"the queue of {target.shown} went to {gone.target}: name an empty store")
    if left is None:
        command = f"relayd store copy {quote(source.url)} {quote(target.url)}"
        left = Mark(
            copy=secrets.token_hex(8), source=source.shown, target=target.shown, command=command
        )
        await _mark_both(source, target, left)
    elif arrived is None:
        left = await _leave(source, left, UNDER_WAY)  # a copy that was complete is lost
        await target.arrive(left)
    return left, arrived or left


async def _leave(source: Side, left: Mark, state: str) -> Mark:
    """Change the state of the mark of the source; return the new one."""
    if left.state == state:
        return left
    new = replace(left, state=state)
    await source.leave(new, left)
    return new


async def _mark_both(source: Side, target: Side, mark: Mark) -> None:
    """Mark the source, and then the target; the source no more if the target cannot be marked."""
    await source.leave(mark, None)
    try:
        await target.arrive(mark)
    except (CopyFailed, StoreFull, StoreUnavailable):
        await source.stay(mark)
        raise


def _state(mark: Mark | None) -> str:
    return "" if mark is None else mark.state


async def _go_on(
    source: Side, target: Side, left: Mark, mark: Mark, tell: Tell, at_once: int
) -> Copied:
    totals = {table.name: await source.count(table) for table in TABLES}
    mark = await _copy_rows(source, target, mark, totals, tell, at_once)
    here, there = await sums(source, tell, totals), await sums(target, tell, totals)
    if wrong := differences(here, there):
        await target.give_up(mark)
        await source.stay(left)
        raise CopyFailed(
            f"the copy is not the same: {'; '.join(wrong)}. {source.shown} may be served as before; delete the copy"
        )
    await target.prepare(await source.counters(), await source.last_event(), tell)
    await _leave(source, left, DONE)
    await target.complete(mark)
    return _copied(source, target, here)


async def _copy_rows(
    source: Side,
    target: Side,
    mark: Mark,
    totals: Mapping[str, int],
    tell: Tell,
    at_once: int,
) -> Mark:
    """Copy what is not copied yet; return the last mark."""
    names = [table.name for table in TABLES]
    begun = names.index(mark.table) if mark.table in names else 0
    for table in TABLES[len(TABLES) if mark.table == _FINISHED else begun :]:
        if mark.table != table.name:
            new = replace(mark, table=table.name, after=None)
            await target.advance(mark, new)
            mark = new
        done = 0 if mark.after is None else await target.count(table)
        while (step := await _copy_some(source, target, table, mark, at_once)) is not None:
            mark, some = step
            done += some
            tell(f"copying {table.name}", done, totals[table.name])
    if mark.table != _FINISHED:
        new = replace(mark, table=_FINISHED, after=None)
        await target.advance(mark, new)
        mark = new
    return mark


async def _copy_some(
    source: Side, target: Side, table: Table, mark: Mark, at_once: int
) -> tuple[Mark, int] | None:
    """Copy the next piece; return its mark and how many rows it had, None at the end."""
    if table is CONTENTS:
        contents = await source.contents(mark.after)
        if not contents:
            return None
        new = replace(mark, after=(contents[-1][0],))
        await target.put_contents(contents, mark, new)
        return new, len(contents)
    page = await source.page(table, mark.after, at_once)
    if not page:
        return None
    new = replace(mark, after=page[-1][0])
    await target.put(table, [row for _, row in page], mark, new)
    return new, len(page)


def _copied(source: Side, target: Side, found: Mapping[str, Sum]) -> Copied:
    return Copied(
        source=source.shown,
        target=target.shown,
        rows={name: one.rows for name, one in found.items()},
        states=dict(sorted(found[RECIPIENT].states.items())),
        octets=found[CONTENT].octets,
    )
