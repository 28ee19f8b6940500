"""`relayd doctor` against a real name server, scripted mail servers and real files.

Each situation departs in one thing from a set-up in which all is well, and names the one finding
that tells: its check, its level, words of the reason and of the remedy.
"""

import asyncio
import json
import os
import sqlite3
import ssl
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from relayd.policy.doctor.dnssec import BOGUS
from tests.support.builders import a_message
from tests.support.certificates import Authority, untrusted_context
from tests.support.cli_world import Ran, World, column, enqueue, make_world
from tests.support.der import base64, rsa
from tests.support.dns_server import DROP, EMPTY, SERVFAIL, Action, Authentic, DnsServer, Zones
from tests.support.ports import free_port
from tests.support.scripted_server import CLOSE, HANG, Script, ScriptedServer

IP, OTHER, SIX = "20.0.2.1", "20.0.2.9", "2600:db8::1"
SIX_POINTER = "1" + ".0" * 23 + ".8.b.d.0.0.0.6.2"
MAPPED = "2.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20
SPF = '"v=spf1 ip4:20.0.2.1 -all"'


def key(bits: int, before: str = "v=DKIM1; ") -> list[str]:
    """A DKIM record, in strings of 250 characters as long ones must be."""
    text = f"{before}p={base64(rsa(bits))}"
    return [" ".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250))]


GOOD: Mapping[str, Mapping[str, Action]] = {
    "relay.mill.net": {"A": [IP], "TXT": [SPF]},
    "1.2.0.20.in-addr.arpa": {"PTR": ["relay.mill.net."]},
    "mill.net": {"A": [OTHER], "TXT": ['"something else"', SPF]},
    "s1._domainkey.mill.net": {"TXT": key(2048)},
    "_dmarc.mill.net": {"TXT": ['"v=DMARC1; p=reject"']},
    "2.0.0.127.list.test": {"A": ["127.0.0.2"]},
    ".": {"SOA": Authentic(["a.root. b.root. 1 2 3 4 5"])},
    **{each: {"A": SERVFAIL} for each in BOGUS},
}
SETTINGS = """
fqdn = "{fqdn}"
use_remote_smtp = {direct}
[dns]
nameservers = ["{dns}"]
timeout = "1s"
[smarthost]
hosts = ["{smarthost}"]
{login}
[doctor]
blocklists = ["list.test"]
[store]
url = "sqlite:{folder}/state/queue.db"
[control]
socket = "{folder}/control.sock"
[status_log]
path = "{folder}/status.log"
{tables}
"""
Prepare = Callable[[World], None]


def nothing(world: World) -> None:
    """As it is."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What is different, and what is found."""

    check: str
    level: str
    reason: str
    remedy: str = ""
    subject: str = ""
    zones: Zones = field(default_factory=dict)  # over GOOD
    fqdn: str = "relay.mill.net"
    direct: bool = True
    login: str = 'tls = "off"'  # the rest of [smarthost]
    tables: str = ""
    options: tuple[str, ...] = ("--address", IP)
    smarthost: Script | None = field(default_factory=dict)  # None: nobody listens
    smarthost_tls: ssl.SSLContext | None = None
    reached: Script | None = field(default_factory=dict)
    prepare: Prepare = nothing


async def a_server(
    stack: AsyncExitStack, script: Script | None, tls: ssl.SSLContext | None = None
) -> str:
    """Start a server and return HOST:PORT; without a script, of a port where nobody listens."""
    if script is None:
        return f"127.0.0.1:{free_port()}"
    server = await stack.enter_async_context(ScriptedServer(script, tls=tls))
    return f"127.0.0.1:{server.port}"


async def examine(world: World, situation: Situation, *options: str) -> Ran:
    async with AsyncExitStack() as stack:
        smarthost = await a_server(stack, situation.smarthost, situation.smarthost_tls)
        reached = await a_server(stack, situation.reached)
        dns = await stack.enter_async_context(DnsServer({**GOOD, **situation.zones}))
        state = world.folder / "state"
        state.mkdir(mode=0o700, exist_ok=True)
        world.settings.write_text(
            SETTINGS.format(
                fqdn=situation.fqdn,
                direct=str(situation.direct).lower(),
                dns=dns.endpoint,
                smarthost=smarthost,
                login=situation.login,
                folder=world.folder,
                tables=situation.tables,
            )
        )
        await asyncio.to_thread(situation.prepare, world)
        named = ("--domain", "mill.net", "--selector", "s1", "--reach", reached)
        return await asyncio.to_thread(
            world.run, "doctor", *named, *situation.options, *(options or ("--json",))
        )


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return make_world(tmp_path, capsys.readouterr)


