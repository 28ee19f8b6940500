"""What is told of a queue that another one took the place of. Imports no engine."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """What took the place of a queue."""

    queue: str
    copy: str  # what was restored, or was made
    waiting: int  # recipients in it
    held: int
    old: str | None  # the queue that was there before, where it is now
