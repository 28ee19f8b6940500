"""All machines that share a queue, at one instant: what each does, what waits, and who has leased it.

All of it is in the store: no machine is asked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from relayd.answers.overview import FLOWS, Overview, fields, overview_of
from relayd.answers.switches import NONE_ON, Switches
from relayd.mail.words import format_instant
from relayd.ports.samples import AtWork
from relayd.ports.view import QueueView

_SILENT = timedelta(minutes=1)  # after which a machine's last rates are no rates of now
_MOMENTARY = ("clients", "servers", "paused_workers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One of them. Rates are of the last 15 seconds or so; empty: not known."""

    work: AtWork
    rates: Mapping[str, float]

    @property
    def is_alive(self) -> bool:
        return bool(self.work.node.workers)

    def number(self, name: str) -> int | None:
        """Return one of the numbers of `relayd.worker.sampling`; None: the machine is gone, or has noted nothing yet."""
        now = self.work.now
        return None if now is None or not self.is_alive else int(now.numbers.get(name, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """What `relayd top --all` shows."""

    overview: Overview  # of the queue; it has no counters
    machines: Sequence[Machine]
    counted_at: datetime | None  # the queue; None: just now, since no machine does
    counted_by: str
    holders: Mapping[str, Sequence[str]]  # the machines that have leased a destination

    @property
    def rates(self) -> Mapping[str, float]:
        """The rates of all machines together; of which none is known, it is missing."""
        known = [each.rates for each in self.machines if each.rates]
        return {name: sum(each[name] for each in known) for name in FLOWS} if known else {}


def machines_of(
    view: QueueView,
    *,
    at: datetime,
    switches: Switches = NONE_ON,
    zone: tzinfo | None = UTC,
) -> Machines | None:
    """Return what the machines do at the instant `at`; None where one machine has the queue alone.

    May raise StoreUnavailable.
    """
    if view.samples is None:
        return None
    seen = overview_of(view, at=at, reading=None, switches=switches, zone=zone)
    sampled = view.samples.latest()
    return Machines(
        overview=seen,
        machines=[Machine(work=each, rates=_rates(each)) for each in view.samples.at_work()],
        counted_at=None if sampled is None else sampled.at,
        counted_by="" if sampled is None else sampled.node,
        holders=view.samples.holders([name for name, _ in seen.destinations()]),
    )


def _rates(work: AtWork) -> Mapping[str, float]:
    """Return each flow per second; empty for a machine that is silent, or whose daemon was restarted in between."""
    now, before, seen = work.now, work.before, work.node.seen_at
    if now is None or before is None or seen is None or seen - now.at > _SILENT:
        return {}
    if not work.node.workers or now.at <= before.at:
        return {}
    grown = {name: now.numbers.get(name, 0) - before.numbers.get(name, 0) for name in FLOWS}
    if min(grown.values()) < 0:
        return {}
    return {name: each / (now.at - before.at).total_seconds() for name, each in grown.items()}


def machines_fields(seen: Machines, *, settings: str) -> dict[str, object]:
    """Return it as JSON fields, those of `relayd top` and `relayd nodes` where they have them.

    `settings` is the digest of those of this machine.
    """
    of_queue = fields(seen.overview)
    destinations = of_queue.pop("destinations")
    assert isinstance(destinations, list)
    return {
        **_without(of_queue, {"running", "trouble"}),
        "counted_at": seen.counted_at,
        "counted_by": seen.counted_by or None,
        "rates": _rounded(seen.rates),
        "nodes": [_machine_fields(each, settings) for each in seen.machines],
        "destinations": [
            {**each, "nodes": list(seen.holders.get(each["destination"], ()))}
            for each in destinations
        ],
    }


def _machine_fields(machine: Machine, settings: str) -> dict[str, object]:
    node, noted = machine.work.node, machine.work.now
    return {
        "node": node.name,
        "version": node.version,
        "workers": node.workers,
        "seen_at": None if node.seen_at is None else format_instant(node.seen_at),
        "same_settings": node.settings == settings,
        "leased": machine.work.destinations,
        **{name: machine.number(name) for name in _MOMENTARY},
        "totals": {name: int(noted.numbers.get(name, 0)) for name in FLOWS} if noted else None,
        "rates": _rounded(machine.rates),
    }


def _without(told: Mapping[str, object], names: Collection[str]) -> dict[str, object]:
    return {name: value for name, value in told.items() if name not in names}


def _rounded(rates: Mapping[str, float]) -> dict[str, float] | None:
    return {name: round(rate, 3) for name, rate in rates.items()} or None