def txt(name: str, *texts: str) -> Zones:
    return {name: {"TXT": [f'"{text}"' for text in texts]}}


def spf(*texts: str) -> Zones:
    return {"mill.net": {"A": [OTHER], "TXT": [f'"{text}"' for text in texts]}}


def with_queue(age: timedelta | None) -> Prepare:
    def prepare(world: World) -> None:
        async def fill() -> None:
            store = world.open_store("state/queue.db")
            messages = [] if age is None else [a_message(at=datetime.now(UTC) - age)]  # noqa: TID251
            await enqueue(store, *messages)
            await store.close()

        asyncio.run(fill())

    return prepare


def with_schema(version: int) -> Prepare:
    def prepare(world: World) -> None:
        with_queue(None)(world)
        db = sqlite3.connect(world.folder / "state/queue.db")
        db.execute(f"PRAGMA user_version={version}")
        db.close()

    return prepare


def damaged(world: World) -> None:
    """Overwrite pages that the log of changes does not have anew."""
    with_queue(timedelta(0))(world)
    with (world.folder / "state/queue.db").open("r+b") as file:
        file.seek(4096 * 9)
        file.write(b"\xff" * 4096 * 9)


def with_text(path: str, text: str) -> Prepare:
    return lambda world: void((world.folder / path).write_text(text))


def with_mode(path: str, mode: int) -> Prepare:
    return lambda world: (world.folder / path).chmod(mode)


def with_pair(*names: str, left: timedelta = timedelta(days=60)) -> Prepare:
    def prepare(world: World) -> None:
        until = datetime.now(UTC) + left  # noqa: TID251
        since = until - timedelta(days=90)
        issued = trustme.CA().issue_cert(*names, not_before=since, not_after=until)
        blobs = [blob.bytes() for blob in issued.cert_chain_pems]
        (world.folder / "pair.pem").write_bytes(b"".join(blobs))
        (world.folder / "pair.key").write_bytes(issued.private_key_pem.bytes())
        (world.folder / "pair.key").chmod(0o600)

    return prepare


def with_password(world: World) -> None:
    (world.folder / "password").write_text("geheim\n")
    (world.folder / "password").chmod(0o600)


def void(_: object) -> None:
    """Nobody wants the value."""


TLS = """
[[listen]]
address = "127.0.0.1:2525"
tls = "starttls"
[tls]
certificate = "pair.pem"
key = "pair.key"
"""
LOGIN = 'tls = "off"\nusername = "relay"\npassword_file = "password"'
VERP = '[bounces]\nverp_domain = "bounces.{}"\n'
RETURNS = txt("bounces.mill.net", "v=spf1 ip4:20.0.2.1 -all")

