"""A bundle has what helps, and neither secrets nor addresses, wherever they are planted."""

import asyncio
import base64
import json
import os
import resource
import signal
import stat
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as some

from relayd.cli.support import bundle as bundle_module
from relayd.cli.support import parts
from relayd.cli.support.masking import Mask, secrets_of
from tests.support.builders import a_message
from tests.support.cli_world import World, enqueue, make_world

SECRETS = {
    "password": "correct horse,battery",
    "token": "ya29.a0AfH6SMBx-token",
    "store": "post gres/secret",
    "mistaken": "hunter2hunter2",
    "header": "Bearer-1234567890",
    "url": "urlpassword1",
    "hash": "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
    "pem": "MC4CAQAwBQYDK2VwBCIEIJ1hY2tkZWFkYmVlZg",
    "environment": "from-the-environment-1",
}
ADDRESSES = (
    "kim@customer.example",
    "o'brien+tag@customer.example",
    "b+8sg5t=customer.example@bounces.example",
    "SRS0=abcd=7X=customer.example=kim@srs.example",
    '"john smith"@customer.example',
    "jürgen@müller.example",
    "kim@[192.0.2.1]",
    "root@localhost",
    "j{oh}n|s@customer.example",
    f"{'long' * 70}@customer.example",
    '"a;b\\"c"@customer.example',
    "kim@_odd.example",
)
LOCALS = (
    "kim@",
    "brien",
    "8sg5t",
    "SRS0=",
    "john smith",
    "jürgen",
    "root@",
    "oh}n",
    "longlong",
    "a;b",
)


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return make_world(tmp_path, capsys.readouterr)


