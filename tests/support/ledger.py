"""Clients that keep a ledger, and the judgement on a relay that had faults (semantics section 11).

The ledger is written in this order: `sent` before the final dot leaves, then `acked` only after
the whole 250 was read, `refused` after a 4yz or 5yz, or `unknown` when no reply came.
"""

import random  # noqa: TID251 -- seeded
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from relayd.ports.view import RecipientRow, Status
from tests.support.daemon import CEILING, without_trace
from tests.support.scripted_server import Message

_BARE_LF = b"Subject: never\r\n\r\nbare\nline\r\n"  # to be refused at its dot


Mail = Callable[[int, int, random.Random], "Iterable[Entry]"]
"""What a client sends, given its number and how many messages."""


class Fate(Enum):
    SENT = "sent"  # the dot may not have left yet
    ACKED = "acked"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Entry:
    """One message as its client knows it."""

    number: str
    recipients: tuple[str, ...]
    content: bytes
    fate: Fate = Fate.SENT
    reply: bytes = b""  # to its final dot


@dataclass(slots=True)
class Ledger:
    """What all clients did; safe for threads, since each entry has one writer."""

    entries: list[Entry] = field(default_factory=list)

    def of(self, *fates: Fate) -> list[Entry]:
        return [entry for entry in tuple(self.entries) if entry.fate in fates]


class Client:
    """One connection to a relay that may be gone at any moment."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection((host, port), timeout=CEILING)
        self._replies = self._socket.makefile("rb")
        try:
            self._expect(b"220")
            self._socket.sendall(b"EHLO app.test\r\n")
            while self._line()[3:4] == b"-":
                pass
        except OSError:
            self.close()
            raise

    def submit(self, entry: Entry) -> None:
        """Send one message and note what became of it. Raises OSError when the connection is lost."""
        rcpts = b"".join(b"RCPT TO:<%b>\r\n" % rcpt.encode() for rcpt in entry.recipients)
        self._socket.sendall(b"MAIL FROM:<app@app.test>\r\n" + rcpts + b"DATA\r\n")
        for _ in range(len(entry.recipients) + 1):
            self._expect(b"250")
        self._expect(b"354")
        entry.fate = Fate.UNKNOWN
        self._socket.sendall(entry.content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        entry.reply = self._line()
        entry.fate = Fate.ACKED if entry.reply.startswith(b"250 ") else Fate.REFUSED

    def close(self) -> None:
        self._replies.close()
        self._socket.close()

    def _line(self) -> bytes:
        line = self._replies.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the relay hung up")
        return line

    def _expect(self, code: bytes) -> None:
        line = self._line()
        if not line.startswith(code):
            raise ConnectionResetError(f"{code!r} expected, not {line!r}")


class Load:
    """Some clients in threads, each sending its messages whatever happens to the relay."""

    def __init__(
        self,
        port: int,
        *,
        clients: int,
        messages: int,
        seed: int,
        mail: "Mail | None" = None,
        host: str = "127.0.0.1",
    ) -> None:
        """Without `mail`, which says what a client sends, it is for x.test, and some of it malformed."""
        self.ledger = Ledger()
        self._port, self._host = port, host
        self._messages = messages
        self._mail = mail or _entries
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number, random.Random(f"{seed}-{number}")))
            for number in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def acked(self) -> int:
        return len(self.ledger.of(Fate.ACKED))

    def join(self, within: float = 60) -> None:
        for thread in self._threads:
            thread.join(within)
            assert not thread.is_alive(), "the load is over"

    def stop(self) -> None:
        """Send no more."""
        self._over.set()
        self.join()

    def _run(self, number: int, chance: random.Random) -> None:
        client: Client | None = None
        for entry in self._mail(number, self._messages, chance):
            while client is None and not self._over.is_set():
                try:
                    client = Client(self._port, self._host)
                except OSError:
                    self._over.wait(0.05)
            if client is None or self._over.is_set():
                break
            self.ledger.entries.append(entry)
            try:
                client.submit(entry)
            except OSError:
                client.close()
                client = None
            is_over = entry.fate is Fate.REFUSED and chance.random() < 0.5
            if (
                is_over or entry.content is _BARE_LF
            ) and client is not None:  # bare LF: it hangs up
                client.close()
                client = None
        if client is not None:
            client.close()


def _entries(client: int, count: int, chance: random.Random) -> Iterable[Entry]:
    for number in range(count):
        name = f"{client}-{number}"
        recipients = tuple(f"{name}-{each}@x.test" for each in range(chance.choice((1, 1, 1, 3))))
        body = b"".join(
            b"." * chance.randint(0, 2)
            + chance.randbytes(chance.randint(0, 60)).hex().encode()
            + b"\r\n"
            for _ in range(chance.choice((3, 10, 300)))
        )
        content = b"X-Number: %b\r\n\r\n%b" % (name.encode(), body)
        if chance.random() < 0.05:
            recipients, content = (f"refused-{name}@x.test",), _BARE_LF
        yield Entry(name, recipients, content)


def rcpts_of(message: Message) -> tuple[str, ...]:
    return tuple(rcpt.partition("<")[2].partition(">")[0] for rcpt in message.rcpts)


def judge(
    ledger: Ledger,
    received: Sequence[Message],
    rows: Sequence[RecipientRow],
    *,
    duplicates: int,
) -> None:
    """Assert the promises of semantics section 0; `duplicates` is how many copies the faults allow.

    For a relay whose queue is empty and whose smarthost took everything.
    """
    copies: Counter[str] = Counter(rcpt for message in received for rcpt in rcpts_of(message))
    by_rcpt = {rcpt: entry for entry in ledger.entries for rcpt in entry.recipients}
    judge_loss(ledger, copies)
    for message in received:
        for rcpt in rcpts_of(message):
            assert rcpt in by_rcpt, f"nobody sent anything to {rcpt}"
            entry = by_rcpt[rcpt]
            assert without_trace(message.content) == entry.content, f"{rcpt}: other bytes"
            assert set(rcpts_of(message)) <= set(entry.recipients), f"{rcpt}: other recipients"
    extra = sum(count - 1 for count in Counter(_number(one) for one in received).values())
    assert extra <= duplicates, f"{extra} messages came more than once"
    judge_states(rows, copies)


def judge_loss(ledger: Ledger, copies: Mapping[str, int]) -> None:
    """Assert that all that was acknowledged arrived, and nothing that was refused; `copies` by recipient."""
    lost = [
        rcpt for entry in ledger.of(Fate.ACKED) for rcpt in entry.recipients if not copies.get(rcpt)
    ]
    assert not lost, f"acknowledged and lost: {lost}"
    unwanted = [
        rcpt for entry in ledger.of(Fate.REFUSED) for rcpt in entry.recipients if copies.get(rcpt)
    ]
    assert not unwanted, f"refused and delivered: {unwanted}"


def judge_states(rows: Sequence[RecipientRow], copies: Mapping[str, int]) -> None:
    """Assert that all is over, that the history says what arrived, and that it says so of what came twice."""
    assert {row.status for row in rows} <= {Status.RELAYED}, "all is over"
    assert {row.address for row in rows} == set(copies), "status and smarthost agree"
    silent = [row.address for row in rows if copies[row.address] > 1 and not row.possible_duplicate]
    assert not silent, f"came twice, and nothing says so: {silent}"


def _number(message: Message) -> tuple[bytes, tuple[str, ...]]:
    return without_trace(message.content).partition(b"\r\n")[0], rcpts_of(message)
