"""A relay under load while all that it does to its disk is recorded.

It takes mail of several recipients, short and long, relays it to a next hop that refuses some, is asked to read its settings again,
is copied, stops, starts, and is killed. In direct mode it signs (DKIM).
"""

import os
import random  # noqa: TID251 -- seeded
import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from relayd.ports.view import Query
from tests.proof.record import Marks
from tests.proof.shim import environment, library
from tests.support import relayd_process
from tests.support.daemon import Daemon, SmarthostThread, a_smarthost, eventually
from tests.support.dkim import ed25519_pem, records, verified, write_key
from tests.support.internet import Internet, an_internet
from tests.support.ledger import Client, Entry, Fate, rcpts_of
from tests.support.ports import free_port
from tests.support.relayd_process import Process
from tests.support.scripted_server import InTurn, Message, Script

DOMAIN = "x.test"
HOST = "127.0.3.1"
SENDER = "app.test"
ZONES = {
    DOMAIN: {"MX": ["10 mx.x.test."]},
    SENDER: {"MX": ["10 mx.x.test."]},
    "mx.x.test": {"A": [HOST]},
}
WEBHOOKS = '[webhooks]\nallow_http = true\nallow_networks = ["127.0.0.1/32"]\n'
_NOBODY = "http://127.0.0.1:8443/"

_SIZES = (2, 2, 2, 20, 300, 9000)  # lines; the last is kept on a file of its own
_KINDS = ("fine", "fine", "fine", "soft", "hard")
_PEM = ed25519_pem()
_RECORDS = records(SENDER, e=_PEM)
_KEY = '[[dkim]]\ndomain = "{}"\nselector = "e"\nkey_file = "{}"\n'
_OURS = re.compile(
    rb"(?:(?:DKIM-Signature|Received):[^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n)+"
)  # fields in front of what a client gave
_MIDDLE = ("reload", "copy", "stop", "kill")  # what happens while mail comes


@dataclass(frozen=True, slots=True)
class Recording:
    """What there is to judge by."""

    record: Path
    folder: str  # of the relay, as its paths in the record begin
    entries: Mapping[str, Entry]  # by number
    is_direct: bool


def _script(*, is_later: bool) -> Script:
    """What the next hop does: it refuses some recipients for ever, and puts some off once, but not again later."""
    hard: Script = {"RCPT TO:<HARD": "550 5.1.1 no such user"}
    once: Script = {"RCPT TO:<SOFT": InTurn("452 4.2.2 mailbox full", "250 2.1.5 ok")}
    return hard if is_later else {**hard, **once}


