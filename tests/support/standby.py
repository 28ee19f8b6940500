"""A server of PostgreSQL with a standby that follows it, and what becomes of the two in a failover."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.support.postgres import Server

_FOLLOWS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state {}"
_IS_BEHIND = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn IS NULL OR replay_lsn < pg_current_wal_lsn()"
_KEPT = ("wal_keep_size", "64MB")  # of the log, for who follows, and for pg_rewind
_WITHIN = 30.0  # seconds


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WITHIN
    while not is_so():
        assert time.monotonic() < deadline, "the servers do not come that far"


class Standby(Server):
    """A server that begins as a copy of another one, and follows it."""

    def __init__(self, primary: Server) -> None:
        self._primary = primary
        super().__init__()

    def make(self) -> None:
        copy(self._primary, self)


def copy(primary: Server, to: Server) -> None:
    """Make a server's files anew, from those of the primary that it is to follow."""
    shutil.rmtree(to.data, ignore_errors=True)
    where = ("-h", str(primary.folder), "-U", "relayd")
    to.call("pg_basebackup", *where, "-D", str(to.data), "-X", "stream", "-c", "fast", "-N")
    _follow(primary, to)


def _follow(primary: Server, standby: Server) -> None:
    """Have a server that is down follow the other one from its start on."""
    told = {"primary_conninfo": f"host={primary.folder} user=relayd", **dict([_KEPT])}
    lines = "".join(f"{name} = '{value}'\n" for name, value in told.items())
    (standby.data / "postgresql.auto.conf").write_text(lines)
    (standby.data / "standby.signal").touch()


class Pair:
    """A primary and its standby."""

    def __init__(self, *, is_synchronous: bool) -> None:
        self.primary = Server()
        self.primary.set(*_KEPT)
        self.standby: Server = Standby(self.primary)
        self._is_synchronous = is_synchronous
        self.url = f"postgresql://relayd@/postgres?host={self.standby.folder},{self.primary.folder}"
        self.join()

    def join(self) -> None:
        """Wait until the standby has all that the primary has; let commits wait for it, if they are to."""
        self._wait_for_standby("IS NOT NULL")
        if self._is_synchronous:
            self.primary.set("synchronous_standby_names", "*")
            self._wait_for_standby("= 'sync'")
        wait_until(lambda: self._count(_IS_BEHIND) == 0)

    def part(self) -> None:
        """Have the standby follow nobody."""
        self.standby.set("primary_conninfo", "")
        wait_until(lambda: self._count(_FOLLOWS.format("IS NOT NULL")) == 0)

    def fail_over(self) -> None:
        """Stop the primary at once; the standby takes its place, and commits wait for nobody."""
        self.primary.kill()
        self.promote()

    def promote(self) -> None:
        self.standby.run("SELECT pg_promote()")
        self.primary, self.standby = self.standby, self.primary

    def rebuild(self) -> bool:
        """Have the old primary, which is down, follow the new one; tell whether its files could be rewound."""
        is_rewound = True
        try:
            source = f"host={self.primary.folder} user=relayd dbname=postgres"
            self.primary.run("CHECKPOINT")  # the new timeline is in its control file
            self.standby.call(
                "pg_rewind", "-N", "-D", str(self.standby.data), "--source-server", source
            )
            _follow(self.primary, self.standby)
        except subprocess.CalledProcessError:
            is_rewound = False
            copy(self.primary, self.standby)
        self.standby.start()
        return is_rewound

    def close(self) -> None:
        for server in (self.standby, self.primary):
            with suppress(ProcessLookupError):
                server.close()

    def _wait_for_standby(self, state: str) -> None:
        wait_until(lambda: self._count(_FOLLOWS.format(state)) == 1)

    def _count(self, sql: str) -> int:
        return int(self.primary.run(sql))


@contextmanager
def a_pair(*, is_synchronous: bool = True) -> Iterator[Pair]:
    pair = Pair(is_synchronous=is_synchronous)
    try:
        yield pair
    finally:
        pair.close()
