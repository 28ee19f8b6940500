"""`relayd route` against a real name server and a real queue."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.mail.words import BounceClass
from relayd.policy.doctor.dnssec import BOGUS
from tests.support.builders import a_bounce, a_message, a_recipient, a_settlement
from tests.support.cli_world import Ran, World, enqueue, make_world
from tests.support.dns_server import DROP, SERVFAIL, Action, Authentic, DnsServer, Zones

FAR = datetime(2199, 1, 1, tzinfo=UTC)
ZONES: Zones = {
    "mill.test": {"MX": ["20 mx2.mill.test.", "10 mx1.mill.test.", "10 inner.mill.test."]},
    "mx1.mill.test": {"A": ["20.0.113.1"]},
    "mx2.mill.test": {"A": ["20.0.113.2"], "AAAA": ["2600:db8::2"]},
    "inner.mill.test": {"A": ["10.0.0.1"]},
    "bare.test": {"A": ["20.0.113.9"]},
    "nomail.test": {"MX": ["0 ."]},
    "ours.test": {"MX": ["10 relay.example.org."]},
    "inside.test": {"MX": ["10 inner.mill.test."]},
    "six.test": {"AAAA": ["2600:db8::6"]},
    "empty.test": {"TXT": ["nothing to do with mail"]},
    "sick.test": SERVFAIL,
    "silent.test": DROP,
}


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return make_world(tmp_path, capsys.readouterr)


def configure(world: World, *, top: str = "", tables: str = "") -> None:
    world.settings.write_text(f"{top}\n{world.settings.read_text()}\n{tables}")


async def direct(world: World, *arguments: str, tables: str = "", zones: Zones = ZONES) -> Ran:
    """Run `relayd route` in direct mode, with the zones above."""
    async with DnsServer(zones) as server:
        dns = f'[dns]\nnameservers = ["{server.endpoint}"]\ntimeout = "1s"\n'
        configure(world, top="use_remote_smtp = true", tables=dns + tables)
        return await asyncio.to_thread(world.run, "route", *arguments)


VERDICTS = {
    "MX": ("a@mill.test", os.EX_OK, "deliverable", None, None),
    "no MX but an address": ("a@BARE.test", os.EX_OK, "deliverable", None, None),
    "null MX": ("a@nomail.test", 1, "bounced", "5.1.10", "takes no mail"),
    "no such domain": ("a@nowhere.test", 1, "bounced", "5.1.2", "does not exist"),
    "an address literal": ("a@[20.0.113.1]", 1, "bounced", "5.1.2", "address literal"),
    "only private hosts": ("a@inside.test", 1, "bounced", "5.4.4", "10.0.0.1 is private"),
    "we are its best host": ("a@ours.test", 1, "bounced", "5.4.6", "would loop"),
    "DNS failure": ("a@sick.test", os.EX_TEMPFAIL, "deferred", None, "SERVFAIL"),
    "neither MX nor address": (
        "a@empty.test",
        os.EX_TEMPFAIL,
        "deferred",
        None,
        "it bounces if a second look, an hour later, finds the same",
    ),
    "no answer": ("a@silent.test", os.EX_TEMPFAIL, "deferred", None, "no answer"),
}


@pytest.mark.parametrize(
    ("address", "status", "verdict", "enhanced", "why"), VERDICTS.values(), ids=VERDICTS
)
async def test_what_the_dns_says(
    world: World, address: str, status: int, verdict: str, enhanced: str | None, why: str | None
) -> None:
    ran = await direct(world, address, "--json")
    assert (ran.status, ran.err) == (status, "")
    (row,) = ran.rows
    assert (row["route"], row["verdict"], row.get("enhanced")) == ("direct", verdict, enhanced)
    assert (why or "") in row.get("why", "")
    assert row["destination"] == f"mx:{address.partition('@')[2].lower()}"


async def test_hosts_addresses_and_what_is_left_out(world: World) -> None:
    ran = await direct(world, "a@mill.test", "--json", tables="[direct]\nport = 2526\n")
    (row,) = ran.rows
    assert [(one["preference"], one["host"]) for one in row["mx"]] == [
        (10, "inner.mill.test"),
        (10, "mx1.mill.test"),
        (20, "mx2.mill.test"),
    ]
    tried = [(one["remote_host"], one["remote_ip"], one["remote_port"]) for one in row["hosts"]]
    assert tried == [
        ("mx1.mill.test", "20.0.113.1", 2526),
        ("mx2.mill.test", "20.0.113.2", 2526),
        ("mx2.mill.test", "2600:db8::2", 2526),
    ]
    assert row["skipped"] == ["inner.mill.test: 10.0.0.1 is private"]
    assert (row["tls"], row["login"], row["connections"]) == ("opportunistic", False, 10)
    first = row["hosts"][0]
    assert (row["mx_secure"], first["secure"], first["tls_row"]) == (False, False, 14)
    assert (first["tls_policy"], first["tls_level"]) == ("none", "opportunistic")
    assert first["tlsa"] == ["the addresses of mx1.mill.test are not secure"]
    assert "messages_per_minute" not in row


@pytest.mark.parametrize(
    ("bogus", "is_secure"),
    [
        pytest.param(SERVFAIL, True, id="it-checks"),
        pytest.param(Authentic(["192.0.2.1"]), False, id="it-vouches-for-all"),
    ],
)
async def test_a_name_server_is_believed_where_delivery_believes_it(
    world: World, bogus: Action, *, is_secure: bool
) -> None:
    zones: Zones = {
        "mill.test": {"MX": Authentic(["10 mx1.mill.test."])},
        "mx1.mill.test": {"A": Authentic(["20.0.113.1"])},
        **{name: {"A": bogus} for name in BOGUS},
    }
    ran = await direct(world, "a@mill.test", "--json", zones=zones)
    assert (ran.status, ran.err) == (os.EX_OK, "")
    (row,) = ran.rows
    assert row["mx_secure"] is is_secure


async def test_direct_mode_in_words(world: World) -> None:
    source = '[direct]\nsource_addresses = ["127.0.0.1", "::1"]\ntls = "required"\n'
    ran = await direct(world, "a@mill.test", tables=source)
    assert ran.status == 0
    lines = [line.strip() for line in ran.out.splitlines()]
    assert lines == [
        "a@mill.test",
        "goes          direct, to the mail servers of mill.test",
        "because       use_remote_smtp = true",
        "route key     mx:mill.test",
        "MX            10 inner.mill.test",
        "10 mx1.mill.test",
        "20 mx2.mill.test",
        "tries         mx1.mill.test [20.0.113.1]:25",
        "mx2.mill.test [20.0.113.2]:25",
        "mx2.mill.test [2600:db8::2]:25",
        "left out      inner.mill.test: 10.0.0.1 is private",
        "site          mill.test",
        "TLS           required: with any certificate, never in clear text",
        "the MX answer is not secure (DNSSEC)",
        (
            "mx1.mill.test: encrypted, by row 14 (none); TLSA: the addresses of "
            "mx1.mill.test are not secure"
        ),
        (
            "mx2.mill.test: encrypted, by row 14 (none); TLSA: the addresses of "
            "mx2.mill.test are not secure"
        ),
        "login         no",
        "sent from     127.0.0.1, ::1",
        "EHLO          relay.example.org",
        "connections   at most 10 at once",
        f"queue         no queue yet at {world.folder}/queue.db; has relayd been started?",
        "verdict       deliverable, as far as this shows",
    ]


LEFT_OUT = {
    "by families": ('families = ["ipv4"]', "direct.families", "an address that the system chooses"),
    "by sources": ('source_addresses = ["127.0.0.7"]', "direct.source_addresses", "127.0.0.7"),
}


@pytest.mark.parametrize(("setting", "named", "source"), LEFT_OUT.values(), ids=LEFT_OUT)
async def test_what_a_host_would_see_and_what_is_never_used(
    world: World, setting: str, named: str, source: str
) -> None:
    tables = f"[direct]\n{setting}\n"
    ran = await direct(world, "a@mill.test", tables=tables)
    assert f"mx2.mill.test: 2600:db8::2 is IPv6, which {named} leaves out" in ran.out
    assert f"  sent from     {source}" in ran.out
    assert f"never over IPv6: {named} leaves it out\n" in ran.out
    ran = await direct(make_world(world.folder, world.readouterr), "a@six.test", tables=tables)
    assert ran.status == os.EX_TEMPFAIL
    assert f"waits for another try: six.test is reached by IPv6 only, and {named}" in ran.out


async def test_each_host_is_shown_the_address_that_it_would_see(world: World) -> None:
    tables = '[direct]\nsource_addresses = ["127.0.0.7", "127.0.0.8", "::1"]\n'
    ran = await direct(world, "a@mill.test", "--json", tables=tables)
    (row,) = ran.rows
    seen = {(each["remote_ip"].count(":") > 0, each["local_ip"]) for each in row["hosts"]}
    assert len(seen) == 2, "one of each family"
    assert (True, "::1") in seen
    assert row["source_addresses"] == ["127.0.0.7", "127.0.0.8", "::1"]
    assert row["left_out"] == {}


async def test_the_sources_of_a_sender_are_shown(world: World) -> None:
    tables = """
