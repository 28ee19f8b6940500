"""The metrics of a real daemon: sums over workers that outlive them, and what is built on them."""

import json
import re
import shutil
import signal
import smtplib
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relayd.metrics.complaints import Complaints
from relayd.metrics.exposition import OF_QUEUE
from relayd.metrics.families import FAMILIES
from relayd.metrics.figures import count
from relayd.store.memory.tables import Tables
from relayd.store.memory.view import MemoryView
from tests.support.clock import START
from tests.support.daemon import ROOT, Daemon, SmarthostThread, a_daemon, a_smarthost, eventually
from tests.support.ports import free_port, is_open
from tests.support.scraping import Page, get, read_page, scrape

RULES = ROOT / "etc" / "prometheus" / "relayd.rules.yml"
DASHBOARD = ROOT / "etc" / "grafana" / "relayd.json"
DOCTOR = '{"ts": "2026-03-01T12:00:00Z", "findings": [{"check": "spf", "level": "ok"}]}'
SCRIPT = {
    "RCPT TO:<gone@x.test>": "550 5.1.1 no such user",
    "RCPT TO:<full@x.test>": "452 4.2.2 mailbox full",
    "RCPT TO:<spam@x.test>": "554 5.7.1 looks like spam",
}


@pytest.fixture
def smarthost() -> Iterator[SmarthostThread]:
    with a_smarthost(SCRIPT) as smarthost:
        yield smarthost


@pytest.fixture
def daemon(tmp_path: Path, smarthost: SmarthostThread) -> Iterator[Daemon]:
    """A relay with metrics, on `daemon.metrics`."""
    relay = Daemon(tmp_path, smarthost.port, more=metrics_at(free_port()))
    try:
        relay.up()
        yield relay
    finally:
        relay.close()


def metrics_at(port: int) -> str:
    return f'[metrics]\naddress = "127.0.0.1:{port}"'


def port_of(daemon: Daemon) -> int:
    return int(daemon.file.read_text().rpartition(":")[2].strip(' "\n'))


def lines_of(daemon: Daemon, *keys: str, **wanted: str) -> Counter[tuple[str, ...]]:
    """Lines of the status log, counted by what these fields say."""
    return Counter(
        tuple(str(line.get(key, "")) for key in keys)
        for line in daemon.log_lines()
        if all(line.get(key) == value for key, value in wanted.items())
    )


def is_settled(daemon: Daemon) -> bool:
    return not {"queued"} & set(daemon.statuses().values())


def test_counters_are_the_lines_of_the_status_log(daemon: Daemon) -> None:
    """Whatever happens to a recipient: they never disagree."""
    daemon.send("a@x.test", "gone@x.test", "full@x.test", "spam@x.test")
    for number in range(10):
        daemon.send(f"b{number}@x.test")
    with daemon.client() as client, pytest.raises(smtplib.SMTPRecipientsRefused):
        client.sendmail("app@app.test", ["nobody@"], "Subject: x\r\n\r\nx\r\n")
    with daemon.client() as client, pytest.raises(smtplib.SMTPSenderRefused):
        client.sendmail("app@app.test", ["c@x.test"], "x" * 3_000_000)
    eventually(lambda: is_settled(daemon), "all tried")
    assert daemon.run("queue", "bounce", "--recipient", "full@x.test").status == 0
    eventually(lambda: is_settled(daemon), "reports are delivered")

    def counted() -> dict[tuple[str, ...], float]:
        series = scrape(port_of(daemon)).by_labels("relayd_events_total")
        return {(dict(labels)["event"],): value for labels, value in series.items() if value}

    def all_told() -> bool:
        told, ends = lines_of(daemon, "event"), Counter(row.status.value for row in daemon.rows())
        return all(told[end,] == number for end, number in ends.items())

    eventually(all_told, "the log is written a moment after the commit")
    eventually(lambda: counted() == lines_of(daemon, "event"), "every line is counted")
    page = scrape(port_of(daemon))
    outcomes = {
        tuple(dict(labels)[name] for name in ("status", "bounce_class", "category")): value
        for labels, value in page.by_labels("relayd_outcomes_total").items()
        if value
    }
    logged = lines_of(daemon, "event", "bounce_class", "category")
    assert outcomes == {key: n for key, n in logged.items() if key[0] in OUTCOMES}
    assert {key[0] for key in outcomes} == {"relayed", "deferred", "bounced"}
    received = lines_of(daemon, "queue_id", event="received")
    assert page.value("relayd_received_total") == received.total()
    assert page.value("relayd_received_messages_total") == len(received)
    refused = lines_of(daemon, "code", event="refused")
    assert page.value("relayd_refused_total", code_class="5yz") == refused.total()
    final = lines_of(daemon, "event", "route")
    for status in ("relayed", "bounced"):
        number = sum(n for (event, _), n in final.items() if event == status)
        assert page.value("relayd_delivery_delay_seconds_count", status=status) == number
    attempts = sum(n for (event, route), n in final.items() if route == "smarthost")
    assert page.value("relayd_attempts_total") == attempts
    assert page.value("relayd_store_commit_seconds_count") > 0


