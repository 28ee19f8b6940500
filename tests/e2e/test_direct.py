"""`relayd serve` in direct mode: name server, mail hosts and smarthost on loopback, every fate of a mail."""

import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from relayd.policy.doctor.dnssec import BOGUS
from relayd.policy.pace import SiteMode
from relayd.store.sqlite.view import SqliteView
from tests.support.daemon import Daemon, a_daemon, eventually
from tests.support.dns_server import SERVFAIL, Authentic, Zones
from tests.support.internet import Internet, an_internet, rcpts_of
from tests.support.ports import free_port
from tests.support.scripted_server import InTurn, Script

FINE, UNKNOWN, FULL, GREY, BACKUP, DOWN, WARY = (f"127.0.1.{number}" for number in range(1, 8))
MISTRUST = "421 4.7.0 low reputation of your IP address"
WARY_DOMAINS = [f"w{number}.test" for number in range(20)]
SCRIPTS: Mapping[str, Script] = {
    FINE: {},
    UNKNOWN: {"RCPT TO:<nobody@hard.test>": "550 5.1.1 No such user"},
    FULL: {"RCPT TO": "452 4.2.2 Mailbox full"},
    GREY: {"RCPT TO": InTurn("450 4.7.1 Greylisted", "250 2.1.5 ok")},
    BACKUP: {"RCPT TO": "550 5.1.1 Never heard of"},
    WARY: {"MAIL": MISTRUST},
}
ZONES: Zones = {
    **{domain: {"MX": ["10 mx.wary.test."]} for domain in WARY_DOMAINS},
    "mx.wary.test": {"A": [WARY]},
    **{name: {"A": Authentic(["192.0.2.1"])} for name in BOGUS},  # it vouches for anything
    "app.test": {"MX": ["10 mx.fine.test."]},
    "fine.test": {"MX": ["10 mx.fine.test.", "20 mx.down.test."]},
    "implicit.test": {"A": [FINE]},
    "hard.test": {"MX": ["10 mx.hard.test."]},
    "soft.test": {"MX": ["10 mx.soft.test."]},
    "grey.test": {"MX": ["10 mx.grey.test."]},
    "down.test": {"MX": ["10 mx.down.test."]},
    "stale.test": {"MX": ["10 mx.down.test.", "20 mx.stale.test."]},
    "null.test": {"MX": ["0 ."]},
    "sick.test": SERVFAIL,
    "loop.test": {"MX": ["10 relay.test."]},
    "private.test": {"A": ["10.0.0.1"]},
    "inside.test": {"AAAA": ["64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1", "2002:a00:1::1"]},
    "bare.test": {"TXT": ["neither MX nor address"]},
    "relay.test": {"A": [FINE]},
    "mx.fine.test": {"A": [FINE]},
    "mx.hard.test": {"A": [UNKNOWN]},
    "mx.soft.test": {"A": [FULL]},
    "mx.grey.test": {"A": [GREY]},
    "mx.stale.test": {"A": [BACKUP]},
    "mx.down.test": {"A": [DOWN]},
}
# Address: status, class of the bounce, attempts (None: at least one), enhanced code
FATES: dict[str, tuple[str, str | None, int | None, str | None]] = {
    "kim@fine.test": ("sent", None, 1, "2.0.0"),
    "kim@implicit.test": ("sent", None, 1, "2.0.0"),
    "nobody@hard.test": ("bounced", "hard", 1, "5.1.1"),
    "kim@hard.test": ("sent", None, 1, "2.0.0"),
    "kim@soft.test": ("bounced", "soft", 2, "4.2.2"),
    "kim@grey.test": ("sent", None, 2, "2.0.0"),
    "kim@down.test": ("deferred", None, None, None),
    "kim@stale.test": ("deferred", None, None, "5.1.1"),
    "kim@sick.test": ("deferred", None, None, None),
    "kim@null.test": ("bounced", "hard", 1, "5.1.10"),
    "kim@gone.test": ("bounced", "hard", 1, "5.1.2"),
    "kim@loop.test": ("bounced", "block", 1, "5.4.6"),
    "kim@private.test": ("bounced", "block", 1, "5.4.4"),
    "kim@inside.test": ("bounced", "block", 1, "5.4.4"),
    "kim@bare.test": ("deferred", None, 1, None),
}


