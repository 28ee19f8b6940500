"""Store URLs are read in one place, and reading one imports no engine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from relayd.errors import NotAFile
from relayd.store import file_for
from relayd.store.url import (
    check_url,
    is_file,
    is_missing,
    is_plain,
    lock_file,
    name_of,
    queue_file,
    shown,
    state_folder,
)

ROOT = Path(__file__).parents[3]
PARSED = re.compile(r"""["'](sqlite|postgresql|postgres):?["']""")


def test_a_url_names_a_file() -> None:
    assert queue_file(check_url("sqlite:/a/queue.db")) == Path("/a/queue.db")
    assert is_file("sqlite:/a/queue.db")
    assert not is_file("postgresql://a/b")


@pytest.mark.parametrize(
    "url", ["sqlite:", "sqlite:queue.db", "sqlite://a/queue.db", "sqlite:/a/", "/a/queue.db", ""]
)
def test_what_is_no_absolute_path_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        check_url(url)
    assert not is_plain(url)


SERVER = "postgresql://relayd@db.example.org/mail"


def test_a_url_names_a_server() -> None:
    assert check_url(SERVER) == SERVER
    assert is_plain(SERVER)
    assert not is_missing(SERVER)
    assert name_of(SERVER) == SERVER
    assert name_of("sqlite:/a/queue.db") == "/a/queue.db"
    assert shown(f"{SERVER}?password_file=/a") == SERVER
    assert shown("sqlite:/a/queue.db") == "sqlite:/a/queue.db"


def test_settings_do_not_say_in_a_url_where_the_password_is() -> None:
    with pytest.raises(ValueError, match=r"name that in store\.password_file"):
        check_url(f"{SERVER}?password_file=/a")


def test_what_a_machine_keeps_beside_the_queue() -> None:
    """Only a queue that is a file has a place of its own."""
    assert state_folder("sqlite:/a/queue.db") == Path("/a")
    assert lock_file("sqlite:/a/queue.db", "/a") == Path("/a/queue.db.lock")
    assert state_folder(SERVER) == Path("/var/lib/relayd")
    assert state_folder(SERVER, "/srv") == Path("/srv")
    assert lock_file(SERVER, "/srv") == Path("/srv/relayd.lock")


@pytest.mark.parametrize("command", ["backup", "restore", "move", "store compact"])
def test_a_command_for_files_says_what_to_do_with_a_server(command: str) -> None:
    assert file_for(command, "sqlite:/a/queue.db") == "/a/queue.db"
    with pytest.raises(NotAFile, match=f"^{command} is for a queue that is a file, not for post"):
        file_for(command, SERVER)


def test_a_file_is_missing_only_when_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert is_missing(f"sqlite:{tmp_path}/queue.db")
    assert not is_missing(f"sqlite:{tmp_path}/file")
    assert not is_missing(f"sqlite:{tmp_path}/file/queue.db")


def test_nobody_else_reads_store_urls() -> None:
    """Texts may name one in full; what takes one apart is in `relayd/store/`."""
    assert PARSED.search('url.removeprefix("sqlite:")')
    assert PARSED.search("scheme == 'sqlite'")
    assert not PARSED.search('url = "sqlite:/var/lib/relayd/queue.db"')
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "relayd").rglob("*.py")
        if PARSED.search(path.read_text(encoding="utf-8"))
    ]
    assert {path.split("/")[1] for path in found} == {"store"}


def test_reading_a_url_imports_no_engine() -> None:
    code = "import sys, relayd.store.url; print(bool({'apsw', 'asyncpg'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
