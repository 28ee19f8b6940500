"""`kill -9` of a relay with cut-through, fall-back and signatures: what was sent, and what became of it (F-01, S-11).

Clients that wait for the next hop send one message after the other, each to an address of its own. The recipients' domain
says what its host does: accept, defer half of the time, refuse the recipient or the content, or refuse our address.
The last go by the smarthost, which refuses some too. Meanwhile workers are killed, or all of the relay.
"""

import os
import random  # noqa: TID251 -- seeded
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from relayd.ports.view import Query, RecipientRow, Status
from tests.support.daemon import Daemon, a_daemon, eventually
from tests.support.dkim import ed25519_pem, records, rsa_pem, verified, write_key
from tests.support.dns_server import Zones
from tests.support.internet import Internet, an_internet
from tests.support.ledger import Entry, Fate, Ledger, Load, rcpts_of
from tests.support.ports import free_port
from tests.support.scripted_server import AnyOf, Drip, Message, Script

CLIENTS = 6
FINE, SOFT, HARD, WARY, CONTENT, SENDER = (f"127.0.2.{number}" for number in range(1, 7))
SENDERS_ADDRESS = "app@app.test"
RECORDS = {
    **records("app.test", r=rsa_pem(), e=ed25519_pem()),
    **records("test", e=ed25519_pem()),
}
_PER_DOMAIN = 3  # messages to a domain that refuses our address: the first of them learns that
_WARY_DOMAINS = 10_000
_LISTED = "550 5.7.1 Service unavailable; client host [192.0.2.1] blocked using zen.spamhaus.org"
_KEY = '[[dkim]]\ndomain = "{}"\nselector = "{}"\nkey_file = "{}"\n'
_FAILED = re.compile(rb"(?m)^Final-Recipient: rfc822; *(\S+)\r\n(?:\S.*\r\n)*?Action: failed\r$")
_OVER = {Status.SENT, Status.RELAYED, Status.BOUNCED, Status.DROPPED}


@dataclass(slots=True)
class Run:
    """How a run ended: what clients know, and what arrived where."""

    ledger: Ledger
    arrived: Sequence[Message]  # at recipients' hosts and at the smarthost
    refused: Mapping[str, int]  # how often a host said 5yz to it, by recipient
    reports: Sequence[Message]  # at the sender's host
    rows: Sequence[RecipientRow]
    kills: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _World:
    relay: Daemon
    internet: Internet
    port: int  # where clients wait


def kill_often(
    folder: Path, kills: int, seed: int, *, dsn: bool = True, seconds: float = 3600
) -> Run:
    """Kill so often, for so long at the most; return what came of it once the queue is empty.

    Without `dsn` the relay reports nothing to senders: a run that has to be found wrong.
    """
    chance, began = random.Random(seed), time.monotonic()
    with _a_world(folder, chance, dsn=dsn) as world:
        load = Load(world.port, clients=CLIENTS, messages=10**6, seed=seed, mail=_mail)
        killed, since_start = 0, 0
        while killed < kills and time.monotonic() < began + seconds:
            time.sleep(chance.random() / 2)
            killed += 1
            since_start = _kill(world.relay, chance, since_start)
        load.stop()
        _drain(world.relay)
        return replace(_what_came(world, load), kills=killed, seconds=time.monotonic() - began)