@pytest.fixture
def no_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the network; one test has it."""
    monkeypatch.setattr(parts, "_doctor", lambda _: "")


@pytest.fixture
def planted(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Secrets and addresses everywhere: settings, files beside them, environment, both logs, units, doctor."""
    folder = world.folder
    for name, text in {
        "smarthost-password": SECRETS["password"],
        "other-token": SECRETS["token"],
        "users": f"app {SECRETS['hash']} kim@customer.example\n",
        "dkim.pem": f"-----BEGIN PRIVATE KEY-----\n{SECRETS['pem']}\n-----END PRIVATE KEY-----\n",
        "from-env": SECRETS["environment"],
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    world.settings.write_text(
        world.settings.read_text()
        + f"""
[smarthost]
hosts = ["127.0.0.1:1"]
username = "kim@customer.example"
password_file = "smarthost-password"
set_headers = {{ "X-Api-Key" = "{SECRETS["header"]}" }}
[smarthosts.other]
hosts = ["127.0.0.1:1"]
username = "app"
auth = "xoauth2"
token_file = "other-token"
[senders."kim@customer.example"]
smarthost = "other"
[aliases]
root = "kim@customer.example"
[[dkim]]
domain = "customer.example"
selector = "s"
key_file = "dkim.pem"
[auth]
users_file = "users"
"""
    )
    world.log.write_text("".join(f"{line}\n" for line in planted_lines()))
    monkeypatch.setenv("RELAYD_STORE__KEEP_SUBJECT_FILE", str(folder / "false"))
    (folder / "false").write_text("false")
    monkeypatch.setattr(parts, "_said", lambda *_: "\n".join(planted_lines()))
    return world


def planted_lines() -> list[str]:
    lines = []
    for name, secret in SECRETS.items():
        if name == "url":
            continue  # is known by its place alone
        plain = base64.b64encode(f"\0app\0{secret}".encode()).decode()
        lines += [
            f"reply: 535 {secret} refused",
            json.dumps({"reason": secret}),
            f"x?p={quote(secret, safe='')}",
        ]
        lines += [f"AUTH PLAIN {plain}", base64.b64encode(secret.encode()).decode()]
    for address in ADDRESSES:
        lines += [
            f"to=<{address}>",
            json.dumps({"rcpt": address, "reply": f"550 <{address}>: no"}),
            f"for {address}; x",
            f"id%3D{quote(address, safe='')}",
        ]
    return [*lines, "https://user:urlpassword1@api.example/x"]


def texts_of(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as opened:
        return {
            member.name.partition("/")[2]: opened.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in opened.getmembers()
        }


def bundle(world: World) -> tuple[Path, dict[str, str]]:
    folder = world.folder / "out"
    folder.mkdir()
    ran = world.run("support-bundle", str(folder))
    assert ran.status == 0, ran.err
    return Path(ran.out.strip()), texts_of(Path(ran.out.strip()))


def test_nothing_that_was_planted_is_in_it(planted: World) -> None:
    archive, texts = bundle(planted)
    known = {
        name: secret
        for name, secret in SECRETS.items()
        if name in ("password", "token", "hash", "pem", "header", "url")
    }
    for part, text in texts.items():
        for name, secret in known.items():
            assert secret not in text, (part, name)
            assert quote(secret, safe="") not in text, (part, name)
            assert base64.b64encode(secret.encode()).decode().rstrip("=")[:-2] not in text, (
                part,
                name,
            )
        if part != "README.txt":
            for local in LOCALS:
                assert local not in text, (part, local)
    assert "(1)@customer.example" in texts["settings.txt"]
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert "relayd 0" in texts["version.txt"]
    assert 'smarthost.hosts = ["127.0.0.1:1"]' in texts["settings.txt"]
    assert '"check": "smarthost"' in texts["doctor.jsonl"]
    assert "MiB free" in texts["disk.txt"]
    assert "550" in texts["status-log.jsonl"]
    assert "535 ***" in texts["operational-log.txt"]
    assert texts.keys() == {
        *("README.txt", "version.txt", "settings.txt", "doctor.jsonl", "counts.txt"),
        *("disk.txt", "units.txt", "status-log.jsonl", "operational-log.txt"),
    }


@pytest.mark.usefixtures("no_doctor")
def test_it_counts_what_waits(world: World) -> None:
    async def fill() -> None:
        store = world.open_store()
        await enqueue(store, a_message("kim@customer.example", "b@x.test"))
        await store.close()

    asyncio.run(fill())
    _, texts = bundle(world)
    assert "queued: 2" in texts["counts.txt"]


@pytest.mark.usefixtures("no_doctor")
def test_the_last_lines_of_a_long_log(world: World) -> None:
    world.log.write_text("".join(f"line {number}\n" for number in range(1000)))
    _, texts = bundle(world)
    assert texts["status-log.jsonl"].splitlines()[:: parts.LINES - 1] == ["line 800", "line 999"]


def test_wrong_settings_are_told_with_all_else(world: World) -> None:
    """Those who need help most have them; a secret in the wrong place is not shown."""
    world.settings.write_text(
        f'fqdn = "relay"\n[smarthost]\nusername = "app"\npassword_file = "{SECRETS["mistaken"]}"\npassword = "{SECRETS["url"]}"\n'
    )
    world.log.write_text(f"{SECRETS['mistaken']}\n")
    _, texts = bundle(world)
    assert "mistake: " in texts["settings.txt"]
    assert "smarthost.password" in texts["settings.txt"]
    assert "this cannot be told: ConfigError" in texts["doctor.jsonl"]
    assert all(
        secret not in text
        for text in texts.values()
        for secret in (SECRETS["mistaken"], SECRETS["url"])
    )


def test_nothing_at_all_is_told_too(world: World) -> None:
    world.settings.unlink()
    _, texts = bundle(world)
    assert "the settings cannot be read" in texts["settings.txt"]


@pytest.mark.usefixtures("no_doctor")
def test_a_file_that_is_there_is_not_written_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relayd.cli.support.bundle.now", lambda: datetime(2026, 11, 30, tzinfo=UTC))
    archive, _ = bundle(world)
    before = archive.read_bytes()
    ran = world.run("support-bundle", str(archive.parent))
    assert (ran.status, archive.read_bytes()) == (os.EX_IOERR, before)


LOCAL = some.text(alphabet="abcxyz019.+-_=/!#$%&'*?^`~äß", min_size=1, max_size=20)


@given(LOCAL, some.sampled_from([" ", "<", ">", ",", ";", ":", "\t", "(", ")", ""]))
def test_an_address_is_found_in_any_text(local: str, beside: str) -> None:
    masked = Mask().text(f"{beside}{local}@x.example{beside}")
    assert masked == f"{beside}(1)@x.example{beside}"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("kim%2540x.example", "(1)%2540x.example"),
        ("kim=40x.example", "(1)=40x.example"),
        ("kim+40x.example", "(1)+40x.example"),
        ("kim&#64;x.example", "(1)&#64;x.example"),
        (r"kim\u0040x.example", r"(1)\u0040x.example"),
        ("kim\uff20x.example", "(1)\uff20x.example"),
        ("kim@.x.example", "(1)@.x.example"),
        ("size=4096 +4012 a=40b", "size=4096 +4012 a=40b"),
    ],
)
def test_other_spellings_of_an_address(text: str, masked: str) -> None:
    assert Mask().text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://app:SECRET@7@db/x",
        "postgresql://app:se@SECRET7@db/x",
        "https://api.example/x?a=1&token=SECRET7&b=2",
        "https://api.example/x%3Ftoken%3DSECRET7",
        "--password=SECRET7 -x",
        '{"api_key": "SECRET7"}',
        r"{\"client_secret\": \"SECRET7\"}",
        "Authorization: Basic SECRET7",
        "authorization=Bearer SECRET7SECRET7",
        "AUTH=PLAIN SECRET7",
        "Bearer SECRET7SECRET7",
    ],
)
def test_secrets_that_no_file_has_are_known_by_their_place(text: str) -> None:
    assert "SECRET" not in Mask().text(text)


