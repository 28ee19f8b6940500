"""relayd under a real systemd: the units as they are shipped, and the commands of the README and the how-to.

No drop-in loosens the unit: the machine of the tests can do all of its hardening. The machine and the
relay in it are made once; each test leaves the relay running with the settings of the README.
"""

import http.client
import json
import re
import smtplib
import time
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from relayd.policy.stopping import stop_times
from tests.support.daemon import ROOT, eventually
from tests.support.howto import blocks_of
from tests.support.steady_client import a_steady_client
from tests.support.systemd_machine import Machine, a_machine

SETTINGS = "/etc/relayd/relayd.toml"
ONE_WORKER = "workers = 1\n"  # takes less time to start
README = (ROOT / "README.md").read_text()
BY_HAND = (ROOT / "docs/howto/by-hand.md").read_text()
PAGE = ROOT / "docs/howto/socket.md"
CONSOLE = ROOT / "docs/console.md"
FORM = "application/x-www-form-urlencoded"


def _block_with(line: str) -> str:
    """The commands or settings of the README and the page about each file among which this is."""
    text = README + BY_HAND
    blocks = re.finditer(r"^```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    [found] = [block[1] for block in blocks if line in block[1]]
    return str(found)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with a_machine(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


@pytest.fixture(scope="module")
def installed(machine: Machine) -> Machine:
    """Steps 1 and 2 of the README, but for pip and what is tried: the machine has no network."""
    [link] = re.findall(r"^ln -s .*", README, re.MULTILINE)
    machine.run(link)
    init = _block_with("--password-file").replace("< password", "--untested <<< secret")
    assert "relayd runs" in machine.run(init)
    _one_worker(machine)
    return machine


def _one_worker(machine: Machine) -> None:
    settings = machine.path(SETTINGS)
    settings.write_text(ONE_WORKER + settings.read_text())
    machine.run("systemctl reload relayd")


@pytest.fixture
def relay(installed: Machine) -> Iterator[Machine]:
    """The relay runs; however often the tests started it before."""
    before = installed.path(SETTINGS).read_text()
    yield installed
    verb = "start"
    if installed.path(SETTINGS).read_text() != before:
        installed.path(SETTINGS).write_text(before)
        verb = "reload-or-restart"
    installed.run(f"systemctl reset-failed relayd\nsystemctl {verb} relayd")


def _show(relay: Machine, *names: str, unit: str = "relayd") -> dict[str, str]:
    text = relay.run(f"systemctl show {unit} -p {','.join(names)}")
    return dict(line.split("=", 1) for line in text.splitlines())


def _journal(relay: Machine, event: str) -> list[dict[str, Any]]:
    """The entries of the relay in the journal about an event of its log."""
    text = relay.run("journalctl -u relayd -o json")
    entries = map(json.loads, text.splitlines())
    return [entry for entry in entries if f'"event":"{event}"' in entry["MESSAGE"]]


def _client(port: int = 2525) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", port, local_hostname="app.test", timeout=30)


def _recipients(relay: Machine) -> set[str]:
    text = relay.run("relayd status --json --limit 0")
    return {json.loads(line)["rcpt"] for line in text.splitlines()}


def test_the_steps_of_the_readme_end_with_a_relay_of_few_rights(relay: Machine) -> None:
    assert _show(relay, "ActiveState", "UnitFileState", "User") == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
        "User": "relayd",
    }
    pid = _show(relay, "MainPID")["MainPID"]
    status = relay.run(f"cat /proc/{pid}/status")
    for line in ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"):
        assert line in status
    with relay.network(), _client() as client:
        assert client.noop()[0] == 250
    assert "daemon: running" in relay.run("relayd check")
    assert not re.findall("(?i)unknown|ignoring|failed", relay.run("journalctl -u relayd -o cat"))


def test_each_file_by_hand_ends_with_the_same_relay(relay: Machine) -> None:
    """The how-to puts there what `relayd init` did."""
    made = "/etc/systemd/system/relayd.service", "/etc/relayd/relayd.toml"
    before = [relay.path(each).read_text() for each in made]
    relay.run(
        "systemctl disable --now relayd; rm -r /etc/relayd /etc/systemd/system/relayd.service"
    )
    relay.run("rm /etc/sysusers.d/relayd.conf")
    relay.run(_block_with("install -D") + _block_with("install -m 0640 /dev/null"))
    relay.path("/etc/relayd/relayd.toml").write_text(_block_with("password_file"))
    relay.path("/etc/relayd/smarthost-password").write_text("secret\n")
    relay.run(_block_with("systemctl enable"))
    _one_worker(relay)
    assert _show(relay, "ActiveState")["ActiveState"] == "active"
    unit, settings = (relay.path(each).read_text() for each in made)
    assert unit == before[0]
    assert tomllib.loads(settings) == tomllib.loads(before[1])


def test_the_journal_knows_how_bad_a_line_is(relay: Machine) -> None:
    """The lines carry their priority (`SyslogLevelPrefix`), which journald takes off."""
    assert {entry["PRIORITY"] for entry in _journal(relay, "started")} == {"6"}
    relay.path(SETTINGS).write_text("fqdn = 1")
    relay.run("systemctl kill --kill-who=main -s HUP relayd")
    [refused] = eventually(lambda: _journal(relay, "reload_refused"), "the reload is refused")
    assert refused["PRIORITY"] == "3"
    assert json.loads(refused["MESSAGE"])["level"] == "error"


def test_a_reload_that_is_refused_fails(relay: Machine) -> None:
    """Who reloads sees that it failed; the relay keeps the settings that it has."""
    right = relay.path(SETTINGS).read_text()
    relay.path(SETTINGS).write_text(f"no_such_key = 1\n{right}")
    assert relay.attempt("systemctl reload relayd").returncode != 0
    assert _show(relay, "ActiveState") == {"ActiveState": "active"}
    assert "no_such_key: unknown key" in relay.run("journalctl -u relayd -o cat")
    relay.path(SETTINGS).write_text(right.replace("relay.example.org", "mx7.example.org"))
    relay.run("systemctl reload relayd")
    with relay.network(), _client() as client:
        assert client.ehlo()[1].startswith(b"mx7.example.org")


def test_a_start_with_wrong_settings_is_not_repeated(relay: Machine) -> None:
    """RestartPreventExitStatus=: nothing would change."""
    relay.path(SETTINGS).write_text("fqdn = 1")
    assert relay.attempt("systemctl restart relayd").returncode != 0
    shown = _show(relay, "ActiveState", "SubState", "ExecMainStatus", "NRestarts")
    assert shown == {
        "ActiveState": "failed",
        "SubState": "failed",
        "ExecMainStatus": "78",
        "NRestarts": "0",
    }


def test_a_stop_ends_within_its_time(relay: Machine) -> None:
    """A client in the middle of a message does not hold it up, and systemd kills nothing."""
    relay.run("relayd config set limits.stop_within 1s")
    with relay.network():
        client = _client()
    client.docmd("EHLO app.test")
    client.docmd("MAIL FROM:<a@x.test>")
    client.docmd("RCPT TO:<stalls@x.test>")
    assert client.docmd("DATA")[0] == 354
    began = time.monotonic()
    relay.run("systemctl stop relayd")
    assert time.monotonic() - began < stop_times(timedelta(seconds=1)).process
    client.close()
    assert _show(relay, "Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}


def test_a_restart_keeps_the_queue(relay: Machine) -> None:
    with relay.network(), _client() as client:
        client.sendmail("app@example.org", "kept@example.com", "Subject: x\n\nx\n")
    before = _show(relay, "MainPID")
    relay.run("systemctl restart relayd")
    assert _show(relay, "MainPID") != before
    assert "kept@example.com" in _recipients(relay)
    owner = relay.run("stat -c %U:%G:%a /var/lib/relayd /var/lib/relayd/queue.db /run/relayd")
    assert owner.split() == ["relayd:relayd:750", "relayd:relayd:640", "relayd:relayd:755"]


def test_a_relay_that_is_killed_comes_back(relay: Machine) -> None:
    before = _show(relay, "MainPID")
    relay.run("systemctl kill --kill-who=main -s KILL relayd")
    eventually(
        lambda: (
            _show(relay, "ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "1"}
        ),
        "systemd has started it again",
    )
    assert _show(relay, "MainPID") != before


def test_the_howto_moves_a_running_relay_to_a_socket(relay: Machine) -> None:
    """Its commands in their order; from the moment on at which the socket listens, nobody is refused."""
    settings, *commands = [block.text for block in blocks_of(PAGE) if block.kind != "prints"]
    begin, move, back = commands
    relay.path(SETTINGS).write_text(ONE_WORKER + settings)
    relay.run(begin)
    with a_steady_client(587, relay.network()) as client:
        assert "daemon: running" in relay.run(move)
        eventually(lambda: client.accepted, "mail came in")
        _need_the_socket(relay)
        relay.run("systemctl restart relayd")
        seen = len(client.accepted)
        eventually(lambda: len(client.accepted) > seen, "mail came in after the restart")
        relay.run("systemctl stop relayd")  # the next client starts it
        seen = len(client.accepted)
        eventually(lambda: len(client.accepted) > seen, "mail came in after the stop")
    assert set(client.accepted) <= _recipients(relay)
    relay.run("systemctl stop relayd.socket relayd")
    with relay.network(), pytest.raises(ConnectionRefusedError):
        _client(587)
    _need_the_socket(relay, needs=False)
    relay.run(f"systemctl reset-failed relayd\nsystemctl start relayd.socket relayd\n{back}")
    with relay.network(), _client(2525) as again:
        assert again.noop()[0] == 250


def _need_the_socket(relay: Machine, *, needs: bool = True) -> None:
    """What the how-to has `systemctl edit relayd` do, and undo."""
    [drop_in] = re.findall(r"^```ini\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    folder = relay.path("/etc/systemd/system/relayd.service.d")
    folder.mkdir(exist_ok=True)
    (folder / "override.conf").write_text(drop_in if needs else "")
    relay.run("systemctl daemon-reload")


def test_systemd_gives_no_socket_to_a_relay_that_runs(relay: Machine) -> None:
    """Which is why the order counts."""
    relay.run("install -m 0644 systemd/relayd.socket /etc/systemd/system/relayd.socket")
    relay.run("systemctl daemon-reload")
    refused = relay.attempt("systemctl enable --now relayd.socket")
    assert refused.returncode != 0
    relay.run("systemctl disable relayd.socket\nrm /etc/systemd/system/relayd.socket")


def test_the_console_runs_beside_it_as_a_user_of_its_own(relay: Machine) -> None:
    """The commands of its page; it reads the queue, and the daemon acts for the account that asks."""
    [commands] = [block.text for block in blocks_of(CONSOLE) if block.kind == "run"]
    relay.run(commands)
    relay.run("echo 'correct horse battery' | relayd console user add anna --role operator")
    shown = _show(relay, "ActiveState", "User", "MainPID", unit="relayd-console")
    assert (shown["ActiveState"], shown["User"]) == ("active", "relayd-console")
    with relay.network():
        with _client() as client:
            client.sendmail("app@app.test", "later@x.test", b"Subject: Hello\r\n\r\nHello.\r\n")
        browser = http.client.HTTPConnection("127.0.0.1", 8025, timeout=30)
        same = {"Sec-Fetch-Site": "same-origin", "Content-Type": FORM}
        login = urlencode({"name": "anna", "password": "correct horse battery"})
        browser.request("POST", "/login", login, same)
        answer = browser.getresponse()
        answer.read()
        cookie = {"Cookie": (answer.getheader("Set-Cookie") or "").partition(";")[0]}
        browser.request("GET", "/messages?recipient=later@x.test", headers=cookie)
        page = browser.getresponse().read().decode()
        token = page.partition('name="token" value="')[2].partition('"')[0]
        row = page.partition('name="row" value="')[2].partition('"')[0]
        hold = urlencode({"token": token, "action": "hold", "row": row})
        browser.request("POST", "/messages/act", hold, same | cookie)
        answer = browser.getresponse()
        answer.read()
        assert answer.getheader("Location") == "/messages?done=hold&count=1"
        browser.close()
    assert "held by anna (console)" in relay.run(f"relayd status {row.partition('.')[0]}")
    journal = relay.run("journalctl -u relayd-console -o cat")
    assert not re.findall("(?i)unknown|ignoring|failed|warning", journal)
    relay.run("systemctl disable --now relayd-console")
    assert _show(relay, "Result", unit="relayd-console") == {"Result": "success"}
