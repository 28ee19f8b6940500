"""Who gets into the console, and what it refuses before a page is made."""

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import timedelta
from functools import partial

import pytest
from starlette.requests import Request

from relayd.console import limits, sessions
from relayd.console.guard import client_of, token_of
from relayd.console.headers import HEADERS
from relayd.console.routes import PAGES
from relayd.policy.console.roles import Role, Scope, may, scopes_of
from tests.support.console import PASSWORD, Console, a_console, fill

SAME = {"Sec-Fetch-Site": "same-origin"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
READ, OPERATE, ADMIN, CONTENT = Scope.READ, Scope.OPERATE, Scope.ADMIN, Scope.CONTENT
NEEDS = {
    "GET /health": None,
    "GET /login": None,
    "POST /login": None,
    "GET /login/oidc": None,
    "GET /login/oidc/back": None,
    "POST /logout": READ,
    "POST /theme": READ,
    "GET /": READ,
    "GET /messages": READ,
    "GET /messages.csv": READ,
    "POST /messages/act": OPERATE,
    "POST /messages/act-on-all": OPERATE,
    "GET /messages/{queue_id}": READ,
    "POST /messages/{queue_id}/requeue": OPERATE,
    "POST /messages/{queue_id}/source": CONTENT,
    "GET /addresses": READ,
    "GET /addresses.csv": READ,
    "POST /addresses/suppress": OPERATE,
    "POST /addresses/unsuppress": OPERATE,
    "GET /addresses/import": OPERATE,
    "POST /addresses/import": OPERATE,
    "POST /addresses/import/apply": OPERATE,
    "GET /addresses/{rcpt:path}": READ,
    "GET /password": READ,
    "POST /password": READ,
    "GET /destinations": READ,
    "GET /destinations/{key}": READ,
    "GET /bounces": READ,
    "GET /settings": ADMIN,
    "POST /settings": ADMIN,
    "POST /settings/confirm": ADMIN,
    "POST /settings/dismiss": ADMIN,
    "GET /doctor": READ,
    "POST /doctor": ADMIN,
    "GET /test-mail": OPERATE,
    "POST /test-mail": OPERATE,
    "GET /users": ADMIN,
    "POST /users": ADMIN,
    "POST /users/change": ADMIN,
    "POST /users/password": ADMIN,
    "POST /users/sign-out": ADMIN,
    "POST /users/remove": ADMIN,
    "GET /users/{name}": ADMIN,
    "GET /keys": ADMIN,
    "POST /keys": ADMIN,
    "POST /keys/change": ADMIN,
    "POST /keys/remove": ADMIN,
    "GET /webhooks": ADMIN,
    "POST /webhooks": ADMIN,
    "GET /webhooks/{number:count}": ADMIN,
    **{
        f"POST /webhooks/{{number:count}}/{each}": ADMIN
        for each in ("change", "rotate", "test", "replay", "remove")
    },
    "GET /audit": ADMIN,
    "GET /audit.csv": ADMIN,
}
NO_RIGHT = "does not have the right"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with a_console(tmp_path_factory.mktemp("console"), fill) as console:
        yield console


def test_every_page_has_its_row_here() -> None:
    assert {f"{page.method} {page.path}": page.needs for page in PAGES} == NEEDS


@pytest.mark.parametrize("route", [route for route, needs in NEEDS.items() if needs])
@pytest.mark.parametrize("role", [None, *Role, "reader"])
def test_a_page_is_for_those_who_have_the_right(
    route: str, role: Role | str | None, console: Console
) -> None:
    method, path = route.split()
    if path == "/logout":  # others need the session
        return
    path = (
        path.replace("{queue_id}", "0CNSP4QE20400")
        .replace("{rcpt:path}", "a@x.test")
        .replace("{name}", "ann")
        .replace("{key}", "smarthost")
        .replace("{number:count}", "1")
    )
    reads_content = role == "reader"
    held = Role.VIEWER if reads_content else role
    assert not isinstance(held, str) or isinstance(held, Role)
    if method == "GET":
        page = console.get(path, role=held)
    else:
        page = console.post(path, role=held, reads_content=reads_content)
    if held is None:
        assert page.status == (303 if method == "GET" else 401)
        assert method == "POST" or page.location.startswith("/login")
        return
    needed = NEEDS[route]
    assert needed is not None
    is_allowed = may(scopes_of(held, reads_content=reads_content), needed)
    assert (page.status == 403 and NO_RIGHT in page.text) == (not is_allowed)


# Logging in


def test_a_right_password_opens_a_session_in_a_cookie_for_us_alone(console: Console) -> None:
    console.account("anna", Role.VIEWER)
    page = console.post("/login", name="anna", password=PASSWORD, next="/messages?tag=x")
    assert (page.status, page.location) == (303, "/messages?tag=x")
    cookie = page.headers["set-cookie"]
    assert re.fullmatch(r"relayd=[\w-]{43}; HttpOnly; Path=/; SameSite=strict", cookie)
    assert console.get("/", Cookie=cookie.partition(";")[0]).status == 200


def test_through_a_proxy_the_cookie_is_for_tls_only(console: Console) -> None:
    console.account("berta", Role.VIEWER)
    headers = {"Host": "console.example.org"}
    page = console.post("/login", name="berta", password=PASSWORD, headers=headers)
    cookie = page.headers["set-cookie"]
    assert cookie.startswith("__Host-relayd=")
    assert "; Secure" in cookie
    given = cookie.partition(";")[0]
    assert console.get("/", Cookie=given, Host="console.example.org").status == 200
    assert console.get("/", Cookie=given).status == 303  # it is no cookie of loopback


def test_a_wrong_password_and_an_unknown_name_are_refused_alike(console: Console) -> None:
    console.account("carla", Role.VIEWER)
    wrong = console.post("/login", name="carla", password="wrong")
    unknown = console.post("/login", name="karla", password="wrong")
    assert wrong.status == unknown.status == 403
    assert "Name or password is wrong." in wrong.text
    assert wrong.text.replace("carla", "karla") == unknown.text


def test_who_is_disabled_is_not_let_in(console: Console) -> None:
    console.account("dora", Role.ADMIN, disabled=True)
    assert console.post("/login", name="dora", password=PASSWORD).status == 403


def test_who_guesses_has_to_wait(tmp_path_factory: pytest.TempPathFactory) -> None:
    with a_console(tmp_path_factory.mktemp("guessing")) as own:
        own.account("anna", Role.VIEWER)
        texts = [own.post("/login", name="anna", password="wrong").text for _ in range(6)]
        assert re.search(r"Too many attempts: try again in \d+ s", texts[-1])
        assert "Too many" in own.post("/login", name="anna", password=PASSWORD).text


def test_who_guesses_many_at_once_has_no_more_guesses(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with a_console(tmp_path_factory.mktemp("guessing")) as own, ThreadPoolExecutor(18) as threads:
        own.account("anna", Role.VIEWER)
        guess = partial(own.post, "/login", name="anna", password="wrong")
        answers = [each.result() for each in [threads.submit(guess) for _ in range(18)]]
    looked_at = sum("is wrong" in each.text for each in answers)
    assert 5 <= looked_at <= 6  # a second one was under way


def test_too_many_who_log_in_at_once_are_refused(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_AT_ONCE", 0)
    assert "Too many log in" in console.post("/login", name="emma", password="x").text


@pytest.mark.parametrize(
    "path", ["//evil.test", "https://evil.test/", "/\\evil.test", "x", "/a\tb"]
)
def test_a_log_in_leads_to_no_other_site(path: str, console: Console) -> None:
    page = console.post("/login", name="nobody", password="x", next=path)
    assert 'name="next" value="/"' in page.text


def test_a_session_ends_at_log_out(tmp_path_factory: pytest.TempPathFactory) -> None:
    with a_console(tmp_path_factory.mktemp("out")) as own:
        assert own.get("/login", role=Role.VIEWER).location == "/"  # already inside
        page = own.post("/logout", role=Role.VIEWER)
        assert page.location == "/login?left=1"
        assert 'relayd=""' in page.headers["set-cookie"]
        assert own.get("/", role=Role.VIEWER).location == "/login"


def test_a_session_that_is_idle_for_half_an_hour_is_over(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with a_console(tmp_path_factory.mktemp("idle")) as own:
        assert own.get("/", role=Role.VIEWER).status == 200
        own.clock.advance(timedelta(minutes=31))
        assert own.get("/", role=Role.VIEWER).location == "/login"


def test_a_session_that_is_used_goes_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    with a_console(tmp_path_factory.mktemp("used")) as own:
        for _ in range(3):
            assert own.get("/", role=Role.VIEWER).status == 200
            own.clock.advance(timedelta(minutes=20))


def test_a_page_that_renews_itself_is_no_use_of_a_session(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A tab that somebody left open is over after half an hour too."""
    with a_console(tmp_path_factory.mktemp("left")) as own:
        live = {"Cookie": f"relayd={own.token(Role.VIEWER)}", "X-Live": "1"}
        statuses = []
        for _ in range(4):
            statuses.append(own.request("GET", "/", headers=live).status)
            own.clock.advance(timedelta(minutes=12))
        assert statuses == [200, 200, 200, 303]


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("198.51.100.9", "198.51.100.9"),
        ("203.0.113.5, 198.51.100.9", "198.51.100.9"),
        ("nonsense", ""),
        ("10.0.0.1\n203.0.113.5, 198.51.100.9", "198.51.100.9"),  # two fields
        ("10.0.0.1\n", ""),
        ("::ffff:198.51.100.9", "198.51.100.9"),
        ("fe80::1%eth0 LOGIN=anna", "fe80::1"),
        ("", ""),
    ],
)
def test_on_a_socket_file_a_proxy_is_believed(forwarded: str, address: str) -> None:
    assert client_of(a_request(("/run/http.sock", None), None, forwarded)) == address


@pytest.mark.parametrize(
    ("server", "client", "address"),
    [
        (("127.0.0.1", 8025), ("192.0.2.1", 1), "192.0.2.1"),
        (("127.0.0.1", 8025), None, ""),  # the peer has gone
        (None, ("192.0.2.1", 1), "192.0.2.1"),
        (None, None, ""),
    ],
)
def test_elsewhere_nobody_is_believed_about_his_address(
    server: tuple[str, int] | None, client: tuple[str, int] | None, address: str
) -> None:
    assert client_of(a_request(server, client, "198.51.100.9")) == address


def a_request(
    server: tuple[str, int | None] | None, client: tuple[str, int] | None, forwarded: str
) -> Request:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded.split("\n")]
    return Request({"type": "http", "server": server, "client": client, "headers": headers})


# What is not meant for us


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("console.example.org", 200),
        ("CONSOLE.example.org:443", 200),
        ("localhost:8025", 200),
        ("[::1]:8025", 200),
        ("evil.test", 421),
        ("console.example.org.evil.test", 421),
        ("", 421),
    ],
)
@pytest.mark.parametrize("path", ["/health", "/static/app.js"])
def test_a_name_that_is_not_ours_is_refused(
    host: str, status: int, path: str, console: Console
) -> None:
    assert console.get(path, Host=host).status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:PORT"}, 403),
        ({"Origin": "http://127.0.0.1:PORT"}, 303),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "https://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
    ],
)
def test_only_a_page_of_ours_changes_something(
    headers: dict[str, str], status: int, console: Console
) -> None:
    token = console.token(Role.VIEWER)
    given = {name: text.replace("PORT", str(console.port)) for name, text in headers.items()}
    given |= FORM | {"Cookie": f"relayd={token}"}
    body = f"token={token_of(token)}&theme=dark&back=/bounces"
    assert console.request("POST", "/theme", body, given).status == status


@pytest.mark.parametrize("token", ["", "x", "é", token_of("another session")])
def test_a_form_has_the_token_of_its_session(token: str, console: Console) -> None:
    page = console.post("/theme", role=Role.VIEWER, token=token, theme="dark")
    assert page.status == 403
    assert "the form is of another session" in page.text


def test_light_and_dark_are_remembered(console: Console) -> None:
    page = console.post("/theme", role=Role.VIEWER, theme="dark", back="/bounces")
    assert page.location == "/bounces"
    assert "relayd_theme=dark" in page.headers["set-cookie"]
    cookie = f"relayd={console.token(Role.VIEWER)}; relayd_theme=dark"
    assert 'data-theme="dark"' in console.get("/", Cookie=cookie).text


@pytest.mark.parametrize(
    "path", ["/health", "/", "/login", "/nothing", "/static/app.js", "/static/no"]
)
def test_every_answer_has_the_headers(path: str, console: Console) -> None:
    page = console.get(path)
    is_file = path == "/static/app.js"
    for name, value in (HEADERS | ({"Cache-Control": "no-cache"} if is_file else {})).items():
        assert page.headers[name.lower()] == value
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "server" not in page.headers


def test_a_browser_asks_whether_a_file_is_the_same(console: Console) -> None:
    page = console.get("/static/console.css")
    assert page.headers["content-type"] == "text/css; charset=utf-8"
    same = {"If-None-Match": page.headers["etag"]}
    again = console.request("GET", "/static/console.css", "", same)
    assert (again.status, again.text) == (304, "")
    other = {"If-None-Match": '"x"'}
    assert console.request("GET", "/static/console.css", "", other).text == page.text
    assert console.request("POST", "/static/console.css", "", {}).status in (403, 405)


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"]
)
def test_nothing_but_our_static_files_is_given(path: str, console: Console) -> None:
    assert console.get(path).status == 404


def test_another_method_is_refused_in_a_page(console: Console) -> None:
    page = console.post("/health")
    assert page.status == 405
    assert "Method Not Allowed" in page.text


# The wire


def said(console: Console, octets: bytes, *, within: float = 10) -> bytes:
    """Everything that the console answers to some octets, until it hangs up."""
    with closing(socket.create_connection(("127.0.0.1", console.port), within)) as connection:
        connection.sendall(octets)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


@pytest.mark.parametrize(
    "request_of",
    [
        "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET /health HTTP/1.1\r\n\r\n",
        "nonsense\r\n\r\n",
    ],
)
def test_what_is_no_proper_request_is_refused_and_hung_up_on(
    request_of: str, console: Console
) -> None:
    answer = said(console, request_of.encode())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"content-security-policy" in answer.lower()


@pytest.mark.parametrize("octets", [b"", b"GET / HTT", b"GET /health HTTP/1.1\r\nHost: x\r\n"])
def test_a_header_that_does_not_come_is_not_waited_for(
    octets: bytes, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HEADER_WITHIN", 0.1)
    assert said(console, octets) == b""


def test_a_second_header_is_not_waited_for_either(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HEADER_WITHIN", 0.1)
    with closing(socket.create_connection(("127.0.0.1", console.port), 10)) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /hea")
        assert connection.recv(65536) in (b"", b'{"status":"ok"}')
        assert connection.recv(65536) == b""


def test_a_body_that_comes_too_slowly_is_not_waited_for(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_BODY_GRACE", 0.1)
    head = "POST /login HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nConnection: close\r\n"
    answer = said(console, f"{head}Content-Length: 100\r\n\r\nname=".encode())
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_is_too_large_is_refused(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_LIMIT", 100)
    assert console.post("/login", name="x" * 200, password="x").status == 413


def test_one_client_has_so_many_connections(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PER_CLIENT", 3)
    monkeypatch.setattr(limits, "HEADER_WITHIN", 0.5)
    with ExitStack() as stack:
        address = ("127.0.0.1", console.port)
        ones = [
            stack.enter_context(closing(socket.create_connection(address, 10))) for _ in range(6)
        ]
        assert ones[-1].recv(1) == b""  # closed at once, long before a header would have been due
