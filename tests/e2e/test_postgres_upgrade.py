"""Two machines with one PostgreSQL are replaced by a newer version while mail flows: nothing refused, nothing lost."""

import os
import random  # noqa: TID251 -- seeded
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from relayd.ports.view import Query
from relayd.store.postgres import schema
from tests.support.daemon import CEILING, Daemon, Ran, SmarthostThread, a_smarthost, eventually
from tests.support.ledger import Client, Entry, Fate, Ledger, judge
from tests.support.postgres import Server, needs_postgres
from tests.support.scripted_server import Drip
from tests.support.two_versions import another_version, command_of, prefix_of

pytestmark = [needs_postgres, pytest.mark.timeout(240)]

NEXT = schema.newest() + 1
VERSION = "9.9.9"
EXPAND, INDEX, CONTRACT = f"{NEXT:04}_colour", f"{NEXT + 1:04}_index", f"{NEXT + 2:04}_grey"
STEPS = {
    f"{EXPAND}.sql": "-- expand\n"
    "ALTER TABLE queue ADD COLUMN colour text COLLATE \"C\" NOT NULL DEFAULT 'grey';\n"
    "ALTER TABLE content ADD COLUMN colour int;\n"
    "ALTER TABLE event ADD COLUMN colour int;\n",
    f"{INDEX}.sql": "-- expand\nCREATE INDEX CONCURRENTLY queue_colour ON queue (colour);\n",
    f"{CONTRACT}.sql": "-- contract\nDROP INDEX audit_at;\n",
}
BREAKS = "ALTER TABLE message RENAME COLUMN helo TO hello"  # each message has it


class Machine(Daemon):
    """A relay, which may be run as another version."""

    def __init__(self, folder: Path, smarthost: int, server: Server, name: str) -> None:
        (folder / "state").mkdir(parents=True)
        super().__init__(
            folder,
            smarthost,
            workers=2,
            store=server.url(),
            store_more=f'folder = "{folder}/state"',
            more=f'[cluster]\nnode = "{name}"',
        )
        self.name = name

    def run_as(self, copy: Path, *arguments: str) -> Ran:
        """Run a command of another version."""
        command = [*command_of(copy), "-c", str(self.file), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=2 * CEILING
        )
        return Ran(status=done.returncode, out=done.stdout, err=done.stderr)


class Steady:
    """A client that sends all the time, each message on a new connection, to the machine that takes it.

    It does as mail programs do with a name of several addresses: a machine that is down, or says 421, is passed over.
    Any other answer but 250 is a refusal.
    """

    def __init__(self, ports: Sequence[int], number: int) -> None:
        self.ledger = Ledger()
        self._ports, self._number = ports, number
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(2 * CEILING)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        chance = random.Random(self._number)
        count = 0
        while not self._over.wait(0.01):
            name = f"{self._number}-{count}"
            content = b"X-Number: %b\r\n\r\n%b\r\n" % (
                name.encode(),
                chance.randbytes(20).hex().encode(),
            )
            self._send(Entry(name, (f"{name}@x.test",), content), chance)
            count += 1

    def _send(self, entry: Entry, chance: random.Random) -> None:
        self.ledger.entries.append(entry)
        ports = [*self._ports]
        chance.shuffle(ports)
        for port in ports:
            try:
                self._submit(entry, port)
            except OSError as error:
                if entry.fate is Fate.SENT and "expected, not" in str(error):
                    entry.fate, entry.reply = Fate.REFUSED, str(error).encode()
            if b"421 " in entry.reply:
                entry.fate, entry.reply = Fate.SENT, b""
            if entry.fate is not Fate.SENT:
                return
        entry.fate, entry.reply = Fate.REFUSED, b"no machine took it"

    @staticmethod
    def _submit(entry: Entry, port: int) -> None:
        with closing(Client(port)) as client:
            client.submit(entry)


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return another_version(tmp_path_factory.mktemp("newer"), VERSION, STEPS)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server("max_connections=120")
    yield running
    running.close()


@pytest.fixture
def smarthost() -> Iterator[SmarthostThread]:
    with a_smarthost({"DOT": Drip("250 ok", 0.002)}) as smarthost:
        yield smarthost


@pytest.fixture
def machines(
    tmp_path: Path, server: Server, smarthost: SmarthostThread
) -> Iterator[tuple[Machine, Machine]]:
    both = [Machine(tmp_path / name, smarthost.port, server, name) for name in ("one", "two")]
    try:
        for each in both:
            each.up()
        yield both[0], both[1]
    finally:
        for each in both:
            each.close()


@pytest.fixture
def clients(machines: tuple[Machine, Machine]) -> Iterator[list[Steady]]:
    steady = [Steady([each.port for each in machines], number) for number in range(3)]
    yield steady
    for each in steady:
        each.stop()


