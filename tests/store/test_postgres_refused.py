"""What a worker, a migration and the doctor say of a server or a database that no mail is trusted to (F-42, F-49).

Each is one line that says what to do, and comes before any mail is taken.
"""

import asyncio
import os
import re
import secrets
import shutil
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relayd.errors import SchemaMismatch, StoreFull, StoreUnavailable
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerIdentity
from relayd.ports.membership import Cluster
from relayd.store import examine_server, migrate, open_store
from relayd.store.postgres.startup import why_not
from relayd.store.postgres.troubles import in_words
from relayd.store.postgres_url import with_password_file
from relayd.worker.system import SystemClock
from tests.support.builders import a_message
from tests.support.certificates import Authority
from tests.support.cli_world import World, make_world
from tests.support.disks import a_small_disk
from tests.support.postgres import Server, _user, needs_postgres
from tests.support.stores import LEASE

HOST = f"127.77.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"  # this process's own
_TLS = f"?sslmode=verify-full&host={HOST}"
_PLAIN = f"?sslmode=disable&host={HOST}"
_DATABASE = "CREATE DATABASE mail TEMPLATE made"
_POOR = f"{_DATABASE}; CREATE ROLE poor LOGIN"
_ALL = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO poor; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO poor"

# SQL as the superuser, SQL in the database, who asks, parameters of the URL, what is said.
ROWS: dict[str, tuple[str, str, str, str, str]] = {
    "no such database": ("", "", "relayd", "", r'database "mail" does not exist; create it'),
    "no such role": (_DATABASE, "", "nobody1", "", r'role "nobody1" does not exist; see the roles'),
    "no such host": (_DATABASE, "", "relayd", "?host=no.invalid", r"its host is not found: .*DNS"),
    "nobody listens": (
        _DATABASE,
        "",
        "relayd",
        f"{_PLAIN}&port=1",
        rf"Connection refused by {HOST} port 1; does it run",
    ),
    "no such socket": (
        _DATABASE,
        "",
        "relayd",
        "?host=/nowhere",
        r"no such socket; does it run, with its socket in that folder",
    ),
    "a certificate of nobody": (
        _DATABASE,
        "",
        "relayd",
        _TLS,
        r"certificate does not prove its name: .*; name the authority .* with sslrootcert",
    ),
    "not let in": (
        f"{_DATABASE}; CREATE ROLE stranger LOGIN",
        "",
        "stranger",
        _PLAIN,
        r"no pg_hba.conf entry for host .*; see the roles of the server",
    ),
    "no password": (
        f"{_DATABASE}; CREATE ROLE poor LOGIN PASSWORD 'right'",
        "",
        "poor",
        _PLAIN,
        r"password authentication failed for user .*; store.password_file has another password",
    ),
    "may not connect": (
        f"{_POOR}; REVOKE CONNECT ON DATABASE mail FROM PUBLIC",
        "",
        "poor",
        "",
        r'permission denied for database "mail"; grant that to the role of store.url',
    ),
    "no rights at all": (
        _POOR,
        "",
        "poor",
        "",
        r"permission denied for table schema_step; grant that to the role of store.url",
    ),
    "may not use the schema": (
        _POOR,
        f"{_ALL}; REVOKE USAGE ON SCHEMA public FROM PUBLIC",
        "poor",
        "",
        r"no schema has been selected to create in; grant USAGE on the schema of the tables",
    ),
    "may not insert": (
        _POOR,
        f"{_ALL}; REVOKE INSERT, DELETE ON queue FROM poor",
        "poor",
        "",
        r"the role poor lacks DELETE on queue, INSERT on queue: grant that",
    ),
    "may not make weeks": (
        _POOR,
        f"{_ALL}; REVOKE EXECUTE ON FUNCTION make_week FROM poor",
        "poor",
        "",
        r"the role poor lacks EXECUTE on make_week: grant that",
    ),
    "no tables, and may make none": (
        "CREATE DATABASE mail; CREATE ROLE poor LOGIN",
        "",
        "poor",
        "",
        r"step 0001_start of the schema is missing, .*: run relayd store migrate",
    ),
    "another search path": (
        f"{_POOR}; ALTER ROLE poor SET search_path = nowhere",
        _ALL,
        "poor",
        "",
        r"no schema has been selected to create in; .* have the search_path of the role lead there",
    ),
    "read-only": (
        f"{_POOR}; ALTER ROLE poor SET default_transaction_read_only = on",
        _ALL,
        "poor",
        "",
        r"the server is a standby, or read-only",
    ),
    "too many connections": (
        f"{_POOR}; ALTER ROLE poor CONNECTION LIMIT 0",
        _ALL,
        "poor",
        "",
        r"too many connections for role .*; raise max_connections",
    ),
    "bytes of any kind": (
        "CREATE DATABASE mail ENCODING 'SQL_ASCII' TEMPLATE template0",
        "",
        "relayd",
        "",
        r"the database has the encoding SQL_ASCII: create one with ENCODING 'UTF8'",
    ),
    "letters of Western Europe": (
        "CREATE DATABASE mail ENCODING 'LATIN1' TEMPLATE template0",
        "",
        "relayd",
        "",
        r"the database has the encoding LATIN1: create one with ENCODING 'UTF8'",
    ),
    "a newer relayd was there": (
        _DATABASE,
        "INSERT INTO schema_step (number, name, kind) VALUES (99, 'later', 'contract')",
        "relayd",
        "",
        r"the database has schema 99, this relayd knows up to \d+: install the newer version",
    ),
    "somebody changed the tables": (
        _DATABASE,
        "ALTER TABLE node DROP COLUMN boot",
        "relayd",
        "",
        r'column "boot".* does not exist; has somebody changed the tables',
    ),
}
ONLY_A_WORKER = {"read-only", "somebody changed the tables"}  # others can ask there


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One with TLS, which wants passwords of one role on TCP; it has a database `made` with our tables."""
    pair = Authority(tmp_path_factory.mktemp("authority")).write_pair(
        tmp_path_factory.mktemp("pair"), HOST
    )
    running = Server(f"listen_addresses={HOST}", "log_min_messages=panic")
    for name, path in (("certificate", pair.certificate), ("key", pair.key)):
        copy = running.folder / f"{name}.pem"
        shutil.copy(path, copy)
        copy.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(copy, _user())
    running.set("ssl_cert_file", f"{running.folder}/certificate.pem")
    running.set("ssl_key_file", f"{running.folder}/key.pem")
    running.set("ssl", "on")
    running.let_in("host all poor 127.0.0.0/8 scram-sha-256", "host all relayd 127.0.0.0/8 trust")
    running.run("CREATE DATABASE made")
    migrate(running.url("made"))
    yield running
    running.close()


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return make_world(tmp_path, capsys.readouterr)


@pytest.fixture
def mail(server: Server) -> Iterator[Callable[[str, str, str, str], str]]:
    """Prepare the database `mail`, and give the URL of it."""

    def make(sql: str, inside: str, user: str, parameters: str) -> str:
        for each in filter(None, map(str.strip, sql.split(";"))):
            server.run(each)
        if inside:
            server.run(inside, "mail")
        if not parameters:
            return server.url("mail", user)
        return f"postgresql://{user}@/mail{parameters}"

    yield make
    server.run("DROP DATABASE IF EXISTS mail WITH (FORCE)")
    for role in ("poor", "stranger"):
        server.run(f"DROP ROLE IF EXISTS {role}")


async def registered(url: str, node: str = "one") -> str:
    """Have a worker begin; return why it does not, as one line."""
    store = open_store(url, clock=SystemClock(), slots={}, cluster=Cluster())
    try:
        await store.register(WorkerIdentity(node=node, boot=secrets.token_hex(4), name="1"))
    except (StoreUnavailable, SchemaMismatch) as error:
        return str(error)
    finally:
        await store.close()
    return ""


@needs_postgres
@pytest.mark.parametrize("name", ROWS)
def test_what_a_worker_says(
    mail: Callable[[str, str, str, str], str], world: World, name: str
) -> None:
    sql, inside, user, parameters, words = ROWS[name]
    url = mail(sql, inside, user, parameters)
    said = asyncio.run(registered(url))
    assert re.search(words, said), said
    assert "\n" not in said
    text = world.settings.read_text()
    world.settings.write_text(text.replace(f"sqlite:{world.folder}/queue.db", url))
    world.settings.chmod(0o600)
    for command in (("store", "status"), ("status",)):
        ran = world.run(*command)
        assert ran.status in {os.EX_OK, os.EX_UNAVAILABLE, os.EX_DATAERR}
        assert ran.status == os.EX_OK or len(ran.err.splitlines()) == 1, ran.err
    if name not in ONLY_A_WORKER and "missing" not in words and "no schema" not in words:
        facts = examine_server(url)[0]
        told = facts.problem or facts.lacking
        assert re.search(words, told), told


@needs_postgres
@pytest.mark.parametrize(("setting", "value"), [("full_page_writes", "off"), ("fsync", "off")])
def test_a_server_that_may_lose_mail(setting: str, value: str) -> None:
    """Neither mail nor tables are trusted to it."""
    running = Server(f"{setting}={value}")
    words = f"the server has {setting} = off and may lose mail: set it to on"
    try:
        assert asyncio.run(registered(running.url())) == words
        assert examine_server(running.url())[0].problem == words
        with pytest.raises(StoreUnavailable, match=words):
            migrate(running.url())
        assert running.run("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0\n"
    finally:
        running.close()


GOOD = {"fsync": "on", "full_page_writes": "on", "encoding": "UTF8"}


def test_a_server_that_is_too_old() -> None:
    assert why_not(150_000, "15.0", **GOOD) == ""
    assert (
        why_not(140_013, "14.13 (Debian 14.13-1)", **GOOD)
        == "the server is PostgreSQL 14.13 (Debian 14.13-1): relayd needs 15 or newer"
    )


@needs_postgres
@pytest.mark.parametrize("content", [None, "", "wrong\n"], ids=["missing", "empty", "wrong"])
def test_a_password_that_does_not_fit(
    mail: Callable[[str, str, str, str], str], tmp_path: Path, content: str | None
) -> None:
    """It is in no line that is said."""
    url = mail(f"{_POOR} PASSWORD 'right one'", _ALL, "poor", _PLAIN)
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
        file.chmod(0o600)
    said = asyncio.run(registered(with_password_file(url, str(file))))
    assert re.search(r"store\.password_file", said), said
    assert "wrong" not in said
    file.write_text("right one\n")
    file.chmod(0o600)
    assert asyncio.run(registered(with_password_file(url, str(file)))) == ""


@needs_postgres
def test_a_server_without_tls(mail: Callable[[str, str, str, str], str], server: Server) -> None:
    url = mail(_DATABASE, "", "relayd", _TLS)
    server.set("ssl", "off")
    try:
        said = asyncio.run(registered(url))
    finally:
        server.set("ssl", "on")
    assert said.endswith("it offers no TLS; switch ssl on in its settings, with a certificate")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(101, "Connect call failed ('192.0.2.1', 5432)"),
            "Network is unreachable by 192.0.2.1 port 5432",
        ),
        (ssl.SSLError(1, "[SSL: TLSV1_ALERT] tlsv1 alert (_ssl.c:1)"), "no TLS with it: "),
        (OSError("Multiple exceptions: [Errno 111]"), "Multiple exceptions: [Errno 111]"),
        (ValueError(), "ValueError"),
    ],
)
def test_what_else_may_be_in_the_way(error: Exception, words: str) -> None:
    assert in_words(error).startswith(f"the database cannot be used: {words}")


@pytest.fixture
def disk(server: Server) -> Iterator[Path]:
    """A small file system that the server may write."""
    with a_small_disk(server.folder, 32 * 2**20) as folder:
        yield folder


def _large() -> NewMessage:
    return a_message("a@x.test", content=b"x" * 100_000, at=SystemClock().now())


@needs_postgres
async def test_a_disk_of_the_server_that_is_full(disk: Path, server: Server) -> None:
    """What does not fit is not there, and goes in when there is room."""
    data = disk / "data"
    data.mkdir()
    shutil.chown(data, _user())
    server.run(f"CREATE TABLESPACE small LOCATION '{data}'")
    server.run("CREATE DATABASE mail TEMPLATE made TABLESPACE small")
    store = open_store(server.url("mail"), clock=SystemClock(), slots={}, cluster=Cluster())
    registration = await store.register(WorkerIdentity(node="one", boot="one", name="1"))
    filler = disk / "filler"
    try:
        with filler.open("wb", buffering=0) as out:
            try:
                while out.write(b"\0" * 4096):
                    pass
            except OSError:
                pass
        message, refused = _large(), ""
        while not refused:
            try:
                await store.enqueue(message, worker=registration.number, lease_for=LEASE)
            except StoreFull as error:
                refused = str(error)
            else:
                message = _large()
        assert refused == "no room left on the disk of the database"
        assert await store.content(message.id) is None
        filler.unlink()
        [work] = await store.enqueue(message, worker=registration.number, lease_for=LEASE)
        assert work.message.id == message.id
    finally:
        await store.close()
        server.run("DROP DATABASE mail WITH (FORCE)")
        server.run("DROP TABLESPACE small")