def record(
    place: Path,
    *,
    messages: int,
    clients: int = 4,
    seed: int = 1,
    is_direct: bool = False,
    fault: str = "",
) -> Recording:
    """Run it to the end: until each message that was acknowledged has its fate.

    `fault` is one of PLANTED.
    """
    (folder := place / "relay").mkdir()
    log = place / "record"
    way = Way(environment(folder, place / "lock", record=log), fault)
    marks = Marks(log)
    entries: dict[str, Entry] = {}
    try:
        with a_next_hop(is_direct=is_direct, marks=marks) as hop:
            relay = Daemon(folder, hop.port, more=WEBHOOKS, **hop.settings)
            try:
                way.up(relay)
                tell_a_webhook(relay)
                load = [
                    threading.Thread(
                        target=_submit,
                        args=(relay, number, messages, seed, marks, entries),
                        daemon=True,
                    )
                    for number in range(clients)
                ]
                for thread in load:
                    thread.start()
                for part, name in enumerate(_MIDDLE, 1):
                    wanted = clients * messages * part // (len(_MIDDLE) + 1)
                    eventually(lambda n=wanted: len(_acked(entries)) >= n, "mail", within=120)  # type: ignore[misc]
                    _disturb(relay, name, way, place)
                for thread in load:
                    thread.join(60)
                if not fault:  # one that was put in may stop it for good
                    eventually(partial(_is_over, relay), "each message has its fate", within=60)
                assert relay.stop() == 0
            finally:
                relay.close()
    finally:
        marks.close()
    return Recording(log, str(folder.resolve()), entries, is_direct)


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a relay sends; `settings` lead it there."""

    port: int
    settings: Mapping[str, Any]
    messages: Sequence[Message]
    is_direct: bool = False


class _Noting(list[Message]):
    """Messages, each noted before its sender is told."""

    def __init__(self, marks: Marks | None) -> None:
        super().__init__()
        self._marks = marks

    def append(self, message: Message) -> None:
        if self._marks is not None and not is_report(message):
            self._marks.note("taken", number_of(message.content), *rcpts_of(message))
        super().append(message)


@contextmanager
def a_next_hop(
    *, is_direct: bool, marks: Marks | None = None, script: Script | None = None
) -> Iterator[NextHop]:
    """Run a smarthost, or a name server and a mail host; with `marks` for a recording, else for what comes later.

    `script` is what it does instead.
    """
    messages = _Noting(marks)
    script = script or _script(is_later=marks is None)
    with ExitStack() as stack:
        smarthost: SmarthostThread = stack.enter_context(a_smarthost(script))
        smarthost.server.messages = messages
        settings: dict[str, str] = {}
        if is_direct:
            internet: Internet = stack.enter_context(
                an_internet({HOST: script}, ZONES, port=free_port())
            )
            internet.servers[HOST].messages = messages
            place = stack.enter_context(TemporaryDirectory(prefix="relayd-proof-key-"))
            key = _KEY.format(SENDER, write_key(Path(place, "key.pem"), _PEM))
            settings |= {"remote": "true", "smarthost_more": internet.settings + key}
        yield NextHop(smarthost.port, settings, messages, is_direct)


def is_report(message: Message) -> bool:
    """Tell whether it is for a sender."""
    return message.mail.startswith("FROM:<>")


def number_of(content: bytes) -> str:
    """Return the number that a client gave to the message."""
    return content.partition(b"X-Number: ")[2].partition(b"\r\n")[0].decode()


def is_as_sent(content: bytes, entry: Entry, *, is_signed: bool) -> bool:
    """Tell whether it has the octets that a client gave, and in front of them what is ours: with a signature that holds, or without one."""
    ours, theirs = content[: -len(entry.content)], content[-len(entry.content) :]
    if theirs != entry.content or not _OURS.fullmatch(ours):
        return False
    return verified(content, _RECORDS) == [True] * is_signed


@dataclass(frozen=True, slots=True)
class Way:
    """How the relay is started, and its commands: looked at, and with a fault that was put in, one of PLANTED."""

    environment: Mapping[str, str]
    fault: str = ""

    def start(self, relay: Daemon) -> None:
        with relay.log.open("ab") as out:
            relay.process = self._run(out, "serve", "-c", str(relay.file), fault=self.fault)

    def up(self, relay: Daemon) -> None:
        relay.up_by(partial(self.start, relay))

    def back_up(self, relay: Daemon, copy: Path) -> Process:
        """Start a backup."""
        with (relay.folder / "backup.log").open("ab") as out:
            return self._run(out, "backup", "-c", str(relay.file), str(copy))

    def _run(self, out: IO[bytes], *words: str, fault: str = "") -> Process:
        if fault:
            words = (fault, *words)
        return relayd_process.start(
            *words,
            stdout=out,
            stderr=out,
            env=os.environ | self.environment,
            program="tests.proof.planted" if fault else "relayd",
            library=str(library()),
        )


def tell_a_webhook(relay: Daemon) -> None:
    """Have all that happens from now on told to a program that is not there."""
    added = relay.run("console", "webhook", "add", _NOBODY, "--events", "sent,relayed,bounced")
    assert added.status == 0, added.err


def _acked(entries: Mapping[str, Entry]) -> list[Entry]:
    return [entry for entry in tuple(entries.values()) if entry.fate is Fate.ACKED]


def _is_over(relay: Daemon) -> bool:
    return not relay.rows(Query(unfinished=True))


def _disturb(relay: Daemon, name: str, way: "Way", place: Path) -> None:
    match name:
        case "reload":
            seen = len(relay.events("reloaded"))
            relay.write(message_size="3MB")  # else there is nothing to change for
            relay.signal(signal.SIGHUP)
            eventually(lambda: len(relay.events("reloaded")) > seen, "it has read its settings")
        case "copy":
            assert way.back_up(relay, place / "copy").wait(60) == 0
        case "stop":
            assert relay.stop() == 0
            way.up(relay)
        case _:
            relay.kill()
            way.up(relay)


def _submit(
    relay: Daemon,
    client: int,
    messages: int,
    seed: int,
    marks: Marks,
    entries: dict[str, Entry],
) -> None:
    """Send each message until it is acknowledged; each try is a message of its own."""
    chance = random.Random(f"{seed}-{client}")
    connection: Client | None = None
    made = acked = 0
    while acked < messages:
        entry = an_entry(f"{client}-{made}", chance)
        made += 1
        entries[entry.number] = entry
        try:
            if connection is None:
                connection = Client(relay.port)
            connection.submit(entry)
        except OSError:
            if connection is not None:
                connection.close()
            connection = None
            threading.Event().wait(0.05)
            continue
        assert entry.fate is Fate.ACKED, entry.reply
        marks.note("acked", entry.number)
        acked += 1
    if connection is not None:
        connection.close()


def an_entry(number: str, chance: random.Random, kinds: Sequence[str] = _KINDS) -> Entry:
    """Return a message to recipients whose names say what the next hop does."""
    recipients = tuple(
        f"{chance.choice(kinds)}-{number}-{each}@{DOMAIN}"
        for each in range(chance.choice((1, 1, 2, 3)))
    )
    body = b"".join(
        chance.randbytes(30).hex().encode() + b"\r\n" for _ in range(chance.choice(_SIZES))
    )
    content = b"From: app@%b\r\nX-Number: %b\r\n\r\n%b" % (SENDER.encode(), number.encode(), body)
    return Entry(number, recipients, content)
