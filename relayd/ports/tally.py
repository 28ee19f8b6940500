"""Questions about counted outcomes, and the answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relayd.mail.tally import COUNTED, Dimension


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyQuery:
    """What is asked: events between two instants, all together, and by the values of a dimension or by time."""

    by: Dimension | None = None
    step: timedelta | None = None  # by time: 10 minutes, an hour or a day; without `by`
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 0  # so many values, those with most mail first; 0: all
    only_bounces: bool = False  # rows are of what bounced alone: most of it first, without delays


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyRow:
    """Numbers of one value of a dimension, of one step of time, or of all."""

    value: str = ""  # empty: it has none, such as mail without a tag
    at: datetime | None = None  # when the step begins
    is_rest: bool = False  # values that were rare in their step, together
    counts: Mapping[str, int] = field(  # by the names of `COUNTED`
        default_factory=lambda: dict.fromkeys(COUNTED, 0)
    )
    delays: Mapping[int, int] = field(
        default_factory=dict
    )  # from reception to acceptance, by class


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyAnswer:
    """The answer, and which time it covers: as much as was asked for, or up to a step more at both ends."""

    total: TallyRow
    rows: Sequence[TallyRow]
    since: datetime | None  # None: from the first event on
    until: datetime | None  # None: until now
    begins: datetime | None  # the first event that is counted at all; None: none is
    counted_until: datetime | None = (
        None  # older history is being counted and is that far; None: all is
    )
