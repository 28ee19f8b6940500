"""Settings that the console changes, at a real daemon: the control verb, and the page."""

import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from html import unescape
from pathlib import Path

import pytest

from relayd.control import client
from relayd.control.set_keys import set_to_json
from relayd.errors import RelaydError
from relayd.policy.console.roles import Role, Scope
from relayd.ports.people import AuditQuery
from relayd.settings import HostPort
from relayd.sockets import listen_tcp
from relayd.store import open_view
from tests.support.api import Program
from tests.support.console import Console, a_console
from tests.support.daemon import Daemon, a_daemon, a_smarthost, eventually
from tests.support.ports import free_port

NAME = "relay.firm-of-ours.com"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("settings")
    more = f'[dns]\nnameservers = ["127.0.0.1:{free_port()}"]\ntimeout = "1s"\n'
    with (
        a_smarthost() as smarthost,
        a_daemon(folder, smarthost.port, workers=1, more=more) as daemon,
    ):
        yield daemon


@pytest.fixture(scope="module")
def console(daemon: Daemon) -> Iterator[Console]:
    with a_console(daemon.folder, beside=daemon.file) as console:
        yield console


def running(daemon: Daemon, name: str) -> str:
    return client.running_settings(str(daemon.folder / "control.sock")).values[name]


def form_of(console: Console, **changes: str) -> dict[str, str]:
    """Return the form as the page has it, with changes."""
    text = console.get("/settings", role=Role.ADMIN).text
    [fqdn] = re.findall(r'name="was_fqdn" value="([^"]*)"', text)
    [mode] = re.findall(r'name="was_use_remote_smtp" value="([^"]*)"', text)
    seen = {"was_fqdn": fqdn, "to_fqdn": fqdn}
    return {**seen, "was_use_remote_smtp": mode, "to_use_remote_smtp": mode, **changes}


def test_what_the_daemon_refuses_is_put_back(daemon: Daemon) -> None:
    socket, was = str(daemon.folder / "control.sock"), running(daemon, "fqdn").strip('"')
    text = daemon.file.read_text()
    with closing(listen_tcp(HostPort(host="127.0.0.1", port=0))[0]) as taken:
        host, port = taken.getsockname()
        daemon.file.write_text(f'{text}\n[[listen]]\naddress = "{host}:{port}"\n')
        with pytest.raises(RelaydError, match=str(port)):
            client.ask(socket, set_to_json({"fqdn": (NAME, was)}), timeout=60)
    daemon.file.write_text(text)
    assert daemon.run("config", "get", "fqdn").out.strip() == was


def test_a_change_whose_worker_dies_counts_no_more(tmp_path: Path) -> None:
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port, workers=1) as daemon:
        socket, trial = str(tmp_path / "control.sock"), tmp_path / "console.trial.toml"
        worker = daemon.events("worker_ready")[-1]["worker"]
        daemon.signal(signal.SIGSTOP)  # the supervisor: so there is no answer
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(client.ask, socket, set_to_json({"fqdn": (NAME, "relay.test")}))
            try:
                eventually(trial.exists, "the change is tried")
            finally:
                daemon.kill_worker(worker)
            with pytest.raises(RelaydError):
                asked.result()
        daemon.signal(signal.SIGCONT)
        eventually(lambda: len(daemon.events("worker_ready")) > 1, "another worker")
        assert running(daemon, "fqdn") == '"relay.test"'
        assert daemon.run("config", "get", "fqdn").out.strip() == "relay.test"
        daemon.stop()
        daemon.up()
        assert running(daemon, "fqdn") == '"relay.test"'
        [dropped] = daemon.events("console_change_dropped")
        assert dropped["file"] == str(trial)
        assert not trial.exists()


def test_the_daemon_runs_with_what_is_set(daemon: Daemon) -> None:
    socket = str(daemon.folder / "control.sock")
    fqdn = running(daemon, "fqdn").strip('"')
    client.ask(socket, set_to_json({"fqdn": (NAME, fqdn)}), timeout=60)
    assert running(daemon, "fqdn") == f'"{NAME}"'
    [row] = daemon.run("config", "get", "fqdn", "--json").rows
    assert (row["value"], row["from"]) == (NAME, "console")
    with pytest.raises(RelaydError, match="somebody else was faster"):
        client.ask(socket, set_to_json({"fqdn": ("x.firm-of-ours.com", fqdn)}), timeout=60)
    client.ask(socket, set_to_json({"fqdn": (fqdn, NAME)}), timeout=60)
    assert running(daemon, "fqdn") == f'"{fqdn}"'