SITUATIONS = {
    # our name and our addresses
    "the name of the sample file": Situation(
        fqdn="relay.example.org",
        check="fqdn",
        level="fail",
        reason="reserved or private",
        remedy="a domain that you own",
    ),
    "a name that only the office knows": Situation(
        fqdn="relay.office.local",
        direct=False,
        check="fqdn",
        level="warn",
        reason="nobody else can look it up",
        remedy="Set fqdn",
    ),
    "the name of a customer's line": Situation(
        fqdn="dyn-1.mill.net",
        check="fqdn",
        level="warn",
        reason="customer's line",
        remedy="relay.YOUR-DOMAIN",
    ),
    "behind a gateway": Situation(
        options=("--address", "10.0.0.5"),
        check="source-address",
        subject="10.0.0.5",
        level="unknown",
        reason="private: receivers see another address",
        remedy="--address IP",
    ),
    "a source address of the settings": Situation(
        options=(),
        tables='[direct]\nsource_addresses = ["127.0.0.2"]\n',
        check="source-address",
        subject="127.0.0.2",
        level="unknown",
        reason="loopback",
    ),
    "a source address that is not ours": Situation(
        options=("--address", IP),
        tables='[direct]\nsource_addresses = ["20.0.113.9"]\n',
        check="source-address",
        subject="20.0.113.9",
        level="fail",
        reason="this machine does not have it",
        remedy="out of direct.source_addresses",
    ),
    "port 25 from an address that is not ours": Situation(
        options=("--address", IP),
        tables='[direct]\nsource_addresses = ["20.0.113.9"]\n',
        check="port-25",
        level="fail",
        reason="cannot make a connection",
        remedy="sources in [direct]",
    ),
    "a name without an address": Situation(
        zones={"relay.mill.net": {"TXT": [SPF]}},
        check="forward-dns",
        level="fail",
        reason="has no address",
        remedy="Publish an A record of relay.mill.net",
    ),
    "a name with a private address": Situation(
        zones={"relay.mill.net": {"A": ["10.0.0.5"], "TXT": [SPF]}},
        check="forward-dns",
        level="fail",
        reason="10.0.0.5 is private",
        remedy="Publish only the public addresses",
    ),
    "a sick zone": Situation(
        zones={"relay.mill.net": SERVFAIL},
        check="forward-dns",
        level="unknown",
        reason="SERVFAIL",
        remedy="Ask again later",
    ),
    "a silent name server": Situation(
        zones={"relay.mill.net": DROP},
        check="helo",
        level="unknown",
        reason="no answer to A relay.mill.net within 1 s",
    ),
    "a name that leads elsewhere": Situation(
        zones={"relay.mill.net": {"A": [OTHER], "TXT": [SPF]}},
        check="helo",
        subject=IP,
        level="fail",
        reason="does not lead to the address that says it",
        remedy="A record 20.0.2.1 of relay.mill.net",
    ),
    "IPv6 that the name lacks": Situation(
        options=("--address", IP, "--address", SIX),
        zones={f"{SIX_POINTER}.ip6.arpa": {"PTR": ["relay.mill.net."]}},
        check="helo",
        subject=SIX,
        level="fail",
        reason="does not lead",
        remedy="AAAA record 2600:db8::1",
    ),
    "no reverse DNS": Situation(
        zones={"1.2.0.20.in-addr.arpa": {}},
        check="reverse-dns",
        level="fail",
        reason="has no name (PTR record)",
        remedy="set its PTR record to relay.mill.net",
    ),
    "reverse DNS that does not lead back": Situation(
        zones={"1.2.0.20.in-addr.arpa": {"PTR": ["mill.net."]}},
        check="reverse-dns",
        level="fail",
        reason="mill.net does not lead back to it",
        remedy="publish the address",
    ),
    "reverse DNS to another name of ours": Situation(
        zones={
            "1.2.0.20.in-addr.arpa": {"PTR": ["mx.mill.net."]},
            "mx.mill.net": {"A": [IP]},
        },
        check="reverse-dns",
        level="warn",
        reason="mx.mill.net, but we say EHLO relay.mill.net",
        remedy="or our name there to mx.mill.net",
    ),
    "reverse DNS of a provider": Situation(
        zones={
            "1.2.0.20.in-addr.arpa": {"PTR": ["192-0-2-1.dsl.mill.net."]},
            "192-0-2-1.dsl.mill.net": {"A": [IP]},
        },
        check="reverse-dns",
        level="warn",
        reason="looks like a customer's line",
        remedy="your provider",
    ),
    "a reverse zone that proves nothing": Situation(
        zones={"1.2.0.20.in-addr.arpa": {"PTR": EMPTY}},
        check="reverse-dns",
        level="unknown",
        reason="proves nothing",
    ),
    "only the smarthost": Situation(
        direct=False,
        check="direct-mode",
        level="skipped",
        reason="all mail goes by the smarthost",
    ),
    # DNSSEC
    "a name server that does not check DNSSEC": Situation(
        zones={".": {"SOA": ["a.root. b.root. 1 2 3 4 5"]}},
        check="dnssec",
        subject="127.0.0.1",
        level="warn",
        reason="no AD bit for the root",
        remedy="unbound",
    ),
    "a forwarder that copies the AD bit": Situation(
        zones={each: {"A": ["192.0.2.1"]} for each in BOGUS},
        check="dnssec",
        level="warn",
        reason="its AD bit means nothing",
        remedy="may be forged",
    ),
    # SPF
    "SPF of our name missing": Situation(
        zones={"relay.mill.net": {"A": [IP]}},
        check="spf",
        subject=f"relay.mill.net {IP}",
        level="warn",
        reason="no SPF record",
        remedy='"v=spf1 ip4:20.0.2.1 -all" at relay.mill.net',
    ),
    "SPF of a sender missing": Situation(
        zones=spf("something else"),
        check="spf",
        subject=f"mill.net {IP}",
        level="fail",
        reason="no SPF record",
        remedy="Publish the TXT record",
    ),
    "SPF that does not list us": Situation(
        zones=spf("v=spf1 ip4:20.0.2.2 -all"),
        check="spf",
        subject=f"mill.net {IP}",
        level="fail",
        reason="does not list 20.0.2.1: fail",
        remedy='Add "ip4:20.0.2.1"',
    ),
    "SPF that says nothing": Situation(
        zones=spf("v=spf1 ?all"),
        check="spf",
        subject=f"mill.net {IP}",
        level="warn",
        reason="says nothing about 20.0.2.1",
        remedy='Add "ip4:20.0.2.1"',
    ),
    "SPF over an include that goes in circles": Situation(
        zones=spf("v=spf1 include:mill.net -all"),
        check="spf",
        subject=f"mill.net {IP}",
        level="fail",
        reason="more than 10 look-ups",
        remedy="Correct the record",
    ),
    "two SPF records": Situation(
        zones=spf("v=spf1 ip4:20.0.2.1 -all", "v=spf1 mx -all"),
        check="spf",
        subject=f"mill.net {IP}",
        level="fail",
        reason="there are 2 SPF records",
    ),
    "SPF by a macro": Situation(
        zones=spf("v=spf1 exists:%{i}._spf.mill.net -all"),
        check="spf",
        subject=f"mill.net {IP}",
        level="unknown",
        reason="exists:%{i}._spf.mill.net, which relayd does not evaluate",
        remedy="makes it certain",
    ),
    "SPF of return paths missing": Situation(
        tables=VERP.format("mill.net"),
        check="spf",
        subject=f"bounces.mill.net {IP}",
        level="fail",
        reason="no SPF record",
    ),
    # DKIM and DMARC
    "no DKIM key": Situation(
        zones={"s1._domainkey.mill.net": {}},
        check="dkim",
        level="fail",
        reason="no key record",
        remedy="at s1._domainkey.mill.net",
    ),
    "a short DKIM key": Situation(
        zones={"s1._domainkey.mill.net": {"TXT": key(1024)}},
        check="dkim",
        level="warn",
        reason="only 1024 bits",
        remedy="2048 bits under a new selector",
    ),
    "a DKIM key out of use": Situation(
        zones=txt("s1._domainkey.mill.net", "v=DKIM1; p="),
        check="dkim",
        level="fail",
        reason="revoked",
        remedy="another selector",
    ),
    "a DKIM key pasted wrongly": Situation(
        zones=txt("s1._domainkey.mill.net", f"v=DKIM1; p={base64(rsa(2048))[:240]}"),
        check="dkim",
        level="fail",
        reason="cannot be read",
        remedy="in one piece",
    ),
    "no DMARC record": Situation(
        zones={"_dmarc.mill.net": {}},
        check="dmarc",
        level="warn",
        reason="no DMARC record",
        remedy='"v=DMARC1; p=none" at _dmarc.mill.net',
    ),
    "a DMARC policy of none": Situation(
        zones=txt("_dmarc.mill.net", "v=DMARC1; p=none"),
        check="dmarc",
        subject="_dmarc.mill.net",
        level="warn",
        reason="asks for nothing",
        remedy="quarantine or reject",
    ),
    "a broken DMARC record": Situation(
        zones=txt("_dmarc.mill.net", "v=DMARC1; p=maybe"),
        check="dmarc",
        subject="_dmarc.mill.net",
        level="fail",
        reason='"maybe" is no policy',
    ),
    "return paths that do not align": Situation(
        zones=txt("bounces.other.net", "v=spf1 ip4:20.0.2.1 -all"),
        tables=VERP.format("other.net"),
        check="dmarc",
        subject="mill.net",
        level="ok",
        reason="only a DKIM signature can of mill.net",
    ),
    "return paths that do not align strictly": Situation(
        zones={**RETURNS, **txt("_dmarc.mill.net", "v=DMARC1; p=reject; aspf=s")},
        tables=VERP.format("mill.net"),
        check="dmarc",
        subject="mill.net",
        level="ok",
        reason="does not align strictly (aspf=s)",
    ),
    # blocklists
    "listed": Situation(
        zones={"1.2.0.20.list.test": {"A": ["127.0.0.4"], "TXT": ['"see https://list.test"']}},
        check="blocklist",
        subject=f"{IP} list.test",
        level="fail",
        reason="listed (127.0.0.4): see https://list.test",
        remedy="ask list.test to take it off",
    ),
    "a list behind a public resolver": Situation(
        zones={"2.0.0.127.list.test": {"A": ["127.255.255.254"]}},
        check="blocklist",
        level="unknown",
        reason="does not serve public or very busy resolvers",
        remedy="a resolver of your own",
    ),
    "a dead list": Situation(
        zones={"2.0.0.127.list.test": {}},
        check="blocklist",
        level="unknown",
        reason="does not know its own test entry",
        remedy="take the list out of doctor.blocklists",
    ),
    "a list of everything": Situation(
        zones={
            "1.2.0.20.list.test": {"A": ["127.0.0.2"]},
            "1.0.0.127.list.test": {"A": ["127.0.0.2"]},
        },
        check="blocklist",
        level="unknown",
        reason="lists everything",
    ),
    "a list that knows no IPv6": Situation(
        options=("--address", SIX),
        check="blocklist",
        subject=f"{SIX} list.test",
        level="skipped",
        reason="no test entry for IPv6",
    ),
    "a list that knows IPv6": Situation(
        options=("--address", SIX),
        zones={
            f"{MAPPED}.list.test": {"A": ["127.0.0.2"]},
            f"{SIX_POINTER}.list.test": {"A": ["127.0.0.2"]},
        },
        check="blocklist",
        subject=f"{SIX} list.test",
        level="fail",
        reason="listed (127.0.0.2)",
    ),
    # servers
    "port 25 closed": Situation(
        reached=None,
        check="port-25",
        level="fail",
        reason="no connection: connection refused",
        remedy="Have the provider open port 25",
    ),
    "a host that does not want us": Situation(
        reached={"GREETING": "554 5.7.1 20.0.2.1 is not welcome"},
        check="port-25",
        level="warn",
        reason="the port is open, but that host says no at greeting: 554 5.7.1",
        remedy="Read its words",
    ),
    "a host that does not exist": Situation(
        options=("--address", IP, "--reach", "mx.nowhere.test"),
        check="port-25",
        subject="mx.nowhere.test:25",
        level="unknown",
        reason="has no address",
        remedy="another host",
    ),
    "no smarthost": Situation(
        smarthost=None,
        direct=False,
        check="smarthost",
        level="fail",
        reason="no connection: connection refused",
        remedy="smarthost.hosts",
    ),
    "no smarthost, in direct mode": Situation(
        smarthost=None,
        check="smarthost",
        level="warn",
        reason="connection refused",
    ),
    "one smarthost of two": Situation(
        direct=False,
        login=f'tls = "off"\n# {"x" * 10}',
        prepare=lambda world: void(
            world.settings.write_text(
                world.settings.read_text().replace('hosts = ["', 'hosts = ["127.0.0.1:9", "')
            )
        ),
        check="smarthost",
        subject="127.0.0.1:9",
        level="warn",
        reason="no connection",
    ),
    "a smarthost that refuses the login": Situation(
        direct=False,
        login=LOGIN,
        prepare=with_password,
        smarthost={"EHLO": ["AUTH PLAIN"], "AUTH": "535 5.7.8 bad credentials"},
        check="smarthost",
        level="fail",
        reason="refuses our login: auth: 535 5.7.8 bad credentials",
        remedy="smarthost.username",
    ),
    "a smarthost that takes the login": Situation(
        direct=False,
        login=LOGIN,
        prepare=with_password,
        smarthost={"EHLO": ["AUTH PLAIN"]},
        check="smarthost",
        level="ok",
        reason="takes our login in clear text",
    ),
    "a smarthost that nobody vouches for": Situation(
        direct=False,
        login='tls = "verify"',
        smarthost_tls=untrusted_context("127.0.0.1"),
        check="smarthost",
        level="fail",
        reason="certificate not valid",
        remedy="certificate put right",
    ),
    "a smarthost without TLS": Situation(
        direct=False,
        login='tls = "required"',
        check="smarthost",
        level="fail",
        reason="does not offer STARTTLS",
    ),
    "a smarthost with any certificate": Situation(
        direct=False,
        login='tls = "opportunistic"',
        smarthost_tls=untrusted_context("127.0.0.1"),
        check="smarthost",
        level="ok",
        reason="with TLSv1.3, certificate not verified",
    ),
    "a smarthost that is busy": Situation(
        direct=False,
        smarthost={"GREETING": ("421 4.3.2 busy", CLOSE)},
        check="smarthost",
        level="warn",
        reason="not now: greeting: 421 4.3.2 busy",
        remedy="mail waits",
    ),
    "a smarthost that turns us away": Situation(
        direct=False,
        smarthost={"EHLO": "550 5.7.1 no relaying", "HELO": "550 5.7.1 no relaying"},
        check="smarthost",
        level="fail",
        reason="turns us away at ehlo: 550 5.7.1",
        remedy="administrator",
    ),
    # certificate
    "a good certificate": Situation(
        tables=TLS,
        prepare=with_pair("relay.mill.net"),
        check="certificate",
        level="ok",
        reason="names relay.mill.net, valid until",
    ),
    "a certificate that ends soon": Situation(
        tables=TLS,
        prepare=with_pair("*.mill.net", left=timedelta(days=9, hours=1)),
        check="certificate",
        level="warn",
        reason="expires in 9 days",
        remedy="Renew it",
    ),
    "a certificate that ended": Situation(
        tables=TLS,
        prepare=with_pair("relay.mill.net", left=timedelta(days=-2)),
        check="certificate",
        level="fail",
        reason="expired on",
        remedy="Renew it",
    ),
    "a certificate of another name": Situation(
        tables=TLS,
        prepare=with_pair("www.mill.net"),
        check="certificate",
        level="warn",
        reason="it is for www.mill.net, not for relay.mill.net",
        remedy="names relay.mill.net too",
    ),
    # queue and machine
    "an empty queue": Situation(
        prepare=with_queue(None), check="queue", level="ok", reason="nothing waits"
    ),
    "mail that waits for long": Situation(
        prepare=with_queue(timedelta(days=2)),
        check="queue",
        level="warn",
        reason="1 waiting, the oldest for 2 d",
        remedy="relayd status",
    ),
    "mail that nobody gave up": Situation(
        prepare=with_queue(timedelta(days=8)),
        check="queue",
        level="fail",
        reason="the oldest for 8 d",
        remedy="See that relayd runs",
    ),
    "a queue of a newer relayd": Situation(
        prepare=with_schema(99),
        check="store",
        level="fail",
        reason="has schema 99",
    ),
    "a queue of an older relayd": Situation(
        prepare=with_schema(1),
        check="store",
        level="warn",
        reason="schema 1, this relayd has",
        remedy="Restart relayd",
    ),
    "a queue that is none": Situation(
        prepare=with_text("state/queue.db", "this is no database" * 100),
        check="store",
        level="fail",
        reason="is not a relayd queue",
    ),
    "a damaged queue": Situation(
        prepare=damaged,
        check="store",
        level="fail",
        reason="SQLite finds the file damaged",
        remedy="restore the last backup",
    ),
    "a queue directory for all": Situation(
        prepare=with_mode("state", 0o755),
        check="files",
        level="fail",
        reason="others may read the directory of the queue (mode 0755)",
        remedy="chmod 0750",
    ),
    "settings that others change": Situation(
        prepare=with_mode("relayd.toml", 0o666),
        check="files",
        level="fail",
        reason="others may change settings (mode 0666)",
        remedy="chmod 0644",
    ),
}


