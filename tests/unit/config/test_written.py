"""Root does not serve among the files of another user: what it makes there that user could not use."""

import os
from pathlib import Path

import pytest

from relayd.cli.command import run
from relayd.config.load import from_mapping
from relayd.config.written import refuse_root, written_files
from relayd.errors import StartError
from relayd.settings import Settings
from tests.support.other_users import DAEMON, needs_root

FILES = [
    "state",
    "state/queue.db",
    "state/queue.db-wal",
    "state/queue.db.content",
    "state/queue.db.lock",
    "log",
    "log/status.log",
]


def settings(folder: Path, log: str = "") -> Settings:
    return from_mapping(
        {
            "fqdn": "relay.example.org",
            "store": {"url": f"sqlite:{folder}/state/queue.db"},
            "status_log": {"path": log or f"{folder}/log/status.log"},
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / name
        if "." in name and not name.endswith(".content"):
            path.touch()
        else:
            path.mkdir()
    return tmp_path


@needs_root
@pytest.mark.parametrize("name", FILES)
def test_root_refuses_among_files_of_another_user(folder: Path, name: str) -> None:
    refuse_root(settings(folder))
    os.chown(folder / name, DAEMON.uid, DAEMON.groups[0])
    with pytest.raises(
        StartError, match=rf"{name} belongs to uid .*systemctl start relayd.*--as-root"
    ):
        refuse_root(settings(folder))


def test_what_is_not_there_is_nobodys(tmp_path: Path) -> None:
    assert list(written_files(settings(tmp_path))) == []


@pytest.mark.parametrize("log", ["-", "/dev/null"])
def test_a_log_that_is_no_file_is_nobodys(tmp_path: Path, log: str) -> None:
    assert list(written_files(settings(tmp_path, log))) == []


@needs_root
@pytest.mark.parametrize("more", [(), ("--as-root",)])
def test_serve_asks_first(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
) -> None:
    """Nothing is touched: the lock of the queue is a folder here, so that who goes on fails at once."""
    (folder / "state/queue.db.lock").unlink()
    (folder / "state/queue.db.lock").mkdir()
    os.chown(folder / "state/queue.db", DAEMON.uid, DAEMON.groups[0])
    file = folder / "relayd.toml"
    file.write_text(
        f'fqdn = "relay.example.org"\n[store]\nurl = "sqlite:{folder}/state/queue.db"\n'
        f'[status_log]\npath = "{folder}/log/status.log"\n'
    )
    umask = os.umask(0o022)
    try:
        status = run(["-c", str(file), "serve", *more])
    finally:
        os.umask(umask)
    error = capsys.readouterr().err
    assert status == os.EX_OSERR
    assert ("belongs to" in error) != bool(more)
    assert ("queue's lock" in error) == bool(more)