def test_a_program_reads_and_changes_settings(console: Console, daemon: Daemon) -> None:
    program = Program(console=console)
    key = program.key(Scope.ADMIN, name="set-up")

    def patch(**wanted: object) -> tuple[int, str]:
        answer = program.send("PATCH", "/settings", wanted, key=key)
        return answer.status, answer.json.get("detail", "")

    def told() -> dict[str, dict[str, object]]:
        answer = program.send("GET", "/settings", key=key).json
        assert answer["may_change"] == ["fqdn", "use_remote_smtp"]
        return {each["key"]: each for each in answer["settings"]}

    was = told()["fqdn"]["value"]
    assert patch(fqdn={"to": NAME, "was": was}) == (200, "")
    assert running(daemon, "fqdn") == f'"{NAME}"'
    assert (told()["fqdn"]["value"], told()["fqdn"]["from"]) == (NAME, "console")
    status, detail = patch(fqdn={"to": "x.firm-of-ours.com", "was": was})
    assert (status, "somebody else was faster" in detail) == (409, True)
    status, detail = patch(fqdn={"to": was, "was": NAME}, hostname={"to": "x", "was": "y"})
    assert (status, "does not let the console change hostname" in detail) == (409, True)
    for wrong in ({}, {"fqdn": {"to": 1, "was": NAME}}, {"fqdn": {"to": NAME}}):
        assert patch(**wrong)[0] == 422, wrong
    assert running(daemon, "fqdn") == f'"{NAME}"'
    assert patch(fqdn={"to": was, "was": NAME}) == (200, "")
    with closing(open_view(console.url)) as view:
        [row] = view.people.audit(AuditQuery(), limit=1)
    assert (row.by, row.action, row.target) == ("set-up (API key)", "set", "fqdn")


def test_a_change_is_seen_confirmed_told_and_put_back(console: Console, daemon: Daemon) -> None:
    before = daemon.file.read_bytes()
    form = form_of(console, to_fqdn=NAME, to_use_remote_smtp="true")
    asks = console.post("/settings", role=Role.ADMIN, form=form).text
    assert "use_remote_smtp: false → true" in asks
    assert f"fqdn: relay.test → {NAME}" in asks
    assert "it is slower than the smarthost" in asks
    assert "run `relayd doctor` for the rest" in asks
    assert running(daemon, "use_remote_smtp") == "false"
    done = console.post("/settings/confirm", role=Role.ADMIN, form=form)
    assert (done.status, done.location) == (303, "/settings")
    assert running(daemon, "use_remote_smtp") == "true"
    assert daemon.file.read_bytes() == before
    cookie = f"relayd={console.token(Role.ADMIN)}; {done.headers['set-cookie'].partition(';')[0]}"
    shown = console.get("/messages", Cookie=cookie).text
    assert "use_remote_smtp: false → true" in shown
    assert "daemon: runs with it now" in shown
    assert "Put back" not in console.get("/messages", role=Role.ADMIN).text
    back = {
        "to_use_remote_smtp": "false",
        "was_use_remote_smtp": "true",
        "to_fqdn": "relay.test",
        "was_fqdn": NAME,
    }
    assert console.post("/settings/confirm", role=Role.ADMIN, form=back).status == 303
    assert running(daemon, "use_remote_smtp") == "false"
    with closing(open_view(console.url)) as view:
        found = view.people.audit(AuditQuery(), limit=2)
    told = {(each.by, each.action, each.target, each.detail) for each in found}
    assert told == {
        ("admin (console)", "set", "use_remote_smtp", "true → false"),
        ("admin (console)", "set", "fqdn", f'"{NAME}" → "relay.test"'),
    }


@pytest.mark.parametrize("path", ["/settings", "/settings/confirm"])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"was_fqdn": "seen.test", "to_fqdn": NAME}, "somebody else was faster: fqdn is"),
        ({"to_fqdn": "a b"}, "Not updated; the old values stay"),
        ({"to_use_remote_smtp": "true"}, "which is nobody's in the public DNS"),
    ],
)
def test_what_is_refused_is_told_and_changes_nothing(
    console: Console, daemon: Daemon, changes: dict[str, str], words: str, path: str
) -> None:
    page = console.post(path, role=Role.ADMIN, form=form_of(console, **changes))
    assert page.status == 409
    assert words in unescape(page.text)
    assert "set-cookie" not in page.headers
    assert running(daemon, "fqdn") == '"relay.test"'


def test_every_key_is_told(console: Console, daemon: Daemon) -> None:
    text = console.get("/settings", role=Role.ADMIN).text
    names = client.running_settings(str(daemon.folder / "control.sock")).values
    assert [name for name in names if f">{name}</th>" not in text] == []
    assert "relayd config set KEY VALUE" in text


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_only_admins_have_the_page(console: Console, role: Role) -> None:
    assert console.get("/settings", role=role).status == 403
    assert console.post("/settings/confirm", role=role).status == 403


@pytest.mark.parametrize("cookie", ["x", "e30=", "eyJ2ZXJiIjoic2V0In0=", "W10=", "%"])
def test_a_strange_cookie_is_no_banner(console: Console, cookie: str) -> None:
    token = console.token(Role.ADMIN)
    page = console.get("/", Cookie=f"relayd={token}; relayd_changed={cookie}")
    assert (page.status, "Put back" in page.text) == (200, False)


def test_the_head_of_a_page_has_the_name_that_counts_now(console: Console, daemon: Daemon) -> None:
    """It is asked for by no page that waits: the change is seen within some seconds."""
    was = running(daemon, "fqdn").strip('"')

    def wait_for(name: str) -> None:
        deadline = time.monotonic() + 30
        while f'<span class="fqdn">{name}</span>' not in console.get("/login").text:
            assert time.monotonic() < deadline

    client.ask(str(daemon.folder / "control.sock"), set_to_json({"fqdn": (NAME, was)}), timeout=60)
    wait_for(NAME)
    client.ask(str(daemon.folder / "control.sock"), set_to_json({"fqdn": (was, NAME)}), timeout=60)
    wait_for(was)