def judge(run: Run) -> Counter[str]:
    """Assert that nothing was lost, that each refusal was told, and that signatures hold; return figures."""
    copies = Counter(rcpt for message in run.arrived for rcpt in rcpts_of(message))
    reported = {rcpt for report in run.reports for rcpt in _reported(report)}
    by_rcpt = {entry.recipients[0]: entry for entry in run.ledger.entries}
    told = {rcpt for rcpt, entry in by_rcpt.items() if entry.reply.startswith(b"5")}
    acked = {entry.recipients[0] for entry in run.ledger.of(Fate.ACKED)}
    answered = {entry.recipients[0] for entry in run.ledger.of(Fate.REFUSED)}
    _none(acked - copies.keys() - reported, "acknowledged and lost")
    _none(answered & copies.keys(), "refused and delivered")
    _none(run.refused.keys() - copies.keys() - reported - told, "refused, and told to nobody")
    _none(
        {
            rcpt
            for message in run.arrived
            for rcpt in rcpts_of(message)
            if not message.content.endswith(by_rcpt[rcpt].content)
        },
        "arrived with other octets",
    )
    for message in (*run.arrived, *run.reports):
        found = verified(message.content, RECORDS)
        assert found, f"not signed: {message.content[:300]!r}"
        assert all(found), f"a signature is wrong: {message.content[:300]!r}"
    _judge_rows(run.rows, copies)
    return Counter(
        {
            "messages": len(run.ledger.entries),
            "acknowledged": len(acked),
            "refused in the session": len(told),
            "without a reply": len(run.ledger.of(Fate.UNKNOWN)),
            "arrived": len(copies),
            "refused by a host": len(run.refused),
            "reported": len(reported),
            "told by reply and report": len(told & reported),
            "came twice": sum(count > 1 for count in copies.values()),
        }
    )


def _judge_rows(rows: Sequence[RecipientRow], copies: Mapping[str, int]) -> None:
    mine = [row for row in rows if row.address != SENDERS_ADDRESS]
    _none({row.address for row in rows if row.status not in _OVER}, "not over")
    good = {row.address for row in mine if row.status in (Status.SENT, Status.RELAYED)}
    doubted = {row.address for row in mine if row.possible_duplicate}
    _none(good - copies.keys(), "said to have arrived, and has not")
    _none(copies.keys() - good - doubted, "arrived, and nothing says so")
    twice = {rcpt for rcpt, count in copies.items() if count > 1}
    _none(twice - doubted, "came twice, and nothing says so")


def _none(addresses: Iterable[str], what: str) -> None:
    found = sorted(addresses)
    assert not found, f"{what}: {len(found)}, such as {found[:5]}"


def _reported(report: Message) -> list[str]:
    return [found.decode() for found in _FAILED.findall(report.content)]


def _mail(client: int, count: int, chance: random.Random) -> Iterator[Entry]:
    domains = ("fine", "fine", "soft", "hard", "hard", "content", "wary", "wary-no")
    for number in range(count):
        name, kind = f"{client}-{number}", chance.choice(domains)
        domain = f"{kind}.test"
        if kind.startswith("wary"):
            turn = (number * CLIENTS + client) // (_PER_DOMAIN * len(domains))
            name, domain = kind + name, f"w{turn % _WARY_DOMAINS}.test"
        body = (chance.randbytes(30).hex().encode() + b"\r\n") * chance.choice((3, 10, 300))
        content = (
            b"From: <app@app.test>\r\nSubject: %b\r\nMessage-ID: <%b@app.test>\r\n"
            b"Date: Sun, 29 Nov 2026 12:00:00 +0000\r\n\r\n%b"
            % (name.encode(), name.encode(), body)
        )
        yield Entry(name, (f"{name}@{domain}",), content)


def _scripts(chance: random.Random) -> tuple[Mapping[str, Script], Script]:
    """Return what mail hosts and the smarthost say; they take their time, so that a fault finds open transactions."""
    slow = AnyOf(chance, "250 2.0.0 ok", Drip("250 ok", 0.01), Drip("250 ok", 0.03))
    no_user = AnyOf(chance, "550 5.1.1 no such user", Drip("550 5.1.1 no such user", 0.005))
    hosts: Mapping[str, Script] = {
        FINE: {"DOT": slow},
        SOFT: {"RCPT": AnyOf(chance, "452 4.2.2 mailbox full", "250 2.1.5 ok"), "DOT": slow},
        HARD: {"RCPT": no_user},
        CONTENT: {"DATA": "554 5.7.0 we do not want this"},
        WARY: {"RCPT": AnyOf(chance, _LISTED, Drip(_LISTED, 0.001))},
        SENDER: {},
    }
    return hosts, {"RCPT TO:<WARY-NO": no_user, "DOT": slow}


