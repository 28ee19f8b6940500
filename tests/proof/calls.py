"""Every system call of a message that changes the disk: its process is killed there, or the call fails.

Whoever got a 250 finds the message at the next hop, once, or twice if its process was killed while it was being handed over; whoever got
another reply, or none, sends again. The relay goes on by itself: what the next message gets is a 250.

A case mostly waits: for a worker that is replaced, or for a second attempt. So several relays have their cases at once.
"""

import errno
import json
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from relayd.ports.view import Query, Status
from relayd.supervisor.lock import is_served
from tests.proof.crowd import Crowd
from tests.proof.recording import NextHop, Way, a_next_hop, is_as_sent, is_report, number_of
from tests.proof.shim import Calls, Shared, environment
from tests.support.daemon import Daemon, eventually
from tests.support.ledger import Client, Entry, Fate, rcpts_of

ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EINTR, errno.EMFILE)
_SETTLED = 10 * 10**9  # nanoseconds that a worker has to live so that it did not die early
_UNFINISHED = Query(unfinished=True)
_LONG = 9000  # lines
_RESTS_WITHIN = 60.0  # seconds
_LOOKS = 0.05  # seconds between two looks at a queue: each look has its price


class Shape(Enum):
    """What kind of message has the fault."""

    SHORT = "a short message"
    LONG = "a long message"  # kept on a file of its own
    SEVERAL = "a message to several, one of whom is refused"
    REFUSED = "a message that is refused"  # its sender gets a report

    @property
    def kinds(self) -> Sequence[str]:
        """How the next hop takes its recipients."""
        match self:
            case Shape.SEVERAL:
                return ("fine", "hard", "fine")
            case Shape.REFUSED:
                return ("hard",)
            case _:
                return ("fine",)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the n-th call of a message. `error` None: its process is killed."""

    call: int
    error: int | None
    shape: Shape

    def __str__(self) -> str:
        what = "killed" if self.error is None else errno.errorcode[self.error]
        return f"call {self.call} of {self.shape.value}: {what}"


class World:
    """A relay that is looked at, one worker of it, and a next hop."""

    def __init__(
        self, relay: Daemon, hop: NextHop, shared: Shared, way: Way, crowd: Crowd | None = None
    ) -> None:
        """`crowd` are clients beside those that send."""
        self._relay = relay
        self._way = way
        self._hop = hop
        self._shared = shared
        self._crowd = crowd
        self._calls = Calls(shared)
        self._made = 0
        self._workers = 0  # that are ready, as far as the log is read
        self._read = 0  # octets of the log
        self.is_reached = False  # the last fault came to pass

    def calls_of(self, shape: Shape) -> int:
        """Return how many calls a message makes, from its client's connection to its fate."""
        self._rest()
        before = self._calls.count
        assert self._send(self._entry(shape)).fate is Fate.ACKED
        self._rest()
        return self._calls.count - before

    def try_out(self, fault: Fault) -> list[str]:
        """Send a message with that fault; return what is wrong with what became of it."""
        for clock in ("real", "boot", "monotonic"):  # else a worker that dies again waits longer
            self._shared[clock] += _SETTLED
        self._rest()
        if self._crowd is not None:
            self._crowd.come()
        seen = len(self._hop.messages)
        entry = self._entry(fault.shape)
        self._calls.fail(fault.call, fault.error)
        self._send(entry)
        first = entry.fate
        self._rest()
        self.is_reached = self._calls.fail_no_more()
        eventually(
            lambda: self._send(after := self._entry(Shape.SHORT)).fate is Fate.ACKED and after,
            "mail is taken again",
        )
        self._rest()
        came = [message for message in self._hop.messages[seen:] if not is_report(message)]
        mine = [message for message in came if number_of(message.content) == entry.number]
        wrong = [
            f"{entry.number} came with other octets"
            for message in mine
            if not is_as_sent(message.content, entry, is_signed=self._hop.is_direct)
        ]
        copies = Counter(rcpt for message in mine for rcpt in rcpts_of(message))
        states = {
            row.address: row.status for row in self._relay.rows(Query(recipient=entry.recipients))
        }
        for rcpt in entry.recipients:
            is_refused, state = rcpt.startswith("hard-"), states.get(rcpt)
            if first is Fate.ACKED and not is_refused and not copies[rcpt]:
                wrong.append(f"{rcpt} was acknowledged and is lost")
            if first is Fate.ACKED and is_refused and state is not Status.BOUNCED:
                wrong.append(f"{rcpt} was refused, and is {state}")
            if copies[rcpt] and state not in {Status.RELAYED, Status.SENT}:
                wrong.append(f"{rcpt} came, and is {state}")
        if first is Fate.REFUSED and copies:
            wrong.append(f"{entry.number} was refused and came")
        if any(count > 2 for count in copies.values()):
            wrong.append(f"{entry.number} came {max(copies.values())} times")
        return wrong

    def _rest(self) -> None:
        """Wait until nothing is under way, and a worker is there."""
        end = time.monotonic() + _RESTS_WITHIN
        while not self._is_at_rest():
            if not self._is_supervised() and not is_served(f"sqlite:{self._relay.queue}"):
                self._workers = 0  # nobody told of the end of the last ones
                self._way.up(self._relay)
            assert time.monotonic() < end, "the relay does not rest"
            time.sleep(_LOOKS)

    def _is_at_rest(self) -> bool:
        self._read_log()
        is_up = self._workers > 0 and self._is_supervised()
        return is_up and not self._relay.rows(_UNFINISHED)

    def _is_supervised(self) -> bool:
        """Tell whether the supervisor is there: once its workers have left, too, systemd would start it again."""
        return self._relay.process is not None and self._relay.process.poll() is None

    def _read_log(self) -> None:
        with self._relay.log.open("rb") as log:
            log.seek(self._read)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                event = json.loads(line)["event"] if line.startswith(b"{") else ""
                self._workers += (event == "worker_ready") - (event == "worker_ended")

    def _entry(self, shape: Shape) -> Entry:
        self._made += 1
        number = str(self._made)
        body = (b"x" * 60 + b"\r\n") * (_LONG if shape is Shape.LONG else 3)
        content = b"From: app@app.test\r\nX-Number: %b\r\n\r\n%b" % (number.encode(), body)
        recipients = (f"{kind}-{number}-{each}@x.test" for each, kind in enumerate(shape.kinds))
        return Entry(number, tuple(recipients), content)

    def _send(self, entry: Entry) -> Entry:
        try:
            client = Client(self._relay.port)
        except OSError:
            return entry
        try:
            client.submit(entry)
        except OSError:
            pass
        finally:
            client.close()
        return entry


