"""Whatever is wrong with the settings gets a line with file and key, the same from every command (A-102)."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from relayd import __version__
from tests.support.certificates import Authority
from tests.support.cli_world import World
from tests.support.wrong_settings import FQDN, WRONG

# Commands that need the settings: none goes on with wrong ones. Questions to the queue and acts on mail do not.
# Nor do commands that use no secret look into the files that have them.
WITH_SECRETS = (("serve",),)
OTHERS = (*WITH_SECRETS, ("config", "get"))


def told(world: World, others: Sequence[Sequence[str]] = OTHERS) -> list[str]:
    """What `check` says, line by line, after whether a daemon runs; other commands say the same."""
    ran = world.run("check")
    assert ran.status == os.EX_CONFIG
    assert ran.out in ("", f"settings: wrong, daemon: stopped, version: {__version__}\n")
    assert all(line.isprintable() for line in ran.err.splitlines())
    before = sorted(world.folder.rglob("*"))
    for other in others:
        again = world.run(*other)
        assert (again.status, again.out, again.err) == (os.EX_CONFIG, "", ran.err), other
    assert sorted(world.folder.rglob("*")) == before  # never half-configured
    return ran.err.splitlines()


@pytest.mark.parametrize(("key", "expected", "toml"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_gets_its_line(world: World, key: str, expected: str, toml: str) -> None:
    world.settings.write_text(toml)
    [line] = told(world)
    assert line.startswith(f"{world.settings}: {key}")
    assert expected in line
    [row] = world.run("check", "--json").rows
    assert (row["file"], row["key"]) == (str(world.settings), key)
    assert expected in row["expected"]


def a_pair(folder: Path, name: str) -> None:
    (folder / name).mkdir()
    Authority(folder / name).write_pair(folder / name, "relay.example.org")


def two_pairs(folder: Path) -> str:
    a_pair(folder, "one")
    a_pair(folder, "two")
    return '[tls]\ncertificate = "one/certificate.pem"\nkey = "two/key.pem"\n'


def no_pem(folder: Path) -> str:
    a_pair(folder, "one")
    (folder / "key").write_text("no key")
    (folder / "key").chmod(0o600)
    return '[tls]\ncertificate = "one/certificate.pem"\nkey = "key"\n'


def no_key_file(folder: Path) -> str:
    a_pair(folder, "one")
    return '[tls]\ncertificate = "one/certificate.pem"\nkey = "absent"\n'


def open_password(folder: Path) -> str:
    (folder / "password").write_text("hunter2")
    (folder / "password").chmod(0o644)
    folder.chmod(0o755)
    return '[smarthost]\nusername = "app"\npassword_file = "password"\n'


def no_password(_: Path) -> str:
    return '[smarthost]\nusername = "app"\npassword_file = "absent"\n'


def password_over_clear_text(folder: Path) -> str:
    (folder / "password").write_text("hunter2")
    (folder / "password").chmod(0o600)
    return (
        '[smarthost]\nhosts = ["mail.example.org:587"]\nusername = "app"\n'
        'password_file = "password"\ntls = "off"\n'
    )


def no_users(_: Path) -> str:
    return '[[listen]]\nauth = "required"\n'


def a_bad_rule(folder: Path) -> str:
    (folder / "rules.d").mkdir()
    (folder / "rules.d" / "10.toml").write_text('[[rule]]\nid = "a"\ncategory = "frob"\ntext="x"\n')
    return ""


BESIDE: dict[str, tuple[Callable[[Path], str], str, str]] = {
    "pair-of-two": (two_pairs, "relayd.toml: tls.key", "do not fit"),
    "no-pem": (no_pem, "relayd.toml: tls.key", "PEM"),
    "no-key-file": (no_key_file, "relayd.toml: tls.key", "cannot be read: No such file"),
    "open-password": (open_password, "relayd.toml: smarthost.password_file", "chmod o-rwx"),
    "no-password": (no_password, "relayd.toml: smarthost.password_file", "no such file"),
    "clear-text": (password_over_clear_text, "relayd.toml: smarthost.tls", '"verify"'),
    "no-users": (no_users, "relayd.toml: auth.users_file", "relayd user add"),
    "bad-rule": (a_bad_rule, "rules.d/10.toml: ", "category"),
}


@pytest.mark.parametrize(("prepare", "where", "expected"), BESIDE.values(), ids=BESIDE)
def test_a_bad_file_beside_the_settings_gets_its_line(
    world: World, prepare: Callable[[Path], str], where: str, expected: str
) -> None:
    world.settings.write_text(FQDN + prepare(world.folder))
    is_of_secret = prepare not in (password_over_clear_text, a_bad_rule)
    [line] = told(world, WITH_SECRETS if is_of_secret else OTHERS)
    assert line.startswith(f"{world.folder}/{where}")
    assert (world.run("config", "get").status == 0) == is_of_secret
    assert expected in line
    assert "hunter2" not in line


@pytest.mark.parametrize("fault", ["absent", "directory", "no-toml", "no-utf8", "link-to-nowhere"])
def test_settings_that_cannot_be_read_get_one_line(world: World, fault: str) -> None:
    world.settings.unlink()
    match fault:
        case "directory":
            world.settings.mkdir()
        case "no-toml":
            world.settings.write_text("fqdn = \n")
        case "no-utf8":
            world.settings.write_bytes(b"fqdn = '\xff'\n")
        case "link-to-nowhere":
            world.settings.symlink_to("nowhere")
        case _:
            pass
    [line] = told(world)
    assert line.startswith(f"{world.settings}: ")
    assert json.loads(world.run("check", "--json").out)["file"] == str(world.settings)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_settings_of_somebody_else_get_one_line(world: World) -> None:
    world.settings.chmod(0)
    [line] = told(world)
    assert "you may not read the settings: ask as " in line


def test_forty_mistakes_are_forty_lines(world: World) -> None:
    keys = [f"frob{number}" for number in range(40)]
    world.settings.write_text(FQDN + "".join(f"{key} = 1\n" for key in keys))
    assert [line.split(": ")[1] for line in told(world)] == keys


# -- no daemon


@pytest.mark.parametrize(
    "words",
    [
        ("queue", "hold", "--domain", "x.test"),
        ("queue", "expedite", "--all"),
        ("addresses", "--unsuppress", "a@x.test"),
        ("test-mail", "a@x.test"),
    ],
    ids=lambda words: words[0] + words[1],
)
def test_what_needs_the_daemon_says_that_none_runs(world: World, words: tuple[str, ...]) -> None:
    ran = world.run(*words)
    assert (ran.status, ran.out) == (os.EX_UNAVAILABLE, "")
    [line] = ran.err.splitlines()
    assert line.startswith("relayd: no ")


async def test_history_is_read_without_a_daemon(world: World) -> None:
    await world.open_store().close()
    for words in (("status",), ("addresses",), ("queue", "list"), ("config", "diff")):
        assert world.run(*words).status == 0, words
