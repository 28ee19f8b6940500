"""`relayd demo`: the whole relay in a few seconds, with the statuses it promises."""

import json
import subprocess
import sys
import time

from tests.support.daemon import ROOT

SENDER = "app@shop.test"
EXPECTED = {
    "anna@shop.test": "relayed",
    "bert@a.test": "relayed",
    "carla@b.test": "relayed",
    "dora@c.test": "relayed",
    "nobody@shop.test": "bounced hard",
    "emil@a.test": "relayed",
    "typo@a.test": "bounced hard",
    "full@b.test": "bounced soft",
    "busy@b.test": "relayed",
    "strict@c.test": "bounced block",
    "blocklist@c.test": "bounced block",
    "grey@c.test": "relayed",
    "unsure@d.test": "relayed",
    "tired@d.test": "deferred",
    "frieda@a.test": "relayed",
}


def demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "relayd", "demo", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


def test_every_sample_gets_its_status() -> None:
    began = time.monotonic()
    done = demo("--json")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 10
    told = [json.loads(line) for line in done.stdout.splitlines()]
    reports = [row["status"] for row in told if row["rcpt"] == SENDER]
    assert reports == ["relayed"] * 5, "one for each message with a bounce"
    rows = {row["rcpt"]: row for row in told if row["rcpt"] != SENDER}
    statuses = {
        rcpt: " ".join(filter(None, (row["status"], row.get("bounce_class"))))
        for rcpt, row in rows.items()
    }
    assert statuses == EXPECTED
    assert rows["unsure@d.test"]["possible_duplicate"], "its first dot got no answer"
    assert rows["nobody@shop.test"]["suppress"]
    assert not rows["full@b.test"].get("suppress")
    assert rows["anna@shop.test"]["tag"] == "order-1001"
    assert [rows[rcpt]["attempt"] for rcpt in ("busy@b.test", "grey@c.test")] == [2, 2]


def test_it_reads_as_a_story() -> None:
    done = demo()
    assert done.returncode == 0, done.stderr
    assert "too large for the relay: 552 5.3.4" in done.stdout
    assert "nobody@shop.test" in done.stdout
    assert "1 deferred, 14 relayed, 5 bounced" in done.stdout
    assert "relayd status show ID" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
