"""A queue, a settings file and a socket path for the commands, and the way to run them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relayd.answers.notices import STOPPED
from relayd.cli.command import run
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.ports.queue import QueueStore
from relayd.store import open_store
from tests.support.clock import FakeClock
from tests.support.pointers import without_pointers
from tests.support.workers import registered

SETTINGS = """
fqdn = "relay.example.org"
[store]
url = "sqlite:{folder}/queue.db"
[control]
socket = "{folder}/control.sock"
[status_log]
path = "{folder}/status.log"
"""

STOPPED_LINE = f"{STOPPED}\n"
"""What a list says on standard error first, where no daemon runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one command line gave."""

    status: int
    out: str
    err: str  # without the pointers
    pointers: tuple[str, ...] = ()  # to what `relayd explain` has on errors

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def cells(self) -> list[list[str]]:
        """The lines of a piped table, titles first."""
        return [line.split("\t") for line in self.out.splitlines()]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything in one folder."""

    folder: Path
    clock: FakeClock
    readouterr: Callable[[], Any]

    @property
    def settings(self) -> Path:
        return self.folder / "relayd.toml"

    @property
    def socket(self) -> Path:
        return self.folder / "control.sock"

    @property
    def log(self) -> Path:
        return self.folder / "status.log"

    def run(self, *arguments: str) -> Ran:
        """Run `relayd ARGUMENTS` on this world's settings."""
        return self.run_bare("-c", str(self.settings), *arguments)

    def run_bare(self, *arguments: str) -> Ran:
        self.readouterr()
        status = run(arguments)
        printed = self.readouterr()
        err, pointers = without_pointers(printed.err)
        return Ran(status=status, out=printed.out, err=err, pointers=pointers)

    def open_store(self, file: str = "queue.db") -> QueueStore:
        return open_store(
            f"sqlite:{self.folder}/{file}", clock=self.clock, slots={}, keeps_bounced=True
        )


def make_world(folder: Path, readouterr: Callable[[], Any]) -> World:
    world = World(folder=folder, clock=FakeClock(), readouterr=readouterr)
    world.settings.write_text(SETTINGS.format(folder=folder))
    return world


def with_users(world: World, *users: str) -> None:
    """Let the settings name a users file; of each user the name, then senders."""
    hashed = "$argon2id$v=19$m=8,t=1,p=1$" + "A" * 22 + "$" + "A" * 43
    lines = [
        f"{name} {hashed} {senders}\n" for name, _, senders in (u.partition(" ") for u in users)
    ]
    file = world.folder / "users"
    file.write_text("".join(lines))
    world.settings.write_text(f'{world.settings.read_text()}[auth]\nusers_file = "{file}"\n')


async def enqueue(store: QueueStore, *messages: NewMessage) -> WorkerNumber:
    """Put messages into the queue, leased to nobody; return the worker that did it."""
    worker = await registered(store, "worker")
    for message in messages:
        await store.enqueue(message, worker=worker, lease_for=None)
    return worker


def column(rows: Sequence[Sequence[str]], title: str) -> list[str]:
    """One column of a piped table."""
    place = rows[0].index(title)
    return [row[place] for row in rows[1:]]
