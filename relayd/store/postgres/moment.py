"""The present, by the clocks that the store goes by, as an operation is told of it."""

from dataclasses import dataclass

SERVER_CLOCK = "(extract(epoch FROM now()) * 1000)::bigint"


@dataclass(frozen=True, slots=True)
class Moment:
    """All are milliseconds."""

    now: int  # the wall clock: when something is due, or was written
    served: int  # the count by which mail ages: `relayd.store.postgres.age`
    lease_at: int | None = (
        None  # the clock that leases end by; None: the server's, at the transaction's start
    )
    may_take_over: bool = True  # a lease that ended: its owner could have renewed it
    server_by: int | None = None  # a server's clock that shows more was set forward
