"""A PostgreSQL server for one test process, in a temporary folder, gone when the process is.

It is started when first asked for. As root it runs as another user, since PostgreSQL refuses root.
Commits are synced as in earnest: the speed of the suite is no reason to test another server.
"""

import asyncio
import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from relayd.errors import StoreError
from relayd.store import migrate
from relayd.store.postgres import partitions
from relayd.store.postgres.line import WRITES, Line, Session, ask_once
from relayd.store.values import to_ms
from tests.support.clock import START

_DEBIAN = "/usr/lib/postgresql/*/bin/postgres"
_SETTINGS = (
    "listen_addresses=",
    "shared_buffers=16MB",
    "max_connections=60",
    "autovacuum=off",
    "log_min_messages=panic",
)

_NUMBERS = count()
_INIT = ("-k", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")


def _programs() -> Path | None:
    """Return the folder of the server's programs, of the newest version that is installed."""
    found = sorted(Path("/").glob(_DEBIAN.lstrip("/")), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    there = shutil.which("postgres")
    return None if there is None else Path(there).resolve().parent


PROGRAMS = _programs()
needs_postgres = pytest.mark.skipif(PROGRAMS is None, reason="PostgreSQL is not installed")


def _as_another_user() -> list[str]:
    """Return what runs a command as somebody who is not root, if we are."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={_user()}", f"--regid={_user()}", "--clear-groups"]


@cache
def _user() -> str:
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise RuntimeError("no user to run PostgreSQL as")


class Server:
    """A running server."""

    def __init__(
        self,
        *settings: str,
        prefix: Sequence[str] = (),
        port: int = 5432,
        superuser: str = "relayd",
    ) -> None:
        """`prefix` is a command that runs the server somewhere, such as in a network of its own."""
        assert PROGRAMS is not None
        self._superuser = superuser
        self._prefix = prefix
        self.port = port
        self.folder = Path(tempfile.mkdtemp(prefix="relayd-pg-"))
        self.data = self.folder / "data"
        if os.geteuid() == 0:
            shutil.chown(self.folder, _user())
        own = (f"unix_socket_directories={self.folder}", f"port={port}")
        self._settings = (*_SETTINGS, *own, *settings)
        self._process: subprocess.Popen[bytes] | None = None
        self.make()
        self.start()

    def make(self) -> None:
        """Make its files."""
        self.call("initdb", "-D", str(self.data), "-U", self._superuser, *_INIT)

    def call(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL as the user of the server. Raises CalledProcessError."""
        assert PROGRAMS is not None
        subprocess.run(
            [*_as_another_user(), str(PROGRAMS / program), *arguments],
            check=True,
            capture_output=True,
            cwd="/",
        )

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        deadline = time.monotonic() + 30
        self._process = self._started()
        while not self._is_ready():
            if self._process.poll() is not None:  # processes of one that was killed are there yet
                self._process = self._started()
            assert time.monotonic() < deadline, "the server does not begin"

    def _started(self) -> "subprocess.Popen[bytes]":
        assert PROGRAMS is not None
        options = [part for each in self._settings for part in ("-c", each)]
        command = [*_as_another_user(), str(PROGRAMS / "postgres"), "-D", str(self.data), *options]
        if command[0] == "setpriv":
            command.insert(1, "--pdeathsig=QUIT")  # however this process ends
        command = [*self._prefix, *command]
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )

    def _is_ready(self) -> bool:
        assert PROGRAMS is not None
        asked = [str(PROGRAMS / "pg_isready"), "-q", "-h", str(self.folder), "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it at once, as a crash does."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(30)

    def close(self) -> None:
        if self.is_running:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres", user: str = "relayd") -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}&port={self.port}"

    def set(self, name: str, value: str) -> None:
        """Change a setting of the running server."""
        self.run(f"ALTER SYSTEM SET {name} = '{value}'")
        self.run("SELECT pg_reload_conf()")
        while self.run(f"SHOW {name}").strip() != value:
            pass

    def let_in(self, *lines: str) -> None:
        """Replace who is let in, and how (pg_hba.conf); on the socket everybody is."""
        file = self.data / "pg_hba.conf"
        file.write_text("\n".join(["local all all trust", *lines, ""]))
        self.run("SELECT pg_reload_conf()")

    def run(self, sql: str, database: str = "postgres", user: str = "") -> str:
        """Run statements by psql, as the superuser if nobody is named; return what it prints."""
        assert PROGRAMS is not None
        psql = [str(PROGRAMS / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        who = user or self._superuser
        return subprocess.run(
            [*psql, "-h", str(self.folder), "-p", str(self.port), "-U", who, "-d", database],
            input=sql,
            text=True,
            check=True,
            capture_output=True,
        ).stdout


@cache
def server() -> Server:
    """Return the server of this process."""
    began = Server()
    atexit.register(began.close)
    return began


_EMPTY = """
CREATE OR REPLACE PROCEDURE make_empty() LANGUAGE plpgsql AS $$
DECLARE name regclass; found boolean;
BEGIN
    FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        AND NOT relispartition AND relname <> 'schema_step'
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %s)', name) INTO found;
        IF found THEN EXECUTE format('DELETE FROM %s', name); END IF;
    END LOOP;
    FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
    LOOP
        PERFORM setval(name, 1, false);
    END LOOP;
END $$;
"""


async def _prepare(db: Session) -> None:
    """Make weeks for the instants of tests."""
    await _make_weeks(db)
    await db.script(_EMPTY)


async def _make_weeks(db: Session) -> None:
    await partitions.make(db, to_ms(START), behind=2, ahead=10)


async def _clear(db: Session) -> None:
    await db.script("CALL make_empty()")
    await _make_weeks(db)  # a test may have purged some


@cache
def database() -> str:
    """Return the URL of the database that the tests of this process share, one after the other."""
    url = server().url()
    prepare(url)
    return url


def prepare(url: str) -> None:
    """Make the tables in a database."""
    _wait_for(asyncio.to_thread(migrate, url))
    _wait_for(ask_once(url, _prepare))


@cache
def _template() -> str:
    """Return the name of a database with our tables and without rows, that nobody is connected to."""
    server().run("CREATE DATABASE made TEMPLATE template0")
    prepare(server().url("made"))
    return "made"


@contextmanager
def a_database() -> Iterator[str]:
    """A database of its own, for tests that have several queues at a time; gives its URL."""
    name = f"own_{next(_NUMBERS)}"
    server().run(f"CREATE DATABASE {name} TEMPLATE {_template()}")
    try:
        yield server().url(name)
    finally:
        server().run(f"DROP DATABASE {name} WITH (FORCE)")


def empty() -> None:
    """Delete all rows of that database."""
    loop, line = _kept(database())

    async def clear() -> None:
        await line.submit(_clear)

    try:
        _wait_for(clear(), loop)
    except StoreError:  # the test ended the server, or its connections
        _wait_for(ask_once(database(), _clear))


@cache
def _kept(url: str) -> tuple[asyncio.AbstractEventLoop, Line]:
    """Return a line that is kept for that: a new connection knows no table yet, and takes ten times as long.

    Its loop runs only while it is waited for.
    """
    loop, line = asyncio.new_event_loop(), Line(url, "tests", WRITES)

    def close() -> None:
        with suppress(StoreError):
            loop.run_until_complete(line.close())
        loop.close()

    atexit.register(close)
    return loop, line


def _wait_for(
    what: Coroutine[Any, Any, object], loop: asyncio.AbstractEventLoop | None = None
) -> None:
    """Wait for it, on a thread: the test may have an event loop of its own."""
    run = asyncio.run if loop is None else loop.run_until_complete
    with ThreadPoolExecutor(1) as thread:
        thread.submit(run, what).result()
