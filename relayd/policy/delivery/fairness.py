"""Decide which destination a claim serves next, of all that have due mail.

A destination has a backlog when the last claim of its mail left more than `FEW_LEFT` that were due. Three quarters of a claim are for
destinations without one: their new mail and their retries do not wait for the backlogs of others, however long those
are. The last quarter is for backlogs, whatever comes in meanwhile. What one kind does not use, the other has. A claim
too small for quarters goes by time alone, so nobody starves there either.

Who has a backlog is found out by a claim. So where many wait that may have one, as after a downtime, each gets a few at
first.

Since when a destination waits: from its first due recipient, or from the claim that left it a backlog. So backlogs are
served in a ring.

Owns the decision alone. The stores keep the instants, and find what is due. ADR 20 says why it is so.
"""

Head = tuple[float, str]
"""Since when a destination waits, and which one it is."""

FEW_LEFT = 20
"""Due recipients that a claim may leave of a destination that has no backlog: a claim or two more bring them."""
_PARTS = 4  # of a claim; the last one is for backlogs
_FEW = 5  # recipients that a destination gets at first, however many others wait


def without_backlog_first(
    without: Head | None, behind: Head | None, *, taken: int, limit: int
) -> bool:
    """Tell whether the first one `without` a backlog is served before the first that is `behind`; None: there is none.

    `taken` of the `limit` recipients of this claim are leased already.
    """
    if without is None or behind is None:
        return without is not None
    if limit < _PARTS:
        return without <= behind
    return taken < limit * (_PARTS - 1) // _PARTS


def at_most(each: int, *, limit: int, others: int | None) -> int:
    """Return how many recipients a destination gets of a claim, with so many `others` without a backlog; None: it has one.

    `each` is what it may get at most.
    """
    if not others:
        return each
    return min(each, max(limit * (_PARTS - 1) // _PARTS // (others + 1), _FEW))
