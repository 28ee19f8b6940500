"""`relayd dkim`: keys are made, compared with the DNS, and take the place of others."""

import os
import socket
import stat
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from relayd.cli.context import now
from relayd.net.dkim_keys import load_key
from relayd.policy.dkim_rotation import KeyKind, record_of
from tests.support.background import Background
from tests.support.cli_world import World
from tests.support.dkim import ed25519_pem, rsa_pem, write_key
from tests.support.dkim_verifiers import quoted
from tests.support.dns_server import SERVFAIL, DnsServer, Zones, own_host
from tests.support.other_users import needs_root

YEAR = now().year
RSA, ED = f"r{YEAR}a", f"e{YEAR}a"
DOMAIN = "x.test"
OLD = {"r2025a": "rsa", "e2025a": "ed25519"}
TABLES = """\
# Our keys.
[[dkim]]
domain = "x.test"
selector = "r2025a"  # the first
key_file = "old-rsa.pem"
[[dkim]]
domain = "x.test"
selector = "e2025a"
key_file = "old-ed25519.pem"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """A world with keys in use, and the name servers that it asks."""

    world: World
    recursive: DnsServer
    zone: tuple[DnsServer, ...]  # of the domain

    def publish(self, *selectors: str, also: bool = True) -> None:
        """Have the DNS show the keys with these selectors; `also`: the second name server of the zone too."""
        zones = {f"{each}._domainkey.{DOMAIN}": record(self.world, each) for each in selectors}
        self.recursive.zones.update(zones)
        for server in self.zone[: 1 + also]:
            server.zones.update(zones)

    def signs_with(self) -> set[str]:
        settings = tomllib.loads(self.world.settings.read_text())
        return {each["selector"] for each in settings["dkim"]}


def record(world: World, selector: str) -> Mapping[str, list[str]]:
    name = f"old-{OLD[selector]}.pem" if selector in OLD else f"dkim-{DOMAIN}-{selector}.pem"
    key = load_key((world.folder / name).read_bytes())
    kind = KeyKind.RSA if selector.startswith("r") else KeyKind.ED25519
    return {"TXT": [quoted(record_of(kind, key.published()))]}


@pytest.fixture
def asking(world: World) -> Iterator[DnsServer]:
    """The settings name a name server."""
    with Background() as background:
        server = background.enter(DnsServer({}))
        with world.settings.open("a") as file:
            file.write(f'[dns]\nnameservers = ["{server.endpoint}"]\ntimeout = "1s"\n')
        yield server


@pytest.fixture
def signing(world: World, asking: DnsServer) -> World:
    """Two keys are in use, with their records; made in the year before."""
    for kind, pem in (("rsa", rsa_pem()), ("ed25519", ed25519_pem())):
        write_key(world.folder / f"old-{kind}.pem", pem)
    with world.settings.open("a") as file:
        file.write(TABLES)
    for selector in OLD:
        asking.zones[f"{selector}._domainkey.{DOMAIN}"] = record(world, selector)
    return world


# -- keygen


def test_keygen_makes_both_keys_and_prints_what_to_do(world: World) -> None:
    before = world.settings.read_text()
    ran = world.run("dkim", "keygen", DOMAIN)
    assert (ran.status, ran.err) == (0, "")
    for selector, kind in ((RSA, "rsa"), (ED, "ed25519")):
        path = world.folder / f"dkim-{DOMAIN}-{selector}.pem"
        assert stat.S_IMODE(path.stat().st_mode) & 0o037 == 0
        public = load_key(path.read_bytes()).published()
        assert f"{selector}._domainkey.{DOMAIN}. 3600 IN TXT " in ran.out
        assert f"v=DKIM1; k={kind}; p={public}" in "".join(ran.out.split('"')).replace("\n    ", "")
        assert max(map(len, ran.out.splitlines())) < 310
    written = tomllib.loads(ran.out.rpartition("`relayd reload`:")[2])
    assert written["dkim"] == [
        {"domain": DOMAIN, "selector": each, "key_file": f"dkim-{DOMAIN}-{each}.pem"}
        for each in (RSA, ED)
    ]
    assert world.settings.read_text() == before


@pytest.mark.parametrize(
    ("options", "selectors"),
    [(["--rsa"], [RSA]), (["--ed25519"], [ED]), (["--rsa", "--ed25519"], [RSA, ED])],
)
def test_keygen_makes_what_is_asked_for(
    world: World, options: list[str], selectors: list[str]
) -> None:
    rows = world.run("dkim", "keygen", DOMAIN, *options, "--json").rows
    assert [row["selector"] for row in rows] == selectors
    assert rows[0]["name"] == f"{selectors[0]}._domainkey.{DOMAIN}"
    assert rows[0]["zone"].startswith(f"{rows[0]['name']}. 3600 IN TXT ")


def test_keygen_never_writes_over_a_key(world: World) -> None:
    """Another key has the next selector."""
    world.run("dkim", "keygen", DOMAIN, "--rsa")
    first = (world.folder / f"dkim-{DOMAIN}-{RSA}.pem").read_bytes()
    (row,) = world.run("dkim", "keygen", DOMAIN, "--rsa", "--json").rows
    assert row["selector"] == f"r{YEAR}b"
    assert (world.folder / f"dkim-{DOMAIN}-{RSA}.pem").read_bytes() == first


def test_keygen_has_no_more_selectors(world: World) -> None:
    for letter in "abcdefghijklmnopqrstuvwxyz":
        (world.folder / f"dkim-{DOMAIN}-r{YEAR}{letter}.pem").touch()
    ran = world.run("dkim", "keygen", DOMAIN, "--rsa")
    assert ran.status != 0
    assert f"all 26 selectors of rsa and {YEAR} are taken" in ran.err


def test_the_daemon_is_told_that_it_may_read_the_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group of who owns the queue; others may not."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    (world.folder / "queue.db").touch()
    os.chown(world.folder / "queue.db", 4321, 4322)
    monkeypatch.setattr(os, "umask", os.umask)
    world.run("dkim", "keygen", DOMAIN, "--rsa")
    status = (world.folder / f"dkim-{DOMAIN}-{RSA}.pem").stat()
    assert (status.st_uid, status.st_gid) == (0, 4322)
    assert stat.S_IMODE(status.st_mode) == 0o640


def test_keygen_for_a_domain_that_signs_already(signing: World) -> None:
    ran = signing.run("dkim", "keygen", DOMAIN)
    assert f"`relayd dkim rotate {DOMAIN}`" in ran.out
    assert "[[dkim]]" not in ran.out


@pytest.mark.parametrize("domain", ["", "x", "a b", "192.0.2.1"])
def test_keygen_wants_a_domain(world: World, domain: str) -> None:
    ran = world.run("dkim", "keygen", domain)
    if domain == "x":  # a name of one label is one
        assert ran.status == 0
    else:
        assert (ran.status, list(world.folder.glob("*.pem"))) == (64, [])


def test_config_shows_and_sets_one_key_of_a_table(signing: World) -> None:
    assert signing.run("config", "get", "dkim.0.selector").out == "r2025a\n"
    ran = signing.run("config", "set", "dkim.1.selector", "e2025b")
    assert 'dkim.1.selector: "e2025a" -> "e2025b"' in ran.out
    assert signing.run("config", "get", "dkim.2.selector").status == os.EX_NOINPUT


# -- dns


def test_dns_shows_each_record_and_that_it_is_there(signing: World) -> None:
    ran = signing.run("dkim", "dns")
    assert ran.status == 0
    assert ran.out.count("ok: the record is that of the key") == 2
    rows = signing.run("dkim", "dns", DOMAIN, "--json").rows
    assert [(row["selector"], row["kind"], row["signs"]) for row in rows] == [
        ("r2025a", "rsa", True),
        ("e2025a", "ed25519", True),
    ]


def test_dns_shows_new_keys_too(signing: World) -> None:
    signing.run("dkim", "keygen", DOMAIN, "--rsa")
    ran = signing.run("dkim", "dns", DOMAIN)
    assert ran.status == 1
    assert "; is new, and does not sign yet" in ran.out
    assert "; fail: there is no key record" in ran.out


DIFFERENT: Mapping[str, tuple[object, int, str]] = {
    "missing": (None, 1, "there is no key record"),
    "another key": (
        {"TXT": ['"v=DKIM1; k=ed25519; p=' + "A" * 43 + '="']},
        1,
        "the record is that of another key",
    ),
    "no answer": (SERVFAIL, os.EX_TEMPFAIL, "answers SERVFAIL"),
}


@pytest.mark.parametrize(("node", "status", "words"), DIFFERENT.values(), ids=DIFFERENT)
def test_dns_tells_what_is_different(
    signing: World, asking: DnsServer, node: object, status: int, words: str
) -> None:
    asking.zones.pop(f"e2025a._domainkey.{DOMAIN}")
    if node is not None:
        asking.zones[f"e2025a._domainkey.{DOMAIN}"] = node  # type: ignore[assignment]
    ran = signing.run("dkim", "dns", DOMAIN)
    assert ran.status == status
    assert words in ran.out


@pytest.mark.usefixtures("asking")
@pytest.mark.parametrize("words", [[], [DOMAIN]])
def test_dns_without_a_key(world: World, words: list[str]) -> None:
    ran = world.run("dkim", "dns", *words)
    assert (ran.status, ran.out) == (os.EX_NOINPUT, "")
    assert "`relayd dkim keygen DOMAIN` makes one" in ran.err


def test_a_key_that_cannot_be_read(signing: World) -> None:
    (signing.folder / "old-rsa.pem").write_text("hello")
    ran = signing.run("dkim", "dns")
    assert ran.status != 0
    assert "old-rsa.pem: expected a private key in PEM" in ran.err


# -- rotate


@pytest.fixture
def rotating(signing: World, asking: DnsServer) -> Iterator[Signing]:
    """New keys are there, and the zone has two name servers."""
    signing.run("dkim", "keygen", DOMAIN)
    asking.zones.update(
        {
            DOMAIN: {"NS": ["ns1.y.test.", "ns2.y.test."]},
            "ns1.y.test": {"A": [own_host(1)]},
            "ns2.y.test": {"A": [own_host(2)]},
        }
    )
    with Background() as background:
        empty: Zones = {}
        zone = tuple(
            background.enter(DnsServer(empty, host=own_host(each), port=53)) for each in (1, 2)
        )
        yield Signing(world=signing, recursive=asking, zone=zone)


@needs_root
def test_rotate_waits_for_the_last_name_server(rotating: Signing) -> None:
    """Whatever the recursive one says."""
    rotating.publish(RSA, ED, also=False)
    before = rotating.world.settings.read_text()
    ran = rotating.world.run("dkim", "rotate", DOMAIN)
    assert ran.status == 1
    assert f"ns2.y.test: {RSA}._domainkey.{DOMAIN}: fail: there is no key record" in ran.out
    assert "nothing is changed: not every name server" in ran.err
    assert rotating.world.settings.read_text() == before
    rows = rotating.world.run("dkim", "rotate", DOMAIN, "--json").rows
    levels = {(row["server"], row["level"]) for row in rows}
    assert levels == {("ns1.y.test", "ok"), ("ns2.y.test", "fail")}
    assert not list(rotating.world.folder.glob("*.retired"))


@needs_root
def test_rotate_has_mail_signed_with_the_new_keys(rotating: Signing) -> None:
    """Comments stay, and so do the old files. It says until when the old records have to stay."""
    rotating.publish(RSA, ED)
    ran = rotating.world.run("dkim", "rotate", DOMAIN)
    assert ran.status == 0, ran.out
    assert rotating.signs_with() == {RSA, ED}
    text = rotating.world.settings.read_text()
    assert "# Our keys." in text
    assert "# the first" in text
    assert f'dkim.0.selector: "r2025a" -> "{RSA}"' in ran.out
    assert f"r2025a._domainkey.{DOMAIN} has to stay in the DNS until " in ran.out
    assert (rotating.world.folder / "old-rsa.pem").exists()
    note = (rotating.world.folder / f"dkim-{DOMAIN}-r2025a.retired").read_text()
    left = datetime.fromisoformat(note.strip()) - now()
    assert timedelta(days=6, hours=23) < left < timedelta(days=7)
    again = rotating.world.run("dkim", "rotate", DOMAIN)
    assert again.status == os.EX_NOINPUT
    assert "there is no new key for x.test" in again.err


@needs_root
def test_rotate_as_json(rotating: Signing) -> None:
    rotating.publish(RSA, ED)
    rows = rotating.world.run("dkim", "rotate", DOMAIN, "--json").rows
    told = [row for row in rows if "replaces" in row]
    assert [(row["selector"], row["replaces"]) for row in told] == [(RSA, "r2025a"), (ED, "e2025a")]


@needs_root
def test_what_the_daemon_refuses_is_put_back(rotating: Signing) -> None:
    """And no note is left, for the old keys sign on."""
    rotating.publish(RSA, ED)
    world = rotating.world
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(world.socket))
        listening.listen()

        def refuse() -> None:
            with suppress(OSError), listening.accept()[0] as client:
                client.recv(1000)
                client.sendall(b'{"ok":false,"error":"no"}\n')

        thread = threading.Thread(target=refuse)
        thread.start()
        ran = world.run("dkim", "rotate", DOMAIN)
        thread.join(10)
    assert ran.status == os.EX_OSERR
    assert "the file has its old text again" in ran.out
    assert "has to stay" not in ran.out
    assert rotating.signs_with() == set(OLD)
    assert not list(world.folder.glob("*.retired"))


@needs_root
def test_rotate_when_the_zone_cannot_be_found(rotating: Signing) -> None:
    del rotating.recursive.zones[DOMAIN]
    ran = rotating.world.run("dkim", "rotate", DOMAIN)
    assert ran.status == os.EX_TEMPFAIL
    assert "has name servers" in ran.out


def test_rotate_without_a_new_key(signing: World) -> None:
    ran = signing.run("dkim", "rotate", DOMAIN)
    assert ran.status == os.EX_NOINPUT
    assert "`relayd dkim keygen x.test` makes them" in ran.err


@needs_root
def test_the_first_keys_of_a_domain(rotating: Signing) -> None:
    """They get tables of their own; those of other domains stay as they are."""
    world = rotating.world
    text = world.settings.read_text().replace('domain = "x.test"', 'domain = "y.test"')
    world.settings.write_text(text)
    rotating.publish(RSA, ED)
    ran = world.run("dkim", "rotate", DOMAIN)
    assert ran.status == 0, ran.out
    assert world.settings.read_text().startswith(text)
    assert f'dkim.2.selector: not set -> "{RSA}"' in ran.out
    assert "has to stay" not in ran.out
    assert tomllib.loads(world.settings.read_text())["dkim"][2:] == [
        {"domain": DOMAIN, "selector": each, "key_file": f"dkim-{DOMAIN}-{each}.pem"}
        for each in (RSA, ED)
    ]


def test_help_names_all_three(world: World) -> None:
    ran = world.run("dkim", "--help")
    assert {"keygen", "dns", "rotate"} <= set(ran.out.split())


def test_a_folder_that_cannot_be_written(world: World) -> None:
    """Told in one line."""
    settings = Path("/proc/relayd.toml")
    assert not settings.exists()
    ran = world.run_bare("-c", str(settings), "dkim", "keygen", DOMAIN)
    assert ran.status != 0
    assert len(ran.err.splitlines()) == 1
