"""The steps of a schedule: what each kind does to a world."""

from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from relayd.errors import StoreError
from relayd.mail.operator import Action
from relayd.ports.view import Query
from tests.simulation.peers import REFUSED, TURNED_AWAY
from tests.simulation.schedule import Step

if TYPE_CHECKING:
    from tests.simulation.world import World

LASTING = ("kill", "stop", "stop in a verb", "outage", "hop down")
"""Kinds whose effect lasts as long as the step says."""
_NOT_NOW = 0.1  # seconds until the clock may be set


def take(world: "World", step: Step) -> None:
    """Do what the step says."""
    world.note("step", step)
    if step.kind in _OPERATORS:
        _operate(world, step)
    else:
        _KINDS[step.kind](world, step)


def _mail(world: "World", step: Step) -> None:
    world.clients.begin(step)


def _kill(world: "World", step: Step) -> None:
    if alive := world.alive():
        world.kill(alive[step.who % len(alive)], back_after=step.seconds)


def _stop(world: "World", step: Step) -> None:
    if alive := world.alive():
        world.stop(alive[step.who % len(alive)], step.seconds)


def _in_a_verb(world: "World", step: Step) -> None:
    world.doom[step.how] = (step.who % world.schedule.workers, step.seconds)


def _kill_all(world: "World", _: Step) -> None:
    """The machine, or the daemon as a whole, begins anew."""
    for worker in world.alive():
        world.kill(worker, back_after=None)
    world.begin_set(is_boot=True)


def _reload(world: "World", _: Step) -> None:
    """New workers begin beside the old ones, which end what they have begun."""
    old = world.alive()
    world.begin_set(is_boot=False)
    for worker in old:
        world.loop.call_in(worker.process, worker.stopping.set)


def _outage(world: "World", step: Step) -> None:
    world.away_until[step.who - 1] = world.loop.time() + step.seconds  # -1: for all


def _unknown(world: "World", step: Step) -> None:
    verb, _, how = step.how.partition(" ")
    world.armed[verb] = how


def _hop_down(world: "World", step: Step) -> None:
    hop = world.hop
    match step.how:
        case "breaks":
            hop.break_all(idle=False)
            return
        case "silent":
            hop.is_silent = True
        case "421":
            hop.refuses = TURNED_AWAY
        case _:
            hop.refuses = REFUSED
    world.loop.call_in_later(world.loop.world, step.seconds, hop.is_back)


def _hop_closes(world: "World", _: Step) -> None:
    world.hop.break_all(idle=True)


def _clock(world: "World", step: Step) -> None:
    """Set the clock; not between a request to the store and its commit, where a wait gets longer by as much.

    That is so for what a worker had sent to a store behind a network before it was killed, too.
    """
    is_sent = any(each.store.sent for each in world.workers)
    if is_sent or any(each.store.is_busy for each in world.alive()):
        world.loop.call_in_later(world.loop.world, _NOT_NOW, _clock, world, step)
        return
    sign = 1 if step.how == "forwards" else -1
    world.clock.set_by += sign * timedelta(seconds=step.seconds)


def _operate(world: "World", step: Step) -> None:
    up, mails = world.up(), world.clients.mails
    if not up or (not mails and step.kind != "resume"):
        return
    worker = up[step.who % len(up)]
    domain = f"m{step.who % max(1, len(mails))}.test"
    work: Callable[[], Coroutine[Any, Any, None]] = worker.unpause
    if step.kind == "pause":
        work = partial(worker.pause, [domain])
    elif step.kind != "resume":
        work = partial(worker.act, Query(domain=(domain,)), Action(step.kind))
    world.loop.spawn(worker.process, once(work))


async def once(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do what an operator asks; where the store fails, he is told so."""
    with suppress(StoreError):
        await work()


_OPERATORS = ("hold", "release", "bounce", "drop", "expedite", "pause", "resume")
_KINDS: Mapping[str, Callable[["World", Step], None]] = {
    "mail": _mail,
    "kill": _kill,
    "kill in a verb": _in_a_verb,
    "kill all": _kill_all,
    "stop": _stop,
    "stop in a verb": _in_a_verb,
    "reload": _reload,
    "outage": _outage,
    "unknown": _unknown,
    "hop down": _hop_down,
    "hop closes": _hop_closes,
    "clock": _clock,
}