def matching(ran: Ran, situation: Situation) -> list[dict[str, Any]]:
    rows = [row for row in ran.rows if row["check"] == situation.check]
    return [row for row in rows if row["subject"] == situation.subject or not situation.subject]


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
async def test_a_situation(world: World, situation: Situation) -> None:
    ran = await examine(world, situation)
    assert ran.err == ""
    (found,) = [row for row in matching(ran, situation) if row["level"] == situation.level]
    assert situation.reason in found["reason"]
    assert situation.remedy in found["remedy"]
    assert set(found) == {"ts", "check", "subject", "level", "reason", "remedy"}
    failed = any(row["level"] == "fail" for row in ran.rows)
    assert ran.status == (1 if failed else 0)


def test_there_are_enough_situations() -> None:
    assert len(SITUATIONS) >= 40


FINE = Situation(check="", level="", reason="")


async def test_all_is_well(world: World) -> None:
    """Nothing is found where nothing is wrong; the disk and the clock are this machine's."""
    ran = await examine(world, FINE)
    levels = {row["check"]: row["level"] for row in ran.rows}
    assert levels.pop("daemon") == "warn"  # none runs, and nothing waits for it
    assert levels.pop("disk") in {"ok", "warn"}
    assert levels.pop("clock") in {"ok", "warn", "unknown"}
    assert (levels.pop("certificate"), levels.pop("store")) == ("skipped", "skipped")
    assert set(levels.values()) == {"ok"}
    assert ran.status == 0
    assert len(levels) == 13


