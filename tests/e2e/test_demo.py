"""`relayd demo`: the whole relay in a few seconds, in both modes, with the statuses it promises."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from relayd.cli.demo.servers import Script, mail_servers
from relayd.errors import StartError
from tests.support.daemon import ROOT, eventually

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
EXPECTED_DIRECT = {
    "hanna@mill.test": "sent",
    "nobody@mill.test": "bounced hard",
    "ida@nowhere.test": "bounced hard",
    "jan@nomail.test": "bounced hard",
    "full@mill.test": "bounced soft",
    "strict@fort.test": "bounced block",
    "grey@fort.test": "sent",
    "karl@pair.test": "sent",
    "lena@dead.test": "deferred",
    "max@mill.test": "relayed",
    "nora@proxy.test": "bounced hard",
}
TRIED_TWICE = {"busy@b.test", "grey@c.test", "full@b.test", "unsure@d.test", "tired@d.test"}
TRIED_TWICE |= {"full@mill.test", "grey@fort.test"}
SMARTHOST_TITLE = "\nThrough the smarthost (use_remote_smtp = false)\n"
DIRECT_TITLE = "\nDirect to the recipients' servers (use_remote_smtp = true)\n"


def demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "relayd", "demo", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


@pytest.mark.usefixtures("unmeasured")
def test_every_sample_gets_its_status() -> None:
    began = time.monotonic()
    done = demo("--json")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 10
    everything = [json.loads(line) for line in done.stdout.splitlines()]
    reports = sorted(row["status"] for row in everything if not row["from"])
    assert reports == ["relayed"] * 5 + ["sent"] * 6, "one for each message with a bounce"
    rows = {row["rcpt"]: row for row in everything if row["from"]}
    told = {
        rcpt: " ".join(filter(None, (row["status"], row.get("bounce_class"))))
        for rcpt, row in rows.items()
    }
    assert told == EXPECTED | EXPECTED_DIRECT
    assert {rcpt for rcpt, row in rows.items() if row["attempt"] == 2} == TRIED_TWICE
    assert rows["unsure@d.test"]["possible_duplicate"], "its first dot got no answer"
    assert rows["nobody@shop.test"]["suppress"]
    assert not rows["full@b.test"].get("suppress")
    assert rows["anna@shop.test"]["tag"] == "order-1001"
    assert rows["karl@pair.test"]["remote_host"] == "backup.pair.test"
    assert rows["lena@dead.test"]["category"] == "connection_failure"
    assert rows["ida@nowhere.test"]["category"] == "bad_domain"
    assert rows["max@mill.test"]["destination"] == "smarthost"
    assert rows["nora@proxy.test"]["suppress"], "its asynchronous bounce was understood"


def test_it_reads_as_a_story() -> None:
    done = demo()
    assert done.returncode == 0, done.stderr
    assert "too large for the relay: 552 5.3.4" in done.stdout
    first, rest = _tables(done.stdout)
    assert "nobody@shop.test" in first
    assert "1 deferred, 9 relayed, 5 bounced; 5 reports of bounces to app@shop.test" in first
    assert "nobody@mill.test" in rest
    assert "mail for nora@proxy.test comes back late: 250 2.0.0" in done.stdout
    assert "1 deferred, 1 relayed, 3 sent, 6 bounced; 6 reports" in rest
    assert "relayd status show ID" in rest
    assert "Traceback" not in done.stdout + done.stderr


TABLE_A = {
    int(row[1]): [cell.strip() for cell in row[2].split("|")]
    for row in re.finditer(r"(?m)^\| (\d+) \| (.*) \|$", (ROOT / "docs/tls.md").read_text())
}
AS_IN = {10: 14, 15: 11}  # rows that refer to others: without a policy, and with one that is kept
TRUST = {  # status of the mail at the best host, what the host has shown, and what failed
    "entry.test": ("sent", "encrypted", "certificate-not-trusted"),
    "entry-dane.test": ("sent", "dane-ee", None),
    "entry-no-dane.test": ("deferred", "none", "dane-required"),
    "lifted.test": ("sent", "encrypted", "certificate-not-trusted"),
    "bogus.test": ("deferred", "none", "dnssec-invalid"),
    "dane.test": ("sent", "dane-ee", None),
    "dane-old.test": ("deferred", "encrypted", "validation-failure"),
    "dane-unlisted.test": ("next host", "none", "validation-failure"),
    "dane-host.test": ("sent", "dane-ee", None),
    "unusable.test": ("sent", "encrypted", "certificate-not-trusted"),
    "insecure.test": ("sent", "encrypted", "certificate-not-trusted"),
    "sts.test": ("sent", "pkix", None),
    "sts-unproven.test": ("deferred", "encrypted", "certificate-not-trusted"),
    "sts-unlisted.test": ("next host", "none", "validation-failure"),
    "sts-testing.test": ("sent", "encrypted", "certificate-not-trusted"),
    "nothing.test": ("sent", "none", "starttls-not-supported"),
    "sts-kept.test": ("sent", "pkix", None),
}


@pytest.mark.slow
@pytest.mark.usefixtures("unmeasured")
def test_every_row_of_table_a_happens() -> None:
    done = demo("--trust", "--json")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["row"] for row in rows} == set(TABLE_A)
    told = {row["domain"]: (row["status"], row["tls_proof"], row.get("tls_result")) for row in rows}
    assert told == TRUST
    for row in rows:
        *_, shows, policy = TABLE_A[AS_IN.get(row["row"], row["row"])]
        assert f"`{row['tls_policy']}`" == policy, row
        if refused := re.fullmatch(r"refused: `(.*)`", shows):
            assert (row["tls_proof"], row["tls_result"]) == ("none", refused[1]), row


@pytest.mark.slow
def test_what_hosts_have_to_show_is_a_table() -> None:
    done = demo("--trust")
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    assert lines[0][-3:] == ["TLS_POLICY", "TLS_PROOF", "TLS_RESULT"]
    shown = {line[1]: line for line in lines[1:]}
    assert list(shown) == list(TRUST)
    assert shown["sts-kept.test"] == [
        "15",
        "sts-kept.test",
        "MTA-STS enforce, record gone; trusted authority",
        "sent",
        "mta-sts",
        "pkix",
        "",
    ]


@pytest.mark.parametrize("other", ["--json", "--trust"])
def test_the_console_shows_nothing_else(other: str) -> None:
    done = demo("--console", other)
    assert done.returncode == os.EX_USAGE
    assert f"{other} and --console exclude each other." in done.stderr


def _tables(text: str) -> tuple[str, str]:
    """The smarthost's table, and the direct one with what follows."""
    _, _, tables = text.rpartition(SMARTHOST_TITLE)
    first, _, rest = tables.partition(DIRECT_TITLE)
    return first, rest


