"""Every system call of a message that changes the disk: its process is killed there, or the call fails.

Whoever got a 250 finds the message at the next hop, once, or twice if its process was killed while it was being handed over; whoever got
another reply, or none, sends again. The relay goes on by itself: what the next message gets is a 250.
"""

import errno
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from relayd.ports.view import Query, Status
from tests.proof.recording import NextHop, Way, a_next_hop, is_report, number_of
from tests.proof.shim import Calls, Shared, environment
from tests.support.daemon import Daemon, eventually, without_trace
from tests.support.ledger import Client, Entry, Fate, rcpts_of

ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EINTR, errno.EMFILE)
_SETTLED = 10 * 10**9  # nanoseconds that a worker has to live so that it did not die early
_UNFINISHED = Query(unfinished=True)
_LONG = 9000  # lines


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

    def __init__(self, relay: Daemon, hop: NextHop, shared: Shared) -> None:
        self._relay = relay
        self._hop = hop
        self._shared = shared
        self._calls = Calls(shared)
        self._made = 0

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
        seen = len(self._hop.messages)
        entry = self._entry(fault.shape)
        self._calls.fail(fault.call, fault.error)
        self._send(entry)
        first = entry.fate
        self._rest()
        self._calls.fail_no_more()
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
            if without_trace(message.content) != entry.content
        ]
        copies = Counter(rcpt for message in mine for rcpt in rcpts_of(message))
        states = {row.address: row.status for row in self._relay.rows()}
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
        eventually(self._is_at_rest, "the relay rests", within=30)

    def _is_at_rest(self) -> bool:
        return not self._relay.rows(_UNFINISHED) and len(self._relay.events("worker_ready")) > len(
            self._relay.events("worker_ended")
        )

    def _entry(self, shape: Shape) -> Entry:
        self._made += 1
        number = str(self._made)
        body = (b"x" * 60 + b"\r\n") * (_LONG if shape is Shape.LONG else 3)
        content = b"X-Number: %b\r\n\r\n%b" % (number.encode(), body)
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
def a_world(place: Path, *, is_direct: bool) -> Iterator[World]:
    (folder := place / "relay").mkdir()
    with ExitStack() as stack:
        hop = stack.enter_context(a_next_hop(is_direct=is_direct))
        relay = Daemon(folder, hop.port, workers=1, **hop.settings)
        stack.callback(relay.close)
        Way(environment(folder, place / "lock")).up(relay)
        shared = Shared(place / "lock")
        stack.callback(shared.close)
        yield World(relay, hop, shared)


def faults(world: World) -> Sequence[Fault]:
    """Return every fault of each kind of message."""
    return [
        Fault(call, error, shape)
        for shape in Shape
        for call in range(1, world.calls_of(shape) + 1)
        for error in (None, *ERRORS)
    ]