async def test_a_table_for_a_pipe(world: World) -> None:
    ran = await examine(world, FINE, "--direct")
    standing, titles, *rows = ran.cells
    assert standing[0].startswith("mode: direct, redirect: none, daemon: stopped, version: ")
    assert titles == ["LEVEL", "CHECK", "OF", "REASON", "REMEDY"]
    assert "reverse-dns" in column([titles, *rows], "CHECK")
    assert ran.err.startswith("nothing failed: ")


async def test_quick_asks_only_about_ourselves(world: World) -> None:
    """The DNS about our name and our address; no server is connected to."""
    async with DnsServer(GOOD) as dns:
        settings = SETTINGS.format(
            fqdn="relay.mill.net",
            direct="false",
            dns=dns.endpoint,
            smarthost=f"127.0.0.1:{free_port()}",
            login="",
            folder=world.folder,
            tables="",
        )
        world.settings.write_text(settings)
        ran = await asyncio.to_thread(
            world.run, "doctor", "--quick", "--direct", "--address", IP, "--json"
        )
        asked = set(dns.queries)
    checks = [row["check"] for row in ran.rows]
    assert checks[:4] == ["daemon", "fqdn", "source-address", "forward-dns"]
    assert checks[4:6] == ["helo", "reverse-dns"]
    assert not {"smarthost", "dnssec", "spf", "dkim", "dmarc", "blocklist", "port-25"} & set(checks)
    assert asked == {
        ("relay.mill.net", "A"),
        ("relay.mill.net", "AAAA"),
        ("1.2.0.20.in-addr.arpa", "PTR"),
    }