OUTCOMES = {"relayed", "sent", "deferred", "bounced"}


def test_sums_outlive_a_worker_and_a_reload(daemon: Daemon) -> None:
    """`kill -9` of each worker in turn, then new workers altogether: nothing is counted twice or lost."""
    port = port_of(daemon)
    for number in range(12):
        daemon.send(f"a{number}@x.test")
    eventually(lambda: scrape(port).value("relayd_outcomes_total", status="relayed") == 12, "12")
    for name in ("1", "2"):
        ready = len(daemon.events("worker_ready"))
        daemon.kill_worker(name)
        eventually(lambda: len(daemon.events("worker_ready")) > ready, "it is replaced")  # noqa: B023
        assert scrape(port).value("relayd_received_total") == 12
        eventually(lambda: scrape(port).value("relayd_workers") == 2, "two workers")
    daemon.write(workers=1, message_size="1MB")
    daemon.signal(signal.SIGHUP)
    eventually(lambda: daemon.events("reloaded"), "reloaded")
    eventually(lambda: scrape(port).value("relayd_workers") == 1, "one worker is left")
    daemon.send("late@x.test")
    eventually(lambda: scrape(port).value("relayd_outcomes_total", status="relayed") == 13, "13")
    page = scrape(port)
    assert page.value("relayd_received_total") == 13
    assert page.value("relayd_delivery_delay_seconds_count") == 13
    assert get(port, "/healthz")[0] == 200


def test_the_address_follows_a_reload(daemon: Daemon) -> None:
    """There and back at once, though workers of the settings before have a client still."""
    old, new = port_of(daemon), free_port()
    with daemon.client() as client:
        client.ehlo()
        for number, port in enumerate((new, old), 1):
            daemon.write(more=metrics_at(port))
            daemon.signal(signal.SIGHUP)
            eventually(lambda n=number: len(daemon.events("reloaded")) == n, "reloaded")  # type: ignore[misc]
            assert scrape(port).value("relayd_workers") >= 2
        assert not daemon.events("reload_refused")
    daemon.log.write_text("")  # what comes now is counted from here
    daemon.write(more=metrics_at(new))
    daemon.signal(signal.SIGHUP)
    eventually(lambda: daemon.events("reloaded"), "reloaded")
    assert scrape(new).value("relayd_workers") >= 2
    eventually(lambda: not is_open(old), "the old address is free")
    daemon.write(more="")
    daemon.signal(signal.SIGHUP)
    eventually(lambda: len(daemon.events("reloaded")) == 2, "reloaded")
    eventually(lambda: not is_open(new), "nobody listens")


def test_an_address_in_use_is_said_at_the_start(tmp_path: Path, smarthost: SmarthostThread) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = Daemon(tmp_path, smarthost.port, more=metrics_at(port)).run("serve")
    assert ran.status == 71
    assert f"cannot listen on 127.0.0.1:{port}" in ran.err


def test_connections_are_measured(daemon: Daemon) -> None:
    port = port_of(daemon)
    with daemon.client() as first, daemon.client() as second:
        first.ehlo()
        second.ehlo()
        eventually(lambda: scrape(port).value("relayd_connections", direction="in") == 2, "two in")
    eventually(lambda: scrape(port).value("relayd_connections", direction="in") == 0, "none in")
    daemon.send("a@x.test")
    eventually(lambda: scrape(port).value("relayd_connections", direction="out") > 0, "one is kept")


# -- what is built on them


@dataclass(frozen=True)
class Watched:
    """A scrape that has every family: something waits, and the doctor has been asked."""

    text: str
    page: Page


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("watched")
    (folder / "doctor.json").write_text(DOCTOR)
    port = free_port()
    with (
        a_smarthost(SCRIPT) as smarthost,
        a_daemon(folder, smarthost.port, more=metrics_at(port)) as daemon,
    ):
        daemon.send("full@x.test")
        read = ("relayd_destination_queued{", "relayd_complaints{")  # from the queue file

        def whole() -> str:
            text = get(port, "/metrics")[1]
            return text if all(f"\n{name}" in text for name in read) else ""

        text = eventually(whole, "the queue is seen")
    return Watched(text, read_page(text))


