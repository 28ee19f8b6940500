"""The verbs that keep the queue in order: what is over goes, what happened is counted, room is given back.

Each is one transaction and does a part, so that no mail waits for it: who calls it calls again. What
`relayd.ports.queue` says of its verbs holds for these.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from relayd.ports.schema import Migrated

TALLIED_AT_ONCE = (
    5000  # the more, the less each costs; a question counts for itself what is not counted yet
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetGo:
    """Content of bounced messages that is kept no longer."""

    messages: int = 0
    octets: int = 0  # that were deleted; what somebody waits for is not
    for_room: bool = False  # before its time: the disk is short


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What one step of `Upkeep.compact` did, and what is left to do."""

    purged: int  # messages
    octets: int  # of the file
    unused: int  # of these, by nothing
    can_shrink: bool  # False: a copy of the file has to take its place, while nobody serves it


class Upkeep(Protocol):
    """A part of `relayd.ports.queue.QueueStore`."""

    async def let_go(self, before: datetime) -> LetGo:
        """Delete the content of bounced messages that is kept since before.

        When the disk gets short, all that is kept goes, the oldest first. May do a part: call again until it is of
        no message.
        """
        ...

    async def purge(self, older_than: datetime) -> int:
        """Delete messages that were finished before, with their history; return how many.

        An unfinished message is never deleted, nor one whose events are not counted. May do a part of it: call again
        until it gives 0.
        """
        ...

    async def forget_keys(self) -> int:
        """Forget keys of messages that were to be taken once, after `KEPT_FOR`; return how many.

        May do a part of it: call again until it gives 0.
        """
        ...

    async def migrate(self) -> Migrated:
        """Apply the steps of the schema that had to wait for machines with an older relayd, and tell which wait.

        Once none waits, none will.
        """
        ...

    async def tally_up(self, at_once: int = TALLIED_AT_ONCE) -> bool:
        """Count the next events of the history, or put the tally in order; False when nothing is left to do.

        Events are counted when there are `at_once` of them, so many in one transaction.

        That changes no answer of `QueueView.tally` but how fast it comes, and how finely what is long past is told.
        """
        ...

    async def compact(self, older_than: datetime) -> Compacted:
        """Give room back to the disk, by one short step: purge as `purge` does, or else make the file smaller.

        Call again until nothing was purged and nothing is unused.
        """
        ...
