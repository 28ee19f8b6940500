"""Gather the facts that `relayd.policy.doctor` judges: from the DNS, from servers, from this machine.

Owns what is asked, of whom and in which order. Sends no mail, changes nothing; writes its result
only where it is told to (`saved`).
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

from relayd.doctor.blocklists import Memory, check_blocklists
from relayd.doctor.machine import check_certificate, check_machine, check_store
from relayd.doctor.names import check_names
from relayd.doctor.scene import Scene, Step, Wish, sends_directly, set_scene
from relayd.doctor.senders import check_dkim, check_dmarc, check_spf
from relayd.doctor.servers import check_port, check_smarthost
from relayd.policy.doctor.finding import Finding
from relayd.ports.outward import Clock
from relayd.settings import Settings

__all__ = ["Memory", "Step", "Wish", "sends_directly", "steps"]


def steps(settings: Settings, wish: Wish, clock: Clock, memory: Memory) -> Iterator[Step]:
    """Give the pieces of one round. `memory` keeps what must not be asked too often."""
    scene = set_scene(settings, wish, clock)
    asks = not wish.quick
    yield _step("our name in the DNS", check_names, scene)
    if scene.is_direct and asks:
        yield _step("SPF", check_spf, scene)
    if asks:
        yield _step("DKIM", check_dkim, scene)
        yield _step("DMARC", check_dmarc, scene)
    if scene.is_direct and asks:
        yield Step("blocklists", partial(check_blocklists, scene, memory))
        yield _step("port 25", check_port, scene)
    yield _step("the certificate", check_certificate, scene)
    if asks:
        yield _step("the smarthost", check_smarthost, scene)
    yield _step("the queue", check_store, scene)
    yield _step("this machine", check_machine, scene)


def _step(words: str, check: Callable[[Scene], Awaitable[Sequence[Finding]]], scene: Scene) -> Step:
    return Step(words, partial(check, scene))
