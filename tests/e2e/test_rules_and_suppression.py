"""The operator's own rules, and suppressed addresses, through the running daemon."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayd.ports.view import Query, Status
from tests.support.daemon import Daemon, SmarthostThread, a_daemon, a_smarthost, eventually

SCRIPT = {
    "RCPT TO:<odd": "550 Computer says no",
    "RCPT TO:<gone": "550 5.1.1 No such user",
    "RCPT TO:<idle": "550 5.2.1 Mailbox disabled",
}
RULE = '[[rule]]\nid = "own"\ncategory = "{category}"\ntext = "computer says no"\n'


@pytest.fixture(scope="module")
def smarthost() -> Iterator[SmarthostThread]:
    with a_smarthost(SCRIPT) as smarthost:
        yield smarthost


@pytest.fixture
def daemon(tmp_path: Path, smarthost: SmarthostThread) -> Iterator[Daemon]:
    refusing = "[bounces]\nrefuse_suppressed = true"
    with a_daemon(tmp_path, smarthost.port, smarthost_more=refusing, workers=1) as daemon:
        yield daemon
        assert daemon.stop() == 0


def bounce(daemon: Daemon, address: str) -> str | None:
    """Send to an address that bounces; return the category."""
    before = len(daemon.rows(Query(recipient=(address,), status=(Status.BOUNCED,))))
    daemon.send(address)

    def bounced() -> bool:
        return len(daemon.rows(Query(recipient=(address,), status=(Status.BOUNCED,)))) > before

    eventually(bounced, f"{address} bounced")
    return daemon.rows(Query(recipient=(address,)))[0].category


def reload(daemon: Daemon, outcome: str) -> None:
    before = len(daemon.events(outcome))
    daemon.signal(signal.SIGHUP)
    eventually(lambda: len(daemon.events(outcome)) > before, outcome)


def test_a_changed_rule_is_in_force_after_sighup(daemon: Daemon) -> None:
    """For the daemon and for the commands; one with a mistake changes nothing for the daemon."""
    assert bounce(daemon, "odd1@x.test") == "unknown"
    rules = daemon.folder / "rules.d"
    rules.mkdir()
    for category in ("policy", "rate_limit"):
        (rules / "10-own.toml").write_text(RULE.format(category=category))
        reload(daemon, "reloaded")
        assert bounce(daemon, f"{category}@x.test".replace(category, f"odd-{category}")) == category
        told = daemon.run("classify", "550 Computer says no", "--json").rows
        assert [one["category"] for one in told] == [category]
    (rules / "10-own.toml").write_text(RULE.format(category="bad luck"))
    reload(daemon, "reload_refused")
    assert "rules.d/10-own.toml: rule[0].category" in daemon.events("reload_refused")[-1]["error"]
    assert bounce(daemon, "odd2@x.test") == "rate_limit"
    assert daemon.run("check").status == os.EX_CONFIG
    (rules / "10-own.toml").unlink()
    reload(daemon, "reloaded")
    assert bounce(daemon, "odd3@x.test") == "unknown"


def test_a_suppressed_address_is_refused_until_it_is_lifted(daemon: Daemon) -> None:
    """In the worker, in the log, and back again by the command."""
    assert bounce(daemon, "gone@x.test") == "bad_mailbox"
    with daemon.client() as client:
        client.ehlo()
        client.mail("app@app.test")
        code, text = client.rcpt("Gone@X.test")
        assert (code, text) == (550, b"5.7.1 Recipient is suppressed")
        assert client.rcpt("good@x.test")[0] == 250
        assert client.data("Subject: x\r\n\r\nx\r\n")[0] == 250
    lines = eventually(
        lambda: [line for line in daemon.log_lines() if line["event"] == "refused"], "in the log"
    )
    assert [(line["rcpt"], line["code"], line["fault"]) for line in lines] == [
        ("Gone@X.test", 550, "policy")
    ]
    [told] = daemon.run("addresses", "--recipient", "gone@x.test", "--json").rows
    assert told["suppress"] is True
    lifted = daemon.run("addresses", "--unsuppress", "gone@x.test")
    assert (lifted.status, lifted.out) == (0, "unsuppressed gone@x.test\n")
    assert daemon.run("addresses", "--unsuppress", "gone@x.test").status == os.EX_NOINPUT
    [event] = daemon.events("unsuppressed")
    assert (event["rcpt"], bool(event["by"])) == ("gone@x.test", True)
    assert bounce(daemon, "gone@x.test") == "bad_mailbox"
    [told] = daemon.run("addresses", "--recipient", "gone@x.test", "--json").rows
    assert (told["suppress"], told["hard_bounces"]) == (True, 2)


def test_an_inactive_mailbox_is_suppressed_at_its_second_bounce(daemon: Daemon) -> None:
    for _ in range(2):
        assert bounce(daemon, "idle@x.test") == "inactive_mailbox"
    with daemon.client() as client:
        client.ehlo()
        client.mail("app@app.test")
        assert client.rcpt("idle@x.test")[0] == 550