async def test_a_private_address_is_never_asked_about(world: World) -> None:
    async with DnsServer(GOOD) as dns:
        world.settings.write_text(
            SETTINGS.format(
                fqdn="relay.mill.net",
                direct="true",
                dns=dns.endpoint,
                smarthost=f"127.0.0.1:{free_port()}",
                login="",
                folder=world.folder,
                tables="",
            )
        )
        await asyncio.to_thread(world.run, "doctor", "--address", "10.0.0.5", "--json")
        assert not [name for name, _ in dns.queries if "10" in name or "list" in name]


async def test_the_result_is_saved_in_one_piece(world: World) -> None:
    """And overwritten by the next one."""
    await examine(world, FINE, "--save", "--json")
    situation = Situation(check="", level="", reason="", zones={"s1._domainkey.mill.net": {}})
    ran = await examine(world, situation, "--save", "--json")
    path = world.folder / "state/doctor.json"
    assert f"saved to {path}" in ran.err
    assert path.stat().st_mode & 0o777 == 0o640
    saved = json.loads(path.read_text())
    assert (saved["schema"], saved["fqdn"], saved["counts"]["fail"]) == (1, "relay.mill.net", 1)
    assert saved["findings"] == ran.rows
    assert [each.name for each in path.parent.iterdir() if "doctor" in each.name] == ["doctor.json"]