@contextmanager
def a_world(place: Path, *, is_direct: bool, clients: int = 0) -> Iterator[World]:
    """`clients` are connected, and say nothing."""
    (folder := place / "relay").mkdir()
    with ExitStack() as stack:
        hop = stack.enter_context(a_next_hop(is_direct=is_direct))
        relay = Daemon(folder, hop.port, workers=1, **hop.settings)
        stack.callback(relay.close)
        crowd = None
        if clients:
            crowd = Crowd(relay.port, clients)
            stack.callback(crowd.leave)
            relay.write(limits_more=crowd.settings)
        way = Way(environment(folder, place / "lock"))
        way.up(relay)
        shared = Shared(place / "lock")
        stack.callback(shared.close)
        yield World(relay, hop, shared, way, crowd)


def faults(world: World) -> Sequence[Fault]:
    """Return every fault of each kind of message."""
    return [
        Fault(call, error, shape)
        for shape in Shape
        for call in range(1, world.calls_of(shape) + 1)
        for error in (None, *ERRORS)
    ]


@dataclass(slots=True)
class Found:
    """What came of it."""

    tried: int = 0
    missed: int = 0  # the message made fewer calls this time
    wrong: list[str] = field(default_factory=list)

    def try_out(self, fault: Fault, world: World) -> bool:
        """Try one; tell whether it is wrong."""
        try:
            wrong = world.try_out(fault)
        except AssertionError as error:
            wrong = [str(error)]
        self.tried += 1
        self.missed += not world.is_reached
        self.wrong += [f"{fault}: {each}" for each in wrong]
        return bool(wrong)


def try_all(
    place: Path,
    wanted: Iterable[Fault],
    *,
    is_direct: bool,
    seconds: float,
    relays: int = 1,
    clients: int = 0,
) -> Found:
    """Try the faults in their order, for so long at the most, with so many relays at once, each with those clients."""
    left, end, found = deque(wanted), time.monotonic() + seconds, Found()

    def try_some(folder: Path) -> None:
        """Have one relay try them, until one is wrong: then it is left as it is."""
        folder.mkdir(parents=True)
        with a_world(folder, is_direct=is_direct, clients=clients) as world:
            for fault in _taken(left, end):
                if found.try_out(fault, world):
                    break

    def run(number: int) -> None:
        try:
            while left and time.monotonic() < end:
                try_some(place / str(number) / str(len(left)))
        except AssertionError as error:
            found.wrong.append(str(error))

    with ThreadPoolExecutor(relays) as pool:
        list(pool.map(run, range(relays)))
    return found


def _taken(left: deque[Fault], end: float) -> Iterator[Fault]:
    while left and time.monotonic() < end:
        with suppress(IndexError):  # another one took the last
            yield left.popleft()
