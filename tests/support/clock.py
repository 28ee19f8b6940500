"""A clock that stands still until it is told to move."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class FakeClock:
    """`relayd.ports.outward.Clock` by hand."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._start = start

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    def jump(self, by: timedelta) -> None:
        """Set the wall clock forward or back; monotonic time knows nothing of that."""
        self._now += by
        self._start += by

    def advance(self, by: timedelta) -> None:
        assert by >= timedelta(0), "monotonic time never goes back"
        self._now += by
