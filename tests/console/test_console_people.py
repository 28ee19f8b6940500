"""Users and audit of the console, for admins."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from relayd.policy.console.roles import Role
from relayd.ports.people import AuditQuery
from relayd.store import open_view
from tests.support.console import PASSWORD, Console, Page, a_console, fill

ADMIN = Role.ADMIN


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    with a_console(tmp_path, fill) as console:
        yield console


def test_a_user_is_added_logs_in_and_is_removed(console: Console) -> None:
    form = {"name": "ann", "role": "operator", "password": PASSWORD, "reads_content": "1"}
    done = console.post("/users", role=ADMIN, form=form)
    assert done.location == "/users?done=user_added&count=1"
    page = console.get("/users/ann", role=ADMIN).text
    assert "<dd>operator</dd>" in page
    assert console.post("/login", name="ann", password=PASSWORD).status == 303
    assert ">1</td>" in console.get("/users", role=ADMIN).text  # an open session
    again = console.post("/users", role=ADMIN, form=form)
    assert (again.status, "there is a user ann already" in again.text) == (409, True)
    assert console.post("/users/remove", role=ADMIN, name="ann").status == 303
    assert console.get("/users/ann", role=ADMIN).status == 404
    assert console.post("/login", name="ann", password=PASSWORD).status == 403


def test_whose_rights_change_has_to_log_in_anew(console: Console) -> None:
    assert console.get("/", role=Role.VIEWER).status == 200
    done = console.post("/users/change", role=ADMIN, name="viewer", form={"role": "operator"})
    assert done.location == "/users/viewer?done=user_changed&count=1"
    assert console.get("/", role=Role.VIEWER).location == "/login"


@pytest.mark.parametrize("path", ["/users/sign-out", "/users/password"])
def test_sessions_are_ended(path: str, console: Console) -> None:
    assert console.get("/", role=Role.VIEWER).status == 200
    form = {"name": "viewer", "password": "another password"}
    assert console.post(path, role=ADMIN, form=form).status == 303
    assert console.get("/", role=Role.VIEWER).location == "/login"


@pytest.mark.parametrize("role", list(Role))
def test_somebody_changes_his_own_password(role: Role, console: Console) -> None:
    console.token(role)
    elsewhere = _cookie(console.post("/login", name=str(role), password=PASSWORD))
    form = {"old": PASSWORD, "password": "another password"}
    done = console.post("/password", role=role, form=form)
    assert done.location == "/password?done=password_changed&count=1"
    new = _cookie(done)
    assert "Your password is changed" in console.request("GET", done.location, None, new).text
    assert console.request("GET", "/", None, elsewhere).location == "/login"
    assert console.get("/", role=role).location == "/login"  # the session before
    assert console.post("/login", name=str(role), password=PASSWORD).status == 403
    assert console.post("/login", name=str(role), password="another password").status == 303
    with closing(open_view(console.url)) as view:
        entries = view.people.audit(AuditQuery(), limit=9)
    changed = next(each for each in entries if each.detail == "new password")
    assert (changed.by, changed.target) == (f"{role} (console)", str(role))


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"old": "wrong", "password": "another password"}, 403, "password is wrong"),
        ({"password": "another password"}, 403, "password is wrong"),
        ({"old": "\1" * 300_000, "password": "another password"}, 403, "password is wrong"),
        ({"old": PASSWORD, "password": "short"}, 400, "8 characters or more"),
    ],
)
def test_a_password_stays_without_the_old_one_or_a_fit_new_one(
    form: dict[str, str], status: int, words: str, console: Console
) -> None:
    page = console.post("/password", role=Role.VIEWER, form=form)
    assert (page.status, words in page.text) == (status, True)
    assert console.get("/", role=Role.VIEWER).status == 200
    assert console.post("/login", name="viewer", password=PASSWORD).status == 303


def _cookie(page: Page) -> dict[str, str]:
    return {"Cookie": page.headers["set-cookie"].partition(";")[0]}


@pytest.mark.parametrize("path", ["/users/change", "/users/remove"])
def test_nobody_takes_rights_from_himself_by_mistake(path: str, console: Console) -> None:
    page = console.post(path, role=ADMIN, form={"name": "admin", "role": "viewer"})
    assert page.status == 409
    assert "your own account" in page.text
    assert "This is your own account" in console.get("/users/admin", role=ADMIN).text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"name": "Ann", "role": "viewer", "password": PASSWORD}, "lower-case letters"),
        ({"name": "ann", "role": "king", "password": PASSWORD}, "viewer, operator, admin"),
        ({"name": "ann", "role": "viewer", "password": "short"}, "8 characters or more"),
        ({"role": "viewer", "password": PASSWORD}, "the name is missing"),
    ],
)
def test_what_is_no_user_is_refused(form: dict[str, str], words: str, console: Console) -> None:
    page = console.post("/users", role=ADMIN, form=form)
    assert page.status == 400
    assert words in page.text


def test_the_audit_tells_who_did_what_from_where(console: Console) -> None:
    form = {"rcpt": "ok@shop.example", "reason": "moved away"}
    console.post("/addresses/suppress", role=ADMIN, form=form)
    page = console.get("/audit?by=admin+(console)", role=ADMIN).text
    for words in ("admin (console)", "127.0.0.1", "suppress", "ok@shop.example"):
        assert words in page
    assert "Nothing matches" in console.get("/audit?action=nothing", role=ADMIN).text
    assert "is none of" in console.get("/audit?since=soon", role=ADMIN).text
    lines = console.get("/audit.csv", role=ADMIN).text.splitlines()
    assert lines[0] == "ts,by,client_ip,action,target,detail"
    assert any("ok@shop.example" in line for line in lines)
    assert not any(word in line for line in lines for word in ("None", "datetime", "True"))
    assert console.get("/audit.csv?since=soon", role=ADMIN).location == "/audit?since=soon"


def test_the_audit_comes_page_by_page(console: Console) -> None:
    for _ in range(51):
        console.post("/addresses/unsuppress", role=ADMIN, form={"rcpt": "a@x.test"})
    first = console.get("/audit", role=ADMIN).text
    assert first.count("<tr><td>") == 50
    older = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    second = console.get(f"/audit{older}", role=ADMIN).text
    assert 0 < second.count("<tr><td>") < 50
    newer = second.partition('rel="prev" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert console.get(f"/audit{newer}", role=ADMIN).text.count("<tr><td>") == 50


def test_a_key_is_shown_whole_once(console: Console) -> None:
    form = {
        "name": "shop",
        "scope": "submit",
        "senders": "@shop.example, a@x.test",
        "networks": "10.0.0.0/8",
        "per_minute": "600",
        "days": "365",
    }
    page = console.post("/keys", role=ADMIN, form=form)
    [whole] = re.findall(r"rk_[\w]+_[\w-]+", page.text)
    later = console.get("/keys", role=ADMIN).text
    assert whole not in later
    for words in ("shop", "@shop.example, a@x.test", "10.0.0.0/8", "600", "2027-03-01"):
        assert words in later
    assert console.post("/keys", role=ADMIN, form=form).status == 409
    key = {"id": whole.split("_")[1]}
    assert console.post("/keys/change", role=ADMIN, form={**key, "disabled": "1"}).status == 303
    assert "disabled</td>" in console.get("/keys", role=ADMIN).text
    assert console.post("/keys/remove", role=ADMIN, form=key).location.startswith("/keys?done=")
    assert console.post("/keys/remove", role=ADMIN, form=key).status == 409
    assert "There are no keys yet" in console.get("/keys", role=ADMIN).text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({}, "without a scope"),
        ({"scope": "fly"}, "is not a scope"),
        ({"scope": "read", "senders": "shop"}, "is not a sender"),
        ({"scope": "read", "networks": "10.0.0.1/8"}, "is not a network"),
        ({"scope": "read", "days": "0"}, "from 1 to 3650"),
        ({"scope": "read", "per_minute": "many"}, "from 1 to 100000"),
        ({"scope": "read", "sees": "much"}, "is not what it sees"),
        ({"scope": "read", "name": "A b"}, "is not the name"),
    ],
)
def test_what_is_no_key_is_refused(form: dict[str, str], words: str, console: Console) -> None:
    page = console.post("/keys", role=ADMIN, form={"name": "shop", **form})
    assert page.status == 400
    assert words in page.text