@contextmanager
def a_relay(folder: Path, *, tls: str = "off") -> Iterator[tuple[Daemon, Internet]]:
    with an_internet(SCRIPTS, ZONES, port=free_port()) as internet:
        more = (
            f'{internet.settings}tls = "{tls}"\n'
            '[routes]\n"held.test" = "hold"\n"*.inside.test" = "smarthost"\n'
            '[test_mail]\nrecipients = ["qa@fine.test"]\n'
        )
        with a_daemon(
            folder, internet.smarthost.port, remote="true", smarthost_more=more
        ) as daemon:
            yield daemon, internet


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Internet]]:
    """One relay for all tests; the fates of its mail are decided when the first test begins."""
    with a_relay(tmp_path_factory.mktemp("relayd")) as (daemon, internet):
        daemon.send(*FATES)
        daemon.send("kim@held.test", "kim@x.inside.test")
        daemon.send("kim@fine.test", content="X-Relayd-Test: yes\r\nSubject: test\r\n\r\nx\r\n")
        daemon.send("qa@fine.test")
        eventually(lambda: settled(daemon), "every mail has met its fate")
        yield daemon, internet


def settled(daemon: Daemon) -> bool:
    wanted = {address: fate[0] for address, fate in FATES.items()}
    found = daemon.statuses()
    tried = {row.address: row.attempts for row in daemon.rows()}
    return (
        all(found[address] == status for address, status in wanted.items())
        and all(tried[address] >= (fate[2] or 1) for address, fate in FATES.items())
        and found["qa@fine.test"] == "relayed"
        and found["kim@held.test"] == "held"
    )


def test_every_fate_is_told_as_it_was(relay: tuple[Daemon, Internet]) -> None:
    """By the command line as JSON, one row per recipient."""
    daemon, _ = relay
    rows = {row["rcpt"]: row for row in daemon.status() if row["rcpt"] in FATES}
    rows["kim@fine.test"] = next(
        row for row in daemon.status("--recipient", "kim@fine.test") if row["status"] == "sent"
    )
    told = {
        address: (
            row["status"],
            row.get("bounce_class"),
            row["attempt"] if FATES[address][2] else None,
            row.get("enhanced"),
        )
        for address, row in rows.items()
    }
    assert told == FATES
    suppressed = {address for address, row in rows.items() if row.get("suppress")}
    assert suppressed == {"nobody@hard.test", "kim@null.test", "kim@gone.test"}


def test_a_soft_bounce_gets_exactly_one_more_attempt(relay: tuple[Daemon, Internet]) -> None:
    """S-09: two visits to the host, and no third."""
    _, internet = relay
    tried = Counter(line for line in internet.servers[FULL].dialog if line.startswith("RCPT"))
    assert tried == {"RCPT TO:<kim@soft.test>": 2}
    assert rcpts_of(internet.servers[GREY]) == ["kim@grey.test"]
    refused = Counter(line for line in internet.servers[UNKNOWN].dialog if "nobody" in line)
    assert refused == {"RCPT TO:<nobody@hard.test>": 1}


def test_it_says_its_full_name(relay: tuple[Daemon, Internet]) -> None:
    daemon, internet = relay
    greetings = {
        line for server in internet.servers.values() for line in server.dialog if "EHLO" in line
    }
    assert greetings == {"EHLO relay.test"}

    def sent_to_grey() -> list[dict[str, Any]]:
        return [
            one for one in daemon.log_lines() if one["event"] == "sent" and "grey" in one["rcpt"]
        ]

    [line] = eventually(sent_to_grey, "the log is written a moment after the commit")
    assert (line["helo"], line["route"]) == ("relay.test", "direct")
    assert (line["remote_host"], line["remote_ip"]) == ("mx.grey.test", GREY)


