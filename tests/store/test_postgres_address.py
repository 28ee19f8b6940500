"""Where the lines of the store on PostgreSQL lead, and that the server is known to be away."""

import ssl
from pathlib import Path

import pytest

from relayd.errors import StoreUnavailable
from relayd.store.postgres.address import arguments
from relayd.store.postgres.line import READS, WRITES, Line, Session
from relayd.store.postgres.reach import Reach
from tests.support import postgres
from tests.support.postgres import needs_postgres

SERVER = "postgresql://relayd@a.test,b.test:6000/mail"


def test_the_library_is_told_all_that_counts(tmp_path: Path) -> None:
    """Nothing is left to variables and files of other programs: TLS and password above all."""
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    secret.chmod(0o600)
    ways = arguments(f"{SERVER}?password_file={secret}", writes=True)
    for told in ways:
        context = told.pop("ssl")
        assert isinstance(context, ssl.SSLContext)
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED
    same = {
        "user": "relayd",
        "database": "mail",
        "password": "hunter2",
        "target_session_attrs": "read-write",
    }
    assert ways == [
        {"host": "a.test", "port": 5432, **same},
        {"host": "b.test", "port": 6000, **same},
    ]
    [told] = arguments("postgresql:///mail", writes=False)
    assert (told["ssl"], told["password"], told["user"]) == (False, "", None)
    assert told["target_session_attrs"] == "any"  # a standby answers questions


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("password_file=/nowhere", "store.password_file: there is no such file"),
        ("sslrootcert=/nowhere", "sslrootcert of store.url cannot be read: No such file"),
    ],
)
def test_files_that_cannot_be_read_are_named(parameter: str, words: str) -> None:
    with pytest.raises(StoreUnavailable, match=words):
        arguments(f"{SERVER}?{parameter}", writes=True)


async def one(db: Session) -> int:
    return int(await db.value("SELECT 1"))


async def test_a_server_that_is_away_is_known_to_all_lines(tmp_path: Path) -> None:
    """What MAIL asks, which submits nothing itself: another line finds out."""
    reach = Reach()
    line = Line(f"postgresql://relayd@/mail?host={tmp_path}", "relayd/test", WRITES, reach=reach)
    reach.expect()
    with pytest.raises(StoreUnavailable, match="the database cannot be used"):
        await line.submit(one)
    with pytest.raises(StoreUnavailable, match="the database cannot be used"):
        reach.expect()
    await line.close()


@needs_postgres
async def test_a_server_that_is_back_is_known_to_all_lines() -> None:
    reach = Reach()
    reach.missed("no route to host")
    line = Line(postgres.server().url(), "relayd/test", READS, reach=reach)
    assert await line.submit(one) == 1
    reach.expect()
    reach.missed("too many connections")  # for another line, which is not asked again
    assert await line.submit(one) == 1
    reach.expect()
    await line.close()
