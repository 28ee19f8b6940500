"""A proxy before the console says who somebody is, and who only pretends to be one."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from relayd.console.proxy import Proxy
from relayd.errors import StartError
from relayd.policy.console.proxy_login import ProxyRules
from relayd.policy.console.roles import Role
from relayd.ports.people import AuditEntry, AuditQuery
from relayd.settings import ConsoleProxySettings
from relayd.store import open_view
from tests.support.console import PASSWORD, Console, Page, a_console

SECRET = "a secret of the proxy"
PROXY = """
[console.proxy]
header = "Remote-User"
networks = ["127.0.0.1/32"]
secret_file = "proxy-secret"
"""
TOLD = {"X-Relayd-Secret": SECRET}


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("proxy")
    file = folder / "proxy-secret"
    file.touch(0o600)
    file.write_text(SECRET + "\n")
    with a_console(folder, more=PROXY) as console:
        console.account("anna", Role.OPERATOR)
        console.account("bert", Role.VIEWER)
        console.account("dora", Role.ADMIN, disabled=True)
        yield console


def log_in(console: Console, name: str = "anna", path: str = "/login", **headers: str) -> Page:
    return console.request("GET", path, headers={"Remote-User": name, **TOLD, **headers})


def is_in(page: Page) -> bool:
    return page.status == 200 and "<h1>Logged in</h1>" in page.text


def cookie_of(page: Page) -> str:
    return page.headers["set-cookie"].partition(";")[0]


def last_log_in(console: Console) -> AuditEntry:
    with closing(open_view(console.url)) as view:
        return view.people.audit(AuditQuery(action="logged_in"), limit=1)[0]


def test_whom_the_proxy_names_is_let_in(console: Console) -> None:
    assert log_in(console, path="/messages?tag=x").location == "/login?next=/messages%3Ftag%3Dx"
    page = log_in(console, path="/login?next=/messages%3Ftag%3Dx")
    assert is_in(page)
    assert 'content="0;url=/login?landed=1&amp;next=%2Fmessages%3Ftag%3Dx"' in page.text
    assert "SameSite=strict" in page.headers["set-cookie"]
    cookie = cookie_of(page)
    on = console.get("/login?landed=1&next=%2Fmessages%3Ftag%3Dx", Cookie=cookie)
    assert (on.status, on.location) == (303, "/messages?tag=x")
    assert console.get("/messages", Cookie=cookie).status == 200


def test_the_role_is_that_of_the_account(console: Console) -> None:
    cookie = cookie_of(log_in(console))
    assert console.get("/users", Cookie=cookie).status == 403
    assert console.get("/test-mail", Cookie=cookie).status == 200


def test_the_audit_says_that_it_was_the_proxy(console: Console) -> None:
    log_in(console)
    row = last_log_in(console)
    assert (row.by, row.target, row.detail) == ("anna (console)", "anna", "by the proxy")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Relayd-Secret": ""},
        {"X-Relayd-Secret": "wrong"},
        {"X-Relayd-Secret": SECRET + "x"},
        {"X-Relayd-Secret": SECRET.upper()},
        {"Remote-User": "Anna"},
        {"Remote-User": "anna, bert"},
        {"Remote-User": "../anna"},
        {"Remote-User": "\xe4nna"},
        {"Remote-User": "<b>anna</b>"},
    ],
)
def test_what_is_in_doubt_lets_nobody_in(headers: dict[str, str], console: Console) -> None:
    page = log_in(console, **headers)
    assert page.status == 200
    assert "<h1>Log in</h1>" in page.text
    assert "set-cookie" not in page.headers
    assert "anna" not in page.text


@pytest.mark.parametrize("twice", [{"Remote-User": "bert"}, {"remote-user": "anna"}, TOLD])
def test_a_header_that_comes_twice_is_not_believed(twice: dict[str, str], console: Console) -> None:
    headers = {"Remote-User": "anna", **TOLD}
    assert not is_in(console.request("GET", "/login", headers=headers, twice=twice))


def test_loopback_alone_is_no_proof(console: Console) -> None:
    with capture_logs() as logs:
        assert not is_in(console.request("GET", "/login", headers={"Remote-User": "anna"}))
    [entry] = [each for each in logs if each["event"] == "console_proxy_not_believed"]
    assert entry["reason"] == "the shared secret is missing or wrong"
    assert SECRET not in str(logs)


@pytest.mark.parametrize("name", ["nobody", "dora"])
def test_who_has_no_account_here_is_told_so(name: str, console: Console) -> None:
    page = log_in(console, name)
    assert page.status == 403
    assert f"you are {name}: there is no such account here" in page.text
    assert "set-cookie" not in page.headers


def test_on_the_unix_socket_no_secret_is_needed(console: Console) -> None:
    headers = {"Host": "localhost", "Remote-User": "anna", "X-Forwarded-For": "192.0.2.9"}
    page = console.request("GET", "/login", headers=headers, is_unix=True)
    assert is_in(page)
    assert last_log_in(console).client == "192.0.2.9"


def test_a_session_is_not_for_somebody_else_whom_the_proxy_names(console: Console) -> None:
    cookie = cookie_of(log_in(console))
    assert log_in(console, "anna", "/", Cookie=cookie).status == 200
    assert log_in(console, "bert", "/", Cookie=cookie).location == "/login"
    assert log_in(console, "bert", "/", Cookie=cookie, **{"X-Relayd-Secret": "x"}).status == 200


def test_who_has_left_is_not_let_in_at_once(console: Console) -> None:
    page = log_in(console, path="/login?left=1")
    assert not is_in(page)
    assert '<a href="/login">Log in as anna</a>' in page.text


def test_a_browser_that_keeps_no_cookie_does_not_go_round(console: Console) -> None:
    page = log_in(console, path="/login?landed=1&next=/")
    assert page.status == 403
    assert "did not keep the cookie" in page.text


@pytest.mark.parametrize("path", ["//evil.test", "https://evil.test/", "/\\evil.test", "/a\tb"])
def test_it_leads_to_no_other_site(path: str, console: Console) -> None:
    page = log_in(console, path=f"/login?next={quote(path)}")
    assert 'url=/login?landed=1&amp;next=%2F"' in page.text
    cookie = cookie_of(page)
    assert console.get(f"/login?landed=1&next={quote(path)}", Cookie=cookie).location == "/"


def test_a_password_is_still_good(console: Console) -> None:
    assert console.post("/login", name="bert", password=PASSWORD).status == 303


def test_without_the_setting_no_header_is_looked_at(tmp_path: Path) -> None:
    with a_console(tmp_path) as plain:
        plain.account("anna", Role.VIEWER)
        headers = {"Host": "localhost", "Remote-User": "anna"}
        assert not is_in(plain.request("GET", "/login", headers=headers, is_unix=True))


def test_a_secret_that_cannot_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    rules = ProxyRules(header="remote-user")
    file = tmp_path / "proxy-secret"
    with pytest.raises(StartError, match=r"console\.proxy\.secret_file: there is no such file"):
        Proxy(ConsoleProxySettings(rules=rules, secret_file=str(file)))
    file.touch(0o600)
    with pytest.raises(StartError, match="the file is empty"):
        Proxy(ConsoleProxySettings(rules=rules, secret_file=str(file)))
