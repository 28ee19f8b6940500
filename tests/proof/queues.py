"""The queue of a relay that is looked at: a file, or a database of its own in a server of this process."""

import atexit
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from string import Template

import apsw

from relayd.files import is_locked
from relayd.store.url import lock_file
from tests.support.daemon import eventually
from tests.support.postgres import Server

_UNTOLD = (
    "SELECT count(*) FROM event e JOIN subscription s ON s.kind = e.kind"
    " WHERE NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event = e.$id)"
)
_OF_RECIPIENTS = (
    " FROM event e JOIN $recipients r ON r.message_id = e.message_id AND r.number = e.recipient"
)
_UNREPORTED = f"SELECT address{_OF_RECIPIENTS} WHERE e.kind = 'bounced' AND $detail->>'unreported' IS NOT NULL"
_FINAL = (
    f"SELECT address, count(*){_OF_RECIPIENTS} WHERE e.kind IN ('relayed', 'sent', 'bounced')"
    " GROUP BY e.message_id, e.recipient, address HAVING count(*) > 1"
)
_OF_A_FILE = {"id": "id", "recipients": "recipient", "detail": "e.detail"}
_OF_A_SERVER = {"id": "number", "recipients": "every_recipient", "detail": "e.detail::jsonb"}
UNTOLD = Template(_UNTOLD).substitute(_OF_A_FILE)
"""How many events of a file have no row for the webhook, which is written with them."""
_NAMES = count()
_CONNECTIONS = "max_connections=400"  # some relays at once, each with workers that come and go


@dataclass(frozen=True, slots=True)
class Queue:
    """What is asked of it, whatever it is; `settings` are those of its relay."""

    settings: Mapping[str, str]
    lock: Path
    ask: Callable[[str], Sequence[Sequence[str]]]
    names: Mapping[str, str]

    def await_end(self) -> None:
        """Wait until no process of its relay is left."""
        eventually(lambda: not self._is_served(), "its workers have left", within=30)

    def wrong(self) -> Iterator[str]:
        """Yield what is wrong with its file, and with the events in it: each is told once, to all who are to hear it."""
        if self.names is _OF_A_FILE and (found := self.ask("PRAGMA integrity_check")[0][0]) != "ok":
            yield f"integrity check: {found}"
        yield from (f"{rcpt} has {ends} ends in the history" for rcpt, ends in self._find(_FINAL))
        if (untold := self._find(_UNTOLD)[0][0]) != "0":
            yield f"{untold} events have no webhook"

    def unreported(self) -> set[str]:
        """Return whose senders got no report because there were too many."""
        return {address for (address,) in self._find(_UNREPORTED)}

    def _find(self, sql: str) -> Sequence[Sequence[str]]:
        return self.ask(Template(sql).substitute(self.names))

    def _is_served(self) -> bool:
        return self.lock.exists() and is_locked(self.lock)


@contextmanager
def a_file(home: Path) -> Iterator[Queue]:
    path = home / "queue.db"

    def ask(sql: str) -> list[list[str]]:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            return [[str(each) for each in row] for row in db.execute(sql)]

    yield Queue({}, lock_file(f"sqlite:{path}"), ask, _OF_A_FILE)


@contextmanager
def a_database(home: Path) -> Iterator[Queue]:
    name = f"proof_{next(_NAMES)}"
    server, folder = _server(), home / "state"
    folder.mkdir()
    server.run(f"CREATE DATABASE {name} TEMPLATE template0")
    url = server.url(name)
    settings = {
        "store": url,
        "store_more": f'folder = "{folder}"',
    }

    def ask(sql: str) -> list[list[str]]:
        return [line.split("|") for line in server.run(sql, name).splitlines()]

    try:
        yield Queue(settings, lock_file(url, str(folder)), ask, _OF_A_SERVER)
    finally:
        server.run(f"DROP DATABASE {name} WITH (FORCE)")


@cache
def _server() -> Server:
    """Return the server of this process."""
    began = Server(_CONNECTIONS)
    atexit.register(began.close)
    return began