def _zones() -> Zones:
    hosts = {
        "fine.test": FINE,
        "soft.test": SOFT,
        "hard.test": HARD,
        "content.test": CONTENT,
        "app.test": SENDER,
        **{f"w{number}.test": WARY for number in range(_WARY_DOMAINS)},
    }
    zones = {domain: {"MX": [f"10 mx.{domain}."]} for domain in hosts}
    return zones | {f"mx.{domain}": {"A": [ip]} for domain, ip in hosts.items()}


@contextmanager
def _a_world(folder: Path, chance: random.Random, *, dsn: bool) -> Iterator[_World]:
    hosts, smarthost = _scripts(chance)
    port = free_port()
    rsa, ed25519 = (
        write_key(folder / "r.pem", rsa_pem()),
        write_key(folder / "e.pem", ed25519_pem()),
    )
    keys = (("app.test", "r", rsa), ("app.test", "e", ed25519), ("test", "e", ed25519))
    more = f'[[listen]]\naddress = "127.0.0.1:{port}"\ncut_through = "5s"\nadd_headers = "never"\n'
    more += "".join(_KEY.format(*each) for each in keys)
    more += f"[bounces]\ndsn = {str(dsn).lower()}\n"
    with an_internet(hosts, _zones(), port=free_port(), smarthost=smarthost) as internet:
        settings = f'{internet.settings}tls = "off"\nmta_sts = false\n'
        with a_daemon(
            folder,
            internet.smarthost.port,
            remote="true",
            more=more,
            smarthost_more=settings,
        ) as relay:
            yield _World(relay, internet, port)


def _kill(relay: Daemon, chance: random.Random, since_start: int) -> int:
    """Kill one worker, or all; wait until it is as before. Return the kills of workers since the start of all."""
    if chance.random() < 0.3:
        relay.kill()
        os.truncate(relay.log, 0)  # it is read whole, each time
        relay.up()
        return 0
    relay.kill_worker(chance.choice("12"))
    wanted = 2 + since_start + 1
    eventually(lambda: len(relay.events("worker_ready")) == wanted, "replaced", within=30)
    return since_start + 1


def _drain(relay: Daemon) -> None:
    """Wait until nothing is left to do; reports are not waited for."""

    def left(is_report: Callable[[str], bool]) -> bool:
        return any(is_report(row.address) for row in relay.rows(Query(unfinished=True)))

    eventually(partial(_not, left, SENDERS_ADDRESS.__ne__), "all mail has met its fate", within=60)
    if left(SENDERS_ADDRESS.__eq__):
        ran = relay.run("queue", "expedite", "--recipient", SENDERS_ADDRESS, "--yes")
        assert ran.status == 0, ran.err
    eventually(partial(_not, left, SENDERS_ADDRESS.__eq__), "all is reported", within=60)


def _not(left: Callable[[Callable[[str], bool]], bool], which: Callable[[str], bool]) -> bool:
    return not left(which)


def _what_came(world: _World, load: Load) -> Run:
    assert world.relay.stop() == 0
    servers, smarthost = world.internet.servers, world.internet.smarthost
    asked = [line for ip in (HARD, CONTENT, WARY) for line in servers[ip].dialog]
    asked += [line for line in smarthost.dialog if "wary-no" in line]
    return Run(
        ledger=load.ledger,
        arrived=[
            message
            for server in (servers[FINE], servers[SOFT], smarthost)
            for message in server.messages
        ],
        refused=Counter(line[9:-1] for line in asked if line.startswith("RCPT TO:<")),
        reports=list(servers[SENDER].messages),
        rows=world.relay.rows(),
    )
