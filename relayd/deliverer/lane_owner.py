"""What a lane and the one who opened it tell each other."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from relayd.deliverer.nexthop.hosts import HostFailure
from relayd.ports.queue import Work

if TYPE_CHECKING:
    from relayd.deliverer.lane import Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneClosed:
    """Why a lane gave up, for the one who opened it."""

    failures: tuple[HostFailure, ...] = ()
    login_refused: bool = False
    is_shortage: bool = False  # nobody failed: this machine lacks something for now
    until: datetime | None = None  # nobody failed, but nothing more may be sent before
    reason: str = ""  # where `failures` do not say it


class LaneOwner(Protocol):
    """Who opened a lane."""

    @property
    def has_few_lanes(self) -> bool:
        """Lanes without work may stay for a while."""
        ...

    def done(self, work: Work) -> None:
        """`work` is out of the lane, whatever became of it."""

    async def holds(self, lane: "Lane") -> bool:
        """Tell whether the lane's lease is still ours; else the lane is closed."""
        ...

    def proven(self, lane: "Lane") -> None:
        """The destination takes mail."""

    def closed(self, lane: "Lane", why: LaneClosed | None) -> None:
        """The lane is at its end; `why` is None when its owner closed it."""