@pytest.mark.usefixtures("no_doctor")
def test_a_secret_that_is_cut_short_is_one(world: World) -> None:
    """As a mistake shows the beginning of a value."""
    token = "eyJhbGciOiJSUzI1NiIsImtpZCI6" * 4
    world.settings.write_text(
        f'fqdn = "relay.example.org"\n[smarthost]\nset_headers = {{ "X-Key" = "{token}\\u0001" }}\n'
    )
    world.log.write_text(f"{token[:40]}… and {token[:20]} Bearer-less\n")
    _, texts = bundle(world)
    assert "smarthost.set_headers.X-Key" in texts["settings.txt"]
    assert all("eyJhbGci" not in text for text in texts.values())


def test_words_about_secrets_stay() -> None:
    text = "smarthost.password: unknown key; token_file: there is no such file; 535 bearer token expired"
    assert Mask().text(text) == text


def test_a_pipe_in_the_place_of_a_secret_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert secrets_of({"smarthost": {"password_file": "pipe"}}, tmp_path) == frozenset()


def test_users_count_where_no_settings_name_their_file(tmp_path: Path) -> None:
    (tmp_path / "users").write_text(f"app {SECRETS['hash']}\n")
    assert SECRETS["hash"] in secrets_of({}, tmp_path)
    assert "users" not in secrets_of({}, tmp_path / "none")


@pytest.mark.usefixtures("no_doctor")
def test_half_an_archive_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full, as the kernel says it for a limit."""
    folder = world.folder / "out"
    folder.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    held = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    fill = bundle_module._packed

    def packed(*arguments: Any) -> bytes:
        octets = fill(*arguments)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        return octets

    monkeypatch.setattr(bundle_module, "_packed", packed)
    try:
        ran = world.run("support-bundle", str(folder))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, held)
    assert (ran.status, [*folder.iterdir()]) == (os.EX_IOERR, [])


def test_the_same_address_has_the_same_number() -> None:
    mask = Mask()
    assert mask.text("a@x.test B@x.test A@X.test") == "(1)@x.test (2)@x.test (1)@X.test"
    assert mask.text("b@x.test") == "(2)@x.test"


def test_secrets_of_the_environment_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRETS["environment"])
    monkeypatch.setenv("RELAYD_SMARTHOST__PASSWORD_FILE", str(file))
    assert SECRETS["environment"] in secrets_of({}, tmp_path)
    monkeypatch.setenv("RELAYD_SMARTHOST__PASSWORD", SECRETS["mistaken"])  # as nobody should
    assert SECRETS["mistaken"] in secrets_of({}, tmp_path)


@pytest.mark.usefixtures("no_doctor")
def test_the_check_would_find_a_leak(planted: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the mask the same test fails."""
    monkeypatch.setattr(Mask, "text", lambda _, text: text)
    _, texts = bundle(planted)
    assert any(SECRETS["password"] in text for text in texts.values())
    assert any("kim@customer.example" in text for text in texts.values())
