"""`TRANSITIONS` in SQL: no statement changes a state but from one that the table allows."""

from functools import cache

from relayd.mail.outcome import RecipientState, states_before

_ALL = tuple(RecipientState)

UNDER = "(slot + 0)"
"""The slot of a row that is known by its message and number.

As a sum, so that the planner does not go by the index of slots: a thousand rows may be leased under one.
"""


@cache  # asked with each message
def may_become(after: RecipientState, among: tuple[RecipientState, ...] = _ALL) -> str:
    """Return the SQL condition of recipients in one of the states `among` that may become `after`."""
    states = ", ".join(f"'{state}'" for state in states_before(after, among))
    return f"state IN ({states})" if states else "false"
