"""A relay that is looked at, with clients that send mail without a pause, and a next hop.

All that happens to a recipient is also for a webhook, which nobody sends: the rows are counted.
"""

import random  # noqa: TID251 -- seeded
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event

from relayd.ports.view import Query
from tests.proof.modes import Mode
from tests.proof.points import NO_USER, TAKEN
from tests.proof.queues import Queue, a_database, a_file
from tests.proof.reckoning import REPORTS_TO, Reckoning, reckon
from tests.proof.recording import (
    WEBHOOKS,
    NextHop,
    Way,
    a_next_hop,
    an_entry,
    tell_a_webhook,
)
from tests.proof.shim import Shared, environment
from tests.support.daemon import Daemon, eventually
from tests.support.ledger import Entry, Load
from tests.support.scripted_server import AnyOf, Drip, Script

CLIENTS = 4
CONNECTIONS = 8  # of all workers together, outward: so many transactions a fault may find open
_EMPTY_WITHIN = 150.0  # seconds: the lease of who was killed ends, and then its mail is tried again
_KINDS = (*["fine"] * 80, *["soft"] * 12, *["hard"] * 2)  # few bounce: reports have a budget


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast mail comes and goes."""

    pause: float = 0.03  # seconds between messages of a client
    drip: float = (
        0.001  # seconds between octets of a reply to a dot, so that a fault finds transactions open
    )
    connections: int = CONNECTIONS


USUAL = Pace()


class LoadedRelay:
    """One relay, its clients, and its next hop."""

    def __init__(
        self,
        relay: Daemon,
        queue: Queue,
        hop: NextHop,
        shared: Shared,
        way: Way,
        load: Load,
        flow: Event,
    ) -> None:
        """`flow`: clients send while it is set."""
        self.relay = relay
        self.queue = queue
        self.hop = hop
        self.shared = shared
        self.way = way
        self.load = load
        self.flow = flow

    def end(self, *, duplicates: int) -> Reckoning:
        """Let the queue run empty, and count; faults explain so many duplicates."""
        self.flow.set()
        self.load.stop()
        eventually(self._has_reports_at_most, "the queue is empty", within=_EMPTY_WITHIN)
        if self._left():  # of refusals that a client may not have heard: they would wait
            ran = self.relay.run("queue", "expedite", "--recipient", REPORTS_TO, "--yes")
            assert ran.status == 0, ran.err
        eventually(lambda: not self._left(), "the queue is empty", within=_EMPTY_WITHIN)
        assert self.relay.stop() == 0
        return reckon(
            self.relay,
            self.queue,
            self.load.ledger,
            self.hop.messages,
            duplicates=duplicates,
            is_signed=self.hop.is_direct,
        )

    def _has_reports_at_most(self) -> bool:
        return all(address == REPORTS_TO for address in self._left())

    def _left(self) -> list[str]:
        return [row.address for row in self.relay.rows(Query(unfinished=True))]

    def is_gone(self) -> bool:
        """Tell whether the supervisor is; a signal that was just sent has its moment."""
        assert self.relay.process is not None
        try:
            self.relay.process.wait(0.05)
        except subprocess.TimeoutExpired:
            return False
        return True

    def workers(self) -> Sequence[int]:
        """Return those that are ready and have not ended, as far as the log tells."""
        ended = {each["pid"] for each in self.relay.events("worker_ended")}
        ready = [each["pid"] for each in self.relay.events("worker_ready")]
        return [pid for pid in ready if pid not in ended and Path(f"/proc/{pid}").exists()]


@contextmanager
def a_loaded_relay(
    folder: Path,
    chance: random.Random,
    *,
    mode: Mode = Mode.SMARTHOST,
    fault: str = "",
    pace: Pace = USUAL,
) -> Iterator[LoadedRelay]:
    """`fault` is one of PLANTED."""
    (home := folder / "relay").mkdir()
    way = Way(environment(home, folder / "lock"), fault)
    with ExitStack() as stack:
        script = _script(chance, pace)
        hop = stack.enter_context(a_next_hop(is_direct=mode.is_direct, script=script))
        queue = stack.enter_context((a_database if mode is Mode.POSTGRES else a_file)(home))
        settings = {**hop.settings, **mode.settings, **queue.settings}
        settings["more"] = WEBHOOKS + settings.get("more", "")
        relay = Daemon(home, hop.port, connections=pace.connections, **settings)
        stack.callback(relay.close)
        way.up(relay)
        stack.callback(_wake, relay)
        tell_a_webhook(relay)
        shared = Shared(folder / "lock")
        stack.callback(shared.close)
        flow = Event()
        flow.set()
        load = Load(
            relay.port,
            clients=CLIENTS,
            messages=10**6,
            seed=chance.randrange(10**6),
            mail=partial(_mail, pace.pause, flow),
        )
        stack.callback(load.stop)
        stack.callback(flow.set)
        yield LoadedRelay(relay, queue, hop, shared, way, load, flow)


def _wake(relay: Daemon) -> None:
    """Let go on who was stopped: nobody else could end it."""
    with suppress(ProcessLookupError):
        relay.signal_all(signal.SIGCONT)


def _script(chance: random.Random, pace: Pace) -> Script:
    return {
        "RCPT TO:<HARD": NO_USER,
        "RCPT TO:<SOFT": AnyOf(chance, "452 4.2.2 mailbox full", *["250 2.1.5 ok"] * 3),
        "DOT": AnyOf(chance, TAKEN, Drip(TAKEN, pace.drip)),
    }


def _mail(
    pause: float, flow: Event, client: int, count: int, chance: random.Random
) -> Iterator[Entry]:
    for number in range(count):
        flow.wait()
        yield an_entry(f"{client}-{number}", chance, _KINDS)
        time.sleep(pause)
