"""Who shares the limits of the settings: the workers that are alive now, and the machines that they are on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, Protocol

from relayd.policy.delivery.shares import Part


class Membership(Protocol):
    """How many workers share each limit, and which of them this one is; that may change while they run."""

    def watch(self, on_change: Callable[[Part], None]) -> None:
        """Call `on_change` with the part of this worker: at once, and with each change."""
        ...


class Others(NamedTuple):
    """The workers of other machines, as the store last saw them."""

    workers: int  # that are alive
    before: int  # those of them on machines that come ahead of this one
    know_us: bool  # each has counted this worker by now


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What a store that machines share is told of this one, and tells it of the others."""

    mark: str = ""  # what tells its folder of state from all others, on this machine too
    settings: str = ""  # digest of what should be alike
    keys: Mapping[str, str] = field(
        default_factory=dict
    )  # what that is made of, with a digest of each value
    on_others: Callable[[Others], None] = lambda _: None  # with each renewal of leases


class Node(NamedTuple):
    """A machine that has the queue, or had it."""

    name: str
    version: str  # of relayd
    settings: str  # digest of what should be alike
    seen_at: datetime | None  # None: nobody looks
    workers: int | None  # that are alive; 0: the machine is gone
    keys: Mapping[str, str] = MappingProxyType({})  # as `Cluster.keys`; empty: not known

    def differs_in(self, keys: Mapping[str, str]) -> Sequence[str]:
        """Return the keys that have other values than in these settings; none where that is not known."""
        if not self.keys:
            return ()
        return sorted(
            name for name in keys.keys() | self.keys.keys() if keys.get(name) != self.keys.get(name)
        )