@pytest.fixture(scope="module")
def page(watched: Watched) -> Page:
    return watched.page


def expressions() -> dict[str, str]:
    """Every query of dashboard and rules, by where it stands."""
    found = dict(re.findall(r"- alert: (\w+)\n +expr: (.+)", RULES.read_text()))
    assert len(found) == RULES.read_text().count("expr:")
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            found[f"{panel['title']} {target['refId']}"] = target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found[variable["name"]] = variable["query"]["query"]
    return found


def legends() -> list[tuple[str, str]]:
    """Every label that a legend of the dashboard shows, with its query."""
    return [
        (label, target["expr"])
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel["targets"]
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
    ]


def labels_in(expression: str) -> Iterator[str]:
    for selector in re.findall(r"\{([^}]*)\}", expression):
        yield from re.findall(r"(\w+)\s*[!=]~?", selector)
    for group in re.findall(r"by \(([^)]*)\)", expression):
        yield from (label.strip() for label in group.split(","))


GIVEN = {
    "instance",
    "job",
    OF_QUEUE,
}  # labels that Prometheus adds, and one that only shared queues have


def test_the_endpoint_is_what_is_documented(page: Page) -> None:
    """Page, code and `docs/metrics.md` name the same metrics, types and labels."""
    rows = re.findall(
        r"(?m)^\| `(relayd_\w+)` \| (\w+) \|([^|]*)\| [^|]+ \|$",
        (ROOT / "docs" / "metrics.md").read_text().partition("## Of the console")[0],
    )
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert documented == {one.name: (one.kind, set(one.labels)) for one in FAMILIES}
    assert page.types == {name: kind for name, (kind, _) in documented.items()}
    for name, (kind, labels) in documented.items():
        parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        for part in parts:
            expected = labels | {"le"} if part == "_bucket" else labels
            assert page.label_names(f"{name}{part}") == expected
            assert f"{name}{part}" in page.names()


def test_dashboard_and_rules_ask_for_what_there_is(page: Page) -> None:
    """Every metric name in a query is served, and every label is one of its own."""
    for where, expression in expressions().items():
        names = set(re.findall(r"\brelayd_\w+", expression))
        assert names or expression.startswith("up{"), where
        assert names <= page.names(), where
        known = {label for name in names for label in page.label_names(name)} | GIVEN
        assert set(labels_in(expression)) <= known, where
    for label, expression in legends():
        names = set(re.findall(r"\brelayd_\w+", expression))
        assert label in {one for name in names for one in page.label_names(name)}, expression
        assert "by (" not in expression or label in set(labels_in(expression)), expression


def test_what_machines_share_is_asked_for_once(page: Page) -> None:
    """`docs/metrics.md` names what is of the queue, and no query adds that up over the machines that share it."""
    text = (ROOT / "docs" / "metrics.md").read_text()
    listed = text.partition("## Of several machines")[2].partition("All other metrics")[0]
    _, counted = count(MemoryView(Tables()), START, Complaints())
    shared = set(re.findall(r"`(relayd_\w+)`", listed))
    assert {metric.name for metric in counted} <= shared <= page.types.keys()
    for where, expression in expressions().items():
        for name in shared & set(re.findall(r"\brelayd_\w+", expression)):
            once = rf'max without \(instance\) \({name}\{{[^}}]*queue!=""[^}}]*\}}\) or {name}\{{[^}}]*queue=""'
            assert re.search(once, expression) or expression.startswith(f"max({name}"), where


def test_words_in_queries_are_words_of_ours(page: Page) -> None:
    """A value that a query selects by is one that the label can have."""
    for where, expression in expressions().items():
        for label, _, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', expression):
            if label in GIVEN:
                continue
            names = re.findall(r"\brelayd_\w+", expression)
            known = {
                dict(labels)[label]
                for (name, labels) in page.series
                if name in names and label in dict(labels)
            }
            assert set(value.split("|")) <= known, where


def test_alerts_are_documented() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    names = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert names
    assert re.findall(r"(?m)^\| `(Relayd\w+)` \|", page) == names


@pytest.mark.skipif(not shutil.which("promtool"), reason="Debian's prometheus has it")
def test_prometheus_takes_page_and_rules(watched: Watched) -> None:
    for command, given in ((["rules", str(RULES)], ""), (["metrics"], watched.text)):
        ran = subprocess.run(
            ["promtool", "check", *command],
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "metrics" not in command or not ran.stderr.strip(), ran.stderr