async def test_a_result_that_cannot_be_saved(world: World) -> None:
    (world.folder / "state").mkdir(mode=0o700)
    (world.folder / "state/.doctor.json.new").mkdir()
    ran = await examine(world, FINE, "--save", "--json")
    assert ran.status == os.EX_OSERR
    assert "doctor.json cannot be written" in ran.err


async def test_watching_asks_a_blocklist_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rounds, one right after the other: the second takes the first one's answer."""
    names = ("1.2.0.20.list.test", "relay.mill.net")
    asked: list[
        list[int]
    ] = []  # on a slow machine a query is sent again: so not how often, but when
    async with DnsServer(GOOD) as dns:

        def between_rounds(_: float) -> None:
            asked.append([dns.count(name, "A") for name in names])

        monkeypatch.setattr("relayd.cli.doctor.command.time.sleep", between_rounds)
        world.settings.write_text(
            SETTINGS.format(
                fqdn="relay.mill.net",
                direct="true",
                dns=dns.endpoint,
                smarthost=f"127.0.0.1:{free_port()}",
                login="",
                folder=world.folder,
                tables="",
            )
        )
        options = ("--address", IP, "--watch", "15m", "--rounds", "2", "--json")
        ran = await asyncio.to_thread(world.run, "doctor", *options)
        (listed, name), *_ = asked
        assert dns.count(names[0], "A") == listed > 0, "not again"
        assert dns.count(names[1], "A") > name > 0, "what costs nobody anything is asked again"
    assert [row["level"] for row in ran.rows if row["check"] == "blocklist"] == ["ok", "ok"]


