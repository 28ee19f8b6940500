import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import relayd
from relayd.cli.command import run
from tests.support.certificates import Authority
from tests.support.cli_world import World
from tests.support.other_users import DAEMON, a_folder_for_all, needs_root


def test_check_sums_up(world: World) -> None:
    ran = world.run("check")
    assert (ran.status, ran.err) == (0, "")
    standing, first, *summary = ran.out.splitlines()
    version = f"version: {relayd.__version__}"
    assert standing == f"mode: smarthost, redirect: none, daemon: stopped, {version}"
    assert first == f"settings OK: {world.settings}"
    assert [line.split()[0] for line in summary] == [
        "fqdn",
        "listeners",
        "smarthost",
        "store",
        "workers",
        "rules",
    ]
    assert "relay.example.org" in summary[0]


def test_check_names_the_checker_of_content(world: World) -> None:
    with world.settings.open("a") as file:
        file.write('[content]\nspamd = "127.0.0.1:783"\n')
    assert world.run("check").out.splitlines()[-1] == "  content    spamd at 127.0.0.1:783"


def test_check_as_json(world: World) -> None:
    (row,) = world.run("check", "--json").rows
    assert row["ok"] is True
    assert row["fqdn"] == "relay.example.org"
    assert (row["mode"], row["daemon"], row["version"]) == (
        "smarthost",
        "stopped",
        relayd.__version__,
    )
    assert "redirect" not in row


def test_check_lists_every_mistake(world: World) -> None:
    world.settings.write_text('fqdn = "relay.example.org"\nfrob = 1\n[limits]\nrecipients = "x"\n')
    ran = world.run("check")
    [line] = ran.out.splitlines()
    assert (ran.status, line[:37]) == (os.EX_CONFIG, "settings: wrong, daemon: stopped, ver")
    assert len(ran.err.splitlines()) == 2
    assert "Traceback" not in ran.err
    rows = world.run("check", "--json")
    assert rows.status == os.EX_CONFIG
    assert {row["key"] for row in rows.rows} == {"frob", "limits.recipients"}
    assert all(row["file"] == str(world.settings) and row["expected"] for row in rows.rows)


def test_serve_refuses_what_check_refuses(world: World) -> None:
    world.settings.write_text("frob = 1\n")
    checked, served = world.run("check"), world.run("serve")
    assert (served.status, served.err) == (checked.status, checked.err)
    assert served.status == os.EX_CONFIG


def test_check_begins_with_direct_mode_and_the_redirect(world: World) -> None:
    with world.settings.open("a") as file:
        file.write('[redirect]\nto = "qa@example.org"\n')
    text = world.settings.read_text()
    world.settings.write_text(f"use_remote_smtp = true\n{text}")
    first, *_ = world.run("check").out.splitlines()
    assert first.startswith("mode: direct, redirect: qa@example.org, daemon: stopped")


@pytest.fixture
def owned() -> Iterator[Path]:
    """Settings with a certificate, and the folder of a queue that belongs to another user."""
    with a_folder_for_all() as folder:
        pair = Authority(folder).write_pair(folder, "relay.example.org")
        for name in ("state", "log", "run"):
            (folder / name).mkdir()
            os.chown(folder / name, DAEMON.uid, DAEMON.groups[0])
        (folder / "relayd.toml").write_text(
            'fqdn = "relay.example.org"\n'
            f'[store]\nurl = "sqlite:{folder}/state/queue.db"\n'
            f'[control]\nsocket = "{folder}/run/control.sock"\n'
            f'[status_log]\npath = "{folder}/log/status.log"\n'
            f'[tls]\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"\n'
        )
        (folder / "relayd.toml").chmod(0o640)
        for name in ("relayd.toml", "key.pem"):
            os.chown(folder / name, 0, DAEMON.groups[0])
        (folder / "key.pem").chmod(0o640)
        yield folder


def check(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    status = run(["-c", str(folder / "relayd.toml"), "check"])
    return status, capsys.readouterr().err


@needs_root
def test_root_checks_as_the_user_of_the_queue(
    owned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(owned, capsys) == (os.EX_OK, "")
    (owned / "key.pem").chmod(0o600)
    status, error = check(owned, capsys)
    assert status == os.EX_CONFIG
    [line] = error.splitlines()
    assert "tls.key" in line
    assert f"(as uid {DAEMON.uid}, who runs relayd)" in line
    os.chown(owned / "key.pem", DAEMON.uid, 0)
    assert check(owned, capsys) == (os.EX_OK, "")


@needs_root
@pytest.mark.parametrize(
    ("name", "key"),
    [("log/status.log", "status_log.path"), ("state/queue.db", "store.url")],
)
def test_root_checks_what_root_has_left_behind(
    owned: Path, capsys: pytest.CaptureFixture[str], name: str, key: str
) -> None:
    """As `relayd serve` did once as root."""
    (owned / "state/queue.db").touch()
    os.chown(owned / "state/queue.db", DAEMON.uid, DAEMON.groups[0])
    assert check(owned, capsys) == (os.EX_OK, "")
    left = owned / (f"{name}-wal" if key == "store.url" else name)
    left.touch(0o640)
    status, error = check(owned, capsys)
    assert status == os.EX_CONFIG
    assert f"{key}: {left} cannot be written; run chown uid {DAEMON.uid} {left}" in error


@needs_root
def test_settings_that_the_daemon_cannot_read(
    owned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (owned / "relayd.toml").chmod(0o600)
    status, error = check(owned, capsys)
    assert status == os.EX_CONFIG
    assert "relayd.toml: the settings cannot be read (as uid " in error


@needs_root
def test_doctor_finds_it_as_well(owned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (owned / "key.pem").chmod(0o600)
    capsys.readouterr()
    status = run(["-c", str(owned / "relayd.toml"), "doctor", "--quick", "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert status == 1
    assert rows[0]["check"] == "daemon"
    [found] = [row for row in rows if row["subject"] == "tls.key"]
    assert (found["check"], found["level"]) == ("files", "fail")


@needs_root
def test_what_the_unit_hands_over_need_not_be_readable(
    owned: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """LoadCredential=: systemd reads the file as root and gives the daemon a copy."""
    (owned / "password").touch(0o600)
    (owned / "password").write_text("secret\n")
    with (owned / "relayd.toml").open("a") as file:
        file.write('[smarthost]\nusername = "app"\npassword_file = "password"\n')
    (owned / "systemctl").write_text(
        f'#!/bin/sh\necho "LoadCredential=password:{owned}/password"\n'
    )
    (owned / "systemctl").chmod(0o755)
    status, error = check(owned, capsys)
    assert status == os.EX_CONFIG
    assert "smarthost.password_file" in error
    monkeypatch.setenv("PATH", f"{owned}:{os.environ['PATH']}")
    assert check(owned, capsys) == (os.EX_OK, "")