def acked(clients: Sequence[Steady]) -> int:
    return sum(len(each.ledger.of(Fate.ACKED)) for each in clients)


def await_more(clients: Sequence[Steady], more: int = 30) -> None:
    wanted = acked(clients) + more
    eventually(lambda: acked(clients) >= wanted, f"{more} more messages are taken")


def replace(machine: Machine, copy: Path) -> None:
    """Stop it as an operator does, and start the newer version with the same settings."""
    assert machine.stop() == 0
    machine.up(*prefix_of(copy))


def verify(machine: Machine, smarthost: SmarthostThread, clients: Sequence[Steady]) -> None:
    """Assert that none was refused, and that each that was acknowledged came once, as it was."""
    ledger = Ledger([entry for each in clients for entry in each.ledger.entries])
    refused = [(entry.number, entry.reply) for entry in ledger.of(Fate.REFUSED)]
    assert not refused, f"refused: {refused[:5]}"
    eventually(lambda: not machine.rows(Query(unfinished=True)), "the queue is empty", within=70)
    judge(ledger, smarthost.messages, machine.rows(), duplicates=0)


def steps(machine: Machine, copy: Path) -> dict[str, list[str] | None]:
    """Return the steps as the newer version tells them: None of one that is applied, else who holds it back."""
    ran = machine.run_as(copy, "store", "status", "--json")
    assert ran.status == 0, ran.err
    [facts] = ran.rows
    return {
        each["name"]: None if each["applied_at"] else each["held_by"] for each in facts["steps"]
    }


def test_machines_are_upgraded_one_by_one_while_mail_flows(
    machines: tuple[Machine, Machine],
    clients: list[Steady],
    smarthost: SmarthostThread,
    newer: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = machines
    await_more(clients)
    told = one.run_as(newer, "store", "migrate", "--dry-run")
    assert [line.partition(": ")[2] for line in told.out.splitlines()] == [
        f"{EXPAND} (expand) would be applied",
        f"{INDEX} (expand) would be applied",
        f"{CONTRACT} (contract) waits for one (relayd 0.1.0), two (relayd 0.1.0)",
    ]

    replace(one, newer)
    found = steps(one, newer)
    assert [found[each] for each in (EXPAND, INDEX, CONTRACT)] == [
        None,
        None,
        ["two (relayd 0.1.0)"],
    ]
    told = one.run_as(newer, "store", "migrate")
    assert told.out.endswith(f": {CONTRACT} (contract) waits for two (relayd 0.1.0)\n")
    eventually(lambda: one.events("schema_waits"), "the log says who is waited for")
    assert one.events("schema_waits")[0]["held_by"] == ["two (relayd 0.1.0)"]
    await_more(clients)  # both versions work
    assert {row["node"]: row["version"] for row in two.run("nodes", "--json").rows} == {
        "one": VERSION,
        "two": "0.1.0",
    }
    before = len(two.events("worker_ready"))
    os.kill(two.events("worker_started")[0]["pid"], signal.SIGTERM)
    eventually(lambda: len(two.events("worker_ready")) > before, "an older worker begins anew")
    await_more(clients)

    replace(two, newer)
    assert one.run_as(newer, "store", "migrate").out.endswith(f": {CONTRACT} (contract) applied\n")
    assert steps(one, newer)[CONTRACT] is None
    await_more(clients)
    for each in clients:
        each.stop()
    with monkeypatch.context() as patch:  # the questions of here read nothing that has changed
        patch.setattr(schema, "newest", lambda: NEXT + 2)
        verify(one, smarthost, clients)

    assert two.stop() == 0
    two.start()  # the older version
    assert two.end() == os.EX_CONFIG
    [ends, *_] = two.events("worker_ends")
    assert ends["reason"] == (
        f"the database has schema {NEXT + 2}, this relayd knows up to {NEXT - 1}: install the newer version"
    )
    asked = two.run("status")
    assert (asked.status, len(asked.err.splitlines())) == (os.EX_DATAERR, 1)


def test_what_is_taken_away_too_early_is_seen(
    machines: tuple[Machine, Machine],
    clients: list[Steady],
    smarthost: SmarthostThread,
    server: Server,
) -> None:
    """Negative control: somebody takes a column away that both machines write; no mail is lost, but some is refused."""
    one, _ = machines
    await_more(clients)
    server.run(BREAKS)
    eventually(lambda: any(each.ledger.of(Fate.REFUSED) for each in clients), "clients are refused")
    server.run("ALTER TABLE message RENAME COLUMN hello TO helo")
    await_more(clients)
    for each in clients:
        each.stop()
    with pytest.raises(AssertionError, match="refused: "):
        verify(one, smarthost, clients)
    ledger = Ledger([entry for each in clients for entry in each.ledger.entries])
    eventually(lambda: not one.rows(Query(unfinished=True)), "the queue is empty", within=70)
    judge(ledger, smarthost.messages, one.rows(), duplicates=0)