def test_the_smarthost_gets_test_mail_and_exceptions_only(relay: tuple[Daemon, Internet]) -> None:
    _, internet = relay
    expected = ["kim@fine.test", "kim@x.inside.test", "qa@fine.test"]
    eventually(lambda: len(rcpts_of(internet.smarthost)) >= len(expected), "all of it")
    assert sorted(rcpts_of(internet.smarthost)) == expected


def test_a_report_on_bounces_goes_to_the_senders_own_host(relay: tuple[Daemon, Internet]) -> None:
    _, internet = relay
    fine = internet.servers[FINE]
    eventually(
        lambda: "app@app.test" in rcpts_of(fine), "a report on what bounced in the first attempt"
    )
    reports = [one for one in fine.messages if one.rcpts == ("TO:<app@app.test>",)]
    assert all(one.mail.startswith("FROM:<>") for one in reports)


def test_queued_mail_follows_a_changed_mode(tmp_path: Path) -> None:
    """`use_remote_smtp` switched off: what waits for a dead host goes by the smarthost after all."""
    with a_relay(tmp_path) as (daemon, internet):
        daemon.send("kim@down.test", "kim@held.test")
        eventually(
            lambda: daemon.statuses() == {"kim@down.test": "deferred", "kim@held.test": "held"},
            "deferred and held",
        )
        daemon.write(remote="false")
        generation = len(daemon.events("worker_started"))
        daemon.signal(signal.SIGHUP)
        eventually(lambda: len(daemon.events("worker_started")) >= generation + 2, "reloaded")
        eventually(
            lambda: daemon.run("queue", "expedite", "--domain", "down.test").status == 0,
            "expedited",
        )
        eventually(lambda: daemon.statuses()["kim@down.test"] == "relayed", "relayed")
        assert rcpts_of(internet.smarthost) == ["kim@down.test"]
        assert daemon.statuses()["kim@held.test"] == "held"


def test_both_workers_leave_a_site_alone_that_mistrusts_us(relay: tuple[Daemon, Internet]) -> None:
    """Of twenty domains there at most one mail of each worker is refused; the others wait, uncounted."""
    daemon, internet = relay
    for domain in WARY_DOMAINS:
        daemon.send(f"kim@{domain}")

    def waiting() -> list[str]:
        rows = [row for row in daemon.rows() if row.address.partition("@")[2] in WARY_DOMAINS]
        return [row.paused_for or "" for row in rows]

    eventually(
        lambda: sum("wary.test rests until" in why for why in waiting()) >= len(WARY_DOMAINS) - 2,
        "the mail of the site waits",
    )
    assert internet.servers[WARY].connections <= 2
    with closing(SqliteView(str(daemon.queue))) as view:
        [known] = view.sites.sites()
    assert (known.key.site, known.state.mode) == ("wary.test", SiteMode.RESTING)
    assert known.state.reply == MISTRUST


def test_a_clean_stop_loses_no_count_of_tls_sessions(tmp_path: Path) -> None:
    """They are added to the queue file once a minute, and at the end."""
    with a_relay(tmp_path, tls="opportunistic") as (daemon, _):
        daemon.send("kim@fine.test")
        eventually(lambda: daemon.statuses() == {"kim@fine.test": "sent"}, "sent")
        off = eventually(lambda: daemon.events("dane_off"), "what its name server is worth")
        assert "its AD bit means nothing" in off[0]["reason"]
        daemon.stop()
        with closing(SqliteView(str(daemon.queue))) as view:
            counts = view.trust.tls_counts()
    told = {(one.policy.domain, one.result, one.host): count for one, count in counts.items()}
    assert told == {("fine.test", "starttls-not-supported", "mx.fine.test"): 1}
