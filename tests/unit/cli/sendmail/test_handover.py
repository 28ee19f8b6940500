"""Which endpoint a local program knocks at, and what a refusal means to its caller."""

import os
from pathlib import Path

import pytest

from relayd.cli.sendmail.handover import NotQueued, find_endpoint, status_of
from relayd.config.peek import DEFAULT_SETTINGS, LOCAL_SOCKET
from relayd.mail.reply import Stage, make_reply

DOORS = {
    "none written": ("", ("127.0.0.1", 2525)),
    "defaults": ("[[listen]]", ("127.0.0.1", 2525)),
    "first unix socket": (
        '[[listen]]\n[[listen]]\naddress = "unix:/a"\n[[listen]]\naddress = "unix:/b"',
        "/a",
    ),
    "first loopback address": (
        '[[listen]]\naddress = "192.0.2.1:25"\n[[listen]]\naddress = "[::1]:26"\n[[listen]]',
        ("::1", 26),
    ),
    "a wildcard": ('[[listen]]\naddress = "0.0.0.0:25"', ("127.0.0.1", 25)),
    "localhost": ('[[listen]]\naddress = "localhost:25"', ("localhost", 25)),
    "not with a login": ('[[listen]]\nauth = "required"', LOCAL_SOCKET),
    "not with a handshake": (
        '[[listen]]\ntls = "implicit"\n[[listen]]\naddress = "127.0.0.1:26"\ntls = "starttls"',
        ("127.0.0.1", 26),
    ),
    "not behind a proxy": (
        '[[listen]]\nproxy_networks = ["127.0.0.0/8"]\n[[listen]]\naddress = "127.0.0.1:26"',
        ("127.0.0.1", 26),
    ),
    "systemd alone": ('[[listen]]\naddress = "systemd:smtp"', LOCAL_SOCKET),
    "nonsense": ("listen = [1]", LOCAL_SOCKET),
    "other nonsense": ("listen = 1", LOCAL_SOCKET),
    "no port": ('[[listen]]\naddress = "127.0.0.1"', LOCAL_SOCKET),
}


@pytest.mark.parametrize(("toml", "endpoint"), DOORS.values(), ids=DOORS)
def test_the_endpoint_is_found(toml: str, endpoint: object, tmp_path: Path) -> None:
    file = tmp_path / "relayd.toml"
    file.write_text(toml)
    assert find_endpoint(str(file)) == endpoint


@pytest.mark.skipif(Path(DEFAULT_SETTINGS).exists(), reason="this machine has a relay")
def test_who_cannot_read_the_settings_knocks_at_the_default_socket() -> None:
    assert find_endpoint(None) == LOCAL_SOCKET


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "No such file or directory", id="missing"),
        pytest.param(b"fqdn = hunter2", "not valid TOML", id="no-toml"),
        pytest.param(b"\xff", "not valid TOML", id="no-utf-8"),
    ],
)
def test_a_file_that_somebody_named_must_be_readable(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    """Nothing of what is in it is shown."""
    file = tmp_path / "relayd.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NotQueued) as caught:
        find_endpoint(str(file))
    assert caught.value.status == os.EX_TEMPFAIL
    assert str(caught.value) == f"{file} cannot be read: {reason}"


@pytest.mark.parametrize(
    ("reply", "stage", "status"),
    [
        ("421 4.3.2 stopping", Stage.GREETING, os.EX_TEMPFAIL),
        ("554 5.5.0 no", Stage.GREETING, os.EX_UNAVAILABLE),
        ("501 5.1.7 syntax", Stage.MAIL, os.EX_DATAERR),
        ("552 5.3.4 too big", Stage.MAIL, os.EX_DATAERR),
        ("452 4.5.3 too many", Stage.RCPT, os.EX_TEMPFAIL),
        ("550 5.1.1 no such user", Stage.RCPT, os.EX_NOUSER),
        ("550 5.7.1 no relaying", Stage.RCPT, os.EX_UNAVAILABLE),
        ("550 5.6.0 bare LF", Stage.DOT, os.EX_DATAERR),
        ("452 4.3.1 no room", Stage.DOT, os.EX_TEMPFAIL),
        ("554 no", Stage.DOT, os.EX_UNAVAILABLE),
        ("250 ok?", Stage.DATA, os.EX_TEMPFAIL),
    ],
)
def test_a_refusal_has_its_exit_status(reply: str, stage: Stage, status: int) -> None:
    code, _, text = reply.partition(" ")
    assert status_of(make_reply(int(code), (text,)), stage) == status