[[direct.source]]
address = "127.0.0.7"
[[direct.source]]
address = "127.0.0.8"
helo = "mx8.example.org"
senders = ["news.example", "app"]
[[direct.source]]
address = "::1"
helo = "mx6.example.org"
senders = ["news.example"]
"""
    ran = await direct(world, "a@mill.test", "--sender", "a@news.example", tables=tables)
    assert "  sent from     127.0.0.8, ::1\n" in ran.out
    assert "mx8.example.org from 127.0.0.8\n" in ran.out
    ran = await direct(
        make_world(world.folder, world.readouterr),
        "a@mill.test",
        "--user",
        "app",
        "--json",
        tables=tables,
    )
    (row,) = ran.rows
    assert row["source_addresses"] == ["127.0.0.8"]
    assert row["left_out"] == {"ipv6": "direct.source"}
    assert {host["helo"] for host in row["hosts"]} == {"mx8.example.org"}


async def test_a_source_that_this_machine_does_not_have_is_told(world: World) -> None:
    tables = '[direct]\nsource_addresses = ["20.0.113.9", "127.0.0.7", "::1"]\n'
    ran = await direct(world, "a@mill.test", tables=tables)
    assert "  sent from     127.0.0.7, ::1\n" in ran.out
    assert " 20.0.113.9 rests: this machine does not have it\n" in ran.out


@pytest.mark.parametrize("as_json", [False, True])
async def test_a_limited_rate_is_told(world: World, *, as_json: bool) -> None:
    rate = "[direct]\nmessages_per_minute = 30\n"
    ran = await direct(world, "a@mill.test", *(["--json"] if as_json else []), tables=rate)
    if as_json:
        assert ran.rows[0]["messages_per_minute"] == 30
    else:
        words = "connections   at most 10 at once\n  rate          at most 30 messages a minute\n"
        assert words in ran.out


async def test_domain_without_mx_in_words(world: World) -> None:
    ran = await direct(world, "a@bare.test")
    assert "MX            none: the domain itself is its mail server" in ran.out
    assert "tries         bare.test [20.0.113.9]:25" in ran.out
    assert "sent from     an address that the system chooses" in ran.out


async def test_bounce_and_delay_in_words(world: World) -> None:
    ran = await direct(world, "a@nomail.test")
    assert "bounces at once: 5.1.10 nomail.test takes no mail (null MX)" in ran.out
    ran = await direct(make_world(world.folder, world.readouterr), "a@sick.test")
    assert "waits for another try: 127.0.0.1 answers SERVFAIL to MX sick.test" in ran.out


WITHOUT_DNS = {
    "by default": ([], "through the smarthost", "use_remote_smtp = false", "127.0.0.1:2626"),
    "test mail": (["--test"], "through the smarthost", "a test mail", "127.0.0.1:2626"),
}


@pytest.mark.parametrize(
    ("options", "goes", "because", "host"), WITHOUT_DNS.values(), ids=WITHOUT_DNS
)
def test_the_smarthost(
    world: World, options: list[str], goes: str, because: str, host: str
) -> None:
    configure(world, tables='[smarthost]\nhosts = ["127.0.0.1:2626"]\ntls = "off"\n')
    ran = world.run("route", "a@mill.test", *options)
    assert ran.status == 0
    for words in (goes, because, f"tries         {host}", "TLS           off: clear text"):
        assert words in ran.out
    assert "connections   at most 20 at once" in ran.out


EXCEPTIONS = """
[smarthost]
hosts = ["hub.test:587"]
tls = "verify"
username = "relay"
password_file = "password"
[routes]
"held.test" = "hold"
"*.inner.test" = "[::1]:2626"
"old.test" = { host = "old.test:465", tls = "implicit", assume_8bit = true }
[test_mail]
recipients = ["probe@mill.test"]
[redirect]
to = "all@inbox.inner.test"
allow = ["held.test", "old.test", "probe@mill.test"]
"""


def test_routes_redirect_and_test_recipients(world: World) -> None:
    (world.folder / "password").touch(mode=0o600)
    (world.folder / "password").write_text("geheim\n")
    configure(world, tables=EXCEPTIONS)
    ran = world.run("route", "a@held.test")
    assert ran.status == os.EX_TEMPFAIL
    assert "goes          nowhere: it is held until somebody releases it" in ran.out
    assert "verdict       held by the settings" in ran.out
    ran = world.run("route", "probe@mill.test")
    assert (ran.status, "geheim" in ran.out) == (0, False)
    assert "because       listed in [test_mail] recipients" in ran.out
    assert "tries         hub.test:587" in ran.out
    assert "login         yes" in ran.out
    ran = world.run("route", "someone@mill.test")
    assert ran.status == 0
    assert "redirected    to all@inbox.inner.test, by [redirect]" in ran.out
    assert "goes          through the host [::1]:2626" in ran.out
    assert "login         no" in ran.out, "the secret is for the smarthost alone"
    (row,) = world.run("route", "someone@mill.test", "--json").rows
    assert row["redirected_to"] == "all@inbox.inner.test"
    assert row["hosts"] == [{"remote_host": "::1", "remote_port": 2626}]
    assert row["destination"] == "host:[::1]:2626"
    ran = world.run("route", "a@old.test")
    assert "TLS           implicit: from the first octet" in ran.out
    assert "8-bit         sent as it is, whatever the server offers (assume_8bit)" in ran.out
    (row,) = world.run("route", "a@old.test", "--json").rows
    assert (row["tls"], row["login"], row["assume_8bit"]) == ("implicit", False, True)
    (row,) = world.run("route", "a@held.test", "--json").rows
    assert (row["route"], row["verdict"]) == ("hold", "held")


ALIASES = """
[routes]
"held.test" = "hold"
[aliases]
root = "you@mill.test"
Postmaster = ["root", "a@held.test"]
"""


@pytest.mark.parametrize("name", ["root", "ROOT@relay.example.org", "root@localhost"])
def test_a_name_of_this_machine_is_explained_by_its_alias(world: World, name: str) -> None:
    configure(world, tables=ALIASES)
    ran = world.run("route", name)
    assert ran.status == 0
    assert ran.out.startswith(
        "you@mill.test\n  alias of      root, by [aliases], for mail of this machine\n"
    )


def test_each_address_of_an_alias_is_explained_and_the_worst_counts(world: World) -> None:
    configure(world, tables=ALIASES)
    ran = world.run("route", "postmaster", "--json")
    assert ran.status == os.EX_TEMPFAIL
    assert [(row["rcpt"], row["alias"], row["verdict"]) for row in ran.rows] == [
        ("you@mill.test", "postmaster", "deliverable"),
        ("a@held.test", "postmaster", "held"),
    ]
    [row] = world.run("route", "root@mill.test", "--json").rows
    assert (row["rcpt"], row.get("alias")) == ("root@mill.test", None)
    nobody = world.run("route", "nobody")
    assert (nobody.status, nobody.out) == (os.EX_USAGE, "")
    assert "no name in [aliases]" in nobody.err
    configure(world, tables='"*" = "any@mill.test"')
    ran = world.run("route", "nobody")
    assert "alias of      every other name, by [aliases]" in ran.out


async def test_what_the_queue_says(world: World) -> None:
    """How many wait for the destination, until when it is paused, what speaks against the address."""
    store = world.open_store()
    gone = a_message(a_recipient("gone@mill.test", destination="mx:mill.test"))
    worker = await enqueue(store, gone)
    (work,) = await store.claim(worker, limit=9, lease_for=timedelta(minutes=1))
    await store.settle(work.lease, [a_settlement(gone.id, 0, a_bounce(BounceClass.HARD))])
    two = [a_recipient(f"{name}@mill.test", destination="mx:mill.test") for name in "ab"]
    await enqueue(store, a_message(*two), a_message("other@bare.test"))
    worked = await store.claim(worker, limit=9, lease_for=timedelta(minutes=1))
    for work in worked:
        paused = FAR if work.lease.destination == "mx:mill.test" else None
        await store.release(work.lease, paused_until=paused)
    await store.close()
    ran = await direct(world, "gone@mill.test", "--json")
    (row,) = ran.rows
    assert (row["waiting"], row["suppress"]) == (2, True)
    assert row["paused_until"] == "2199-01-01T00:00:00.000Z"
    assert (ran.status, row["verdict"]) == (75, "deferred")
    assert row["why"] == "the destination is left alone for a while"
    told = await asyncio.to_thread(world.run, "route", "gone@mill.test")
    queue = "2 waiting; the destination is paused until 2199-01-01 00:00:00Z"
    assert f"queue         {queue}" in told.out
    assert "suppressed    its bounces speak against using it" in told.out
    other = await asyncio.to_thread(world.run, "route", "x@bare.test", "--test")
    assert "queue         1 waiting\n" in other.out


async def test_what_an_operator_paused(world: World) -> None:
    """Mail would wait, or not be taken; of whose mail it is not known, nothing is said."""
    store = world.open_store()
    for named, side in (
        (Named(Scope.DOMAIN, "bare.test"), Side.DELIVERY),
        (Named(Scope.SENDER, "app@x.test"), Side.INTAKE),
    ):
        rule = PauseRule(
            named=named,
            sides=frozenset({side}),
            since=world.clock.now(),
            until=None,
            by="ann",
            reason="a flood",
        )
        await store.pause([rule])
    await store.close()
    domain = await asyncio.to_thread(world.run, "route", "x@bare.test", "--test")
    says = (
        "verdict       waits: paused delivery of domain bare.test, until somebody ends it, by ann:"
    )
    assert (domain.status, says in domain.out) == (75, True)
    sender = ("route", "x@mill.test", "--test", "--sender", "app@x.test", "--json")
    told = await asyncio.to_thread(world.run, *sender)
    (row,) = told.rows
    assert (told.status, row["verdict"], row["pauses"][0]["sides"]) == (75, "deferred", ["intake"])
    free = await asyncio.to_thread(world.run, "route", "x@mill.test", "--test")
    assert (free.status, "deliverable" in free.out) == (0, True)


ACCOUNTS = """
[smarthost]
hosts = ["127.0.0.1:1"]
messages_per_second = 14
messages_per_day = 50000
recipients_per_message = 50
header_from = "app@corp.test"
set_headers = { X-Stream = "all" }
[senders."*.internal"]
envelope_domains = { "*.internal" = "corp.test" }
header_domains = { "*.internal" = "corp.test" }
remove_headers = ["X-Mailer"]
always_bcc = ["archive@corp.test"]
[senders."forwarded.test"]
srs_domain = "srs.corp.test"
header_sender = "relay@corp.test"
add_headers = { X-Forwarded = "yes" }
"""


def test_limits_and_what_is_rewritten(world: World) -> None:
    """Of a sender that is not known, nothing is said; nothing is done to the null reverse-path."""
    configure(world, tables=ACCOUNTS)
    (row,) = world.run("route", "a@x.test", "--sender", "root@db1.internal", "--json").rows
    limits = ("messages_per_second", "messages_per_day", "recipients_per_message")
    assert [row[name] for name in limits] == [14, 50_000, 50]
    entry = '[senders] "*.internal"'
    assert row["rewrites"] == [
        f"MAIL FROM: root@corp.test, by {entry}",
        f"From: corp.test instead of *.internal, by {entry}",
        "From: app@corp.test, by [smarthost]",
        f"X-Mailer removed, by {entry}",
        "X-Stream: all, by [smarthost]",
    ]
    assert row["copies"] == ["archive@corp.test"]
    ran = world.run("route", "a@x.test", "--sender", "ann@forwarded.test")
    for line in (
        "rate          at most 14 messages a second",
        "at most 50,000 messages a day",
        "at most 50 recipients of one message",
        'rewritten     MAIL FROM: an SRS address at srs.corp.test, by [senders] "forwarded.test"',
        'Sender: relay@corp.test, by [senders] "forwarded.test"',
        'X-Forwarded: yes, added, by [senders] "forwarded.test"',
    ):
        assert line in ran.out
    assert "copies" not in ran.out
    assert "rewritten" not in world.run("route", "a@x.test").out
    (row,) = world.run("route", "a@x.test", "--sender", "<>", "--json").rows
    assert (row["rewrites"], row["copies"]) == ([], [])


def test_queue_that_cannot_be_read_is_no_obstacle(world: World) -> None:
    (world.folder / "queue.db").write_text("this is no database" * 100)
    ran = world.run("route", "a@mill.test")
    assert ran.status == 0
    assert "queue         the queue cannot be read: " in ran.out


@pytest.mark.parametrize("address", ["mill.test", "a b@mill.test", "a@", ""])
def test_what_is_no_address_is_64(world: World, address: str) -> None:
    ran = world.run("route", address)
    assert (ran.status, ran.out) == (os.EX_USAGE, "")