def test_mail_servers_that_cannot_share_a_port() -> None:
    hosts = [("a.test", "127.0.0.2"), ("b.test", "127.0.0.2")]
    with (
        pytest.raises(StartError, match=r"no port is free on 127\.0\.0\.2, 127\.0\.0\.2"),
        mail_servers(Script(rcpt={}, dot={}), hosts),
    ):
        pass


COMMAND = [sys.executable, "-m", "relayd", "demo", "--console"]


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: the path of a unix socket has 107 octets at most."""
    with tempfile.TemporaryDirectory(prefix="r-") as name:
        yield Path(name)


@pytest.mark.usefixtures("unmeasured")
def test_the_console_shows_a_dozen_statuses_within_ten_seconds_and_ends(short: Path) -> None:
    began = time.monotonic()
    process = subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(short)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    browser = http.client.HTTPConnection("127.0.0.1", timeout=10)
    try:
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in range(2))
        found = re.search(r":(\d+)/\nLog in as (\w+) with the password (\S+)", said)
        assert found, said
        browser.port = int(found[1])
        form = urlencode({"name": found[2], "password": found[3], "next": "/"})
        headers = {
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        browser.request("POST", "/login", form, headers)
        answer = browser.getresponse()
        answer.read()
        assert answer.status == 303
        cookie = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}

        def page(path: str) -> str:
            browser.request("GET", path, headers=cookie)
            return browser.getresponse().read().decode()

        def shows_all() -> bool:
            text = page("/messages")
            return all(rcpt in text for rcpt in EXPECTED_DIRECT) and all(
                word in text for word in ("sent", "relayed", "bounced", "deferred")
            )

        eventually(shows_all, "every status is there")
        assert time.monotonic() - began < 10
        assert "relay.demo.test" in page("/")
    finally:
        browser.close()
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (0, "")
    assert not list(short.iterdir()), "the temporary queue is gone"


def test_the_console_without_its_packages(tmp_path: Path) -> None:
    (tmp_path / "starlette.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'starlette'\")"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        COMMAND,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == os.EX_OSERR
    assert "pip install 'relayd[web]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