async def test_a_server_that_hangs_is_waited_for_and_no_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from relayd.doctor import servers  # noqa: PLC0415
    from relayd.net.smtp.client import Timers  # noqa: PLC0415

    monkeypatch.setattr(servers, "_TIMERS", Timers(connect=1, greeting=0.1, command=0.1))
    situation = Situation(
        check="smarthost", level="fail", reason="", direct=False, smarthost={"GREETING": HANG}
    )
    ran = await examine(world, situation)
    (found,) = matching(ran, situation)
    assert "no greeting within 0.1 s" in found["reason"]


async def test_a_selector_may_be_a_number(world: World) -> None:
    situation = Situation(
        check="dkim",
        level="ok",
        reason="",
        zones={"20230601._domainkey.mill.net": {"TXT": key(2048)}},
        options=("--address", IP, "--selector", "20230601"),
    )
    ran = await examine(world, situation)
    assert [row["level"] for row in matching(ran, situation)] == ["ok", "ok"]


@pytest.mark.parametrize(
    "options",
    [
        ("--domain", "a b"),
        ("--selector", "a b"),
        ("--selector", ""),
        ("--reach", "a:b"),
        ("--reach", "[::1"),
        ("--address", "relay.mill.net"),
        ("--watch", "5s"),
        ("--watch", "soon"),
    ],
)
def test_wrong_options(world: World, options: tuple[str, ...]) -> None:
    ran = world.run("doctor", *options)
    assert (ran.status, ran.out) == (os.EX_USAGE, "")


def test_wrong_settings_are_told_as_ever(world: World) -> None:
    world.settings.write_text('fqdn = "relay"\n[doctor]\nblocklists = ["a b"]\n')
    ran = world.run("doctor")
    assert ran.status == os.EX_CONFIG
    assert ran.out.startswith("settings: wrong, daemon: stopped, version: ")
    assert "doctor.blocklists[0]" in ran.err
    assert "expected a domain such as zen.spamhaus.org" in ran.err


def test_the_authority_of_the_system_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A smarthost with a good certificate, by the name that it has."""
    authority = Authority(world.folder)
    monkeypatch.setenv("SSL_CERT_FILE", authority.cafile)
    situation = Situation(
        check="smarthost",
        level="ok",
        reason="",
        direct=False,
        login='tls = "verify"',
        smarthost_tls=authority.server_context("127.0.0.1"),
    )
    ran = asyncio.run(examine(world, situation))
    (found,) = matching(ran, situation)
    assert (found["level"], found["reason"]) == ("ok", "takes our EHLO with TLSv1.3")
