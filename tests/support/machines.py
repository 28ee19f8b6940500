"""Machines that share a queue, as `relayd top --all` is given them."""

from collections.abc import Mapping
from datetime import timedelta

from relayd.answers.machines import Machine, Machines
from relayd.answers.overview import FLOWS, Overview
from relayd.ports.membership import Node
from relayd.ports.samples import AtWork

_NOTHING = dict.fromkeys(FLOWS, 0.0)


def a_machine(
    overview: Overview,
    name: str,
    *,
    workers: int = 2,
    destinations: int = 0,
    ago: timedelta = timedelta(seconds=4),
    rates: Mapping[str, float] | None = None,
) -> Machine:
    """Return one that was seen that long ago. Without `rates` they are not known."""
    node = Node(name, "1.0.0", "alike", overview.at - ago, workers)
    work = AtWork(node=node, destinations=destinations, now=None, before=None)
    return Machine(work=work, rates=_NOTHING | dict(rates) if rates is not None else {})


def the_machines(
    overview: Overview, *machines: Machine, holders: Mapping[str, tuple[str, ...]] | None = None
) -> Machines:
    return Machines(
        overview=overview,
        machines=machines,
        counted_at=overview.at - timedelta(seconds=9),
        counted_by=machines[0].work.node.name if machines else "",
        holders=holders or {},
    )
