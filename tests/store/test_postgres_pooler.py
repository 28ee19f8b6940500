"""PgBouncer between relayd and its server: it is noticed before any mail is taken (F-50)."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relayd.errors import StoreUnavailable
from relayd.mail.ids import WorkerIdentity
from relayd.ports.membership import Cluster
from relayd.store import migrate, open_store
from relayd.worker.system import SystemClock
from tests.support import postgres
from tests.support.postgres import PROGRAMS, _as_another_user, needs_postgres

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
pytestmark = [
    needs_postgres,
    pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed"),
]
_IGNORED = (
    "synchronous_commit,lock_timeout,idle_in_transaction_session_timeout,enable_seqscan,enable_hashjoin,"
    "enable_mergejoin,jit,plan_cache_mode,max_parallel_workers_per_gather,"
    "tcp_keepalives_idle,tcp_keepalives_interval,tcp_keepalives_count,tcp_user_timeout"
)


@contextmanager
def pgbouncer(mode: str, ignored: str) -> Iterator[str]:
    """Run one in front of the server of this process, and give the URL of a database of ours behind it."""
    server = postgres.server()
    folder = server.folder / "pooler"
    folder.mkdir()
    if _as_another_user():
        shutil.chown(folder, postgres._user())
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={server.folder} port={server.port} user=relayd\n"
        f"[pgbouncer]\nlisten_port = 6432\nunix_socket_dir = {folder}\nauth_type = any\n"
        f"pool_mode = {mode}\nignore_startup_parameters = {ignored}\n"
    )
    process = subprocess.Popen(
        [*_as_another_user(), str(PGBOUNCER), "-q", str(settings)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while not _is_ready(folder):
            assert process.poll() is None, "it ended"
            assert time.monotonic() < deadline, "it does not begin"
        yield f"postgresql://relayd@/postgres?host={folder}&port=6432"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder)


def _is_ready(folder: Path) -> bool:
    assert PROGRAMS is not None
    asked = [str(PROGRAMS / "pg_isready"), "-q", "-h", str(folder), "-p", "6432"]
    return subprocess.run(asked, check=False).returncode == 0


async def register(url: str) -> None:
    store = open_store(url, clock=SystemClock(), slots={}, cluster=Cluster())
    try:
        await store.register(WorkerIdentity(node="one", boot="one", name="1"))
    finally:
        await store.close()


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_pooler_that_leaves_out_the_settings_of_a_session(mode: str) -> None:
    """One that is told to pass over what it does not know; the commit would wait for no disk if the server's default says so."""
    words = "a pooler is in between, which does not pass on the settings of a session: name the server itself"
    with pgbouncer(mode, _IGNORED) as url:
        for use in (lambda: asyncio.run(register(url)), lambda: migrate(url)):
            with pytest.raises(StoreUnavailable) as refused:
                use()
            assert str(refused.value) == words


def test_a_pooler_as_it_is_installed() -> None:
    with pgbouncer("transaction", "extra_float_digits") as url:
        with pytest.raises(StoreUnavailable) as refused:
            asyncio.run(register(url))
        assert str(refused.value).startswith(
            "the database cannot be used: unsupported startup parameter: "
        )
        assert str(refused.value).endswith(
            "; is a pooler in between? name the server itself in store.url"
        )
