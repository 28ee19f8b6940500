"""Webhooks in the console, for admins."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from relayd.console.api.shapes import webhooks as shapes
from relayd.mail.words import EventKind
from relayd.policy.console.roles import Role, Scope
from relayd.policy.console.webhook import Off
from relayd.ports.outbox import (
    DeliveryQuery,
    DeliveryState,
    Endpoint,
    EndpointId,
)
from relayd.ports.people import AuditQuery
from relayd.store import open_view
from tests.support.api import Answer, Program
from tests.support.console import WEBHOOK as URL
from tests.support.console import Console, a_console, fill, fill_and_tell

ADMIN = Role.ADMIN
FIRST = EndpointId(1)
FORM: dict[str, str | list[str]] = {
    "url": URL,
    "events": ["bounced", "held"],
    "senders": "@app.test, a@x.test",
    "tags": "news",
}


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    with a_console(tmp_path, fill) as console:
        yield console


@pytest.fixture
def telling(tmp_path: Path) -> Iterator[Console]:
    with a_console(tmp_path, fill_and_tell) as console:
        yield console


def the_webhook(console: Console) -> Endpoint:
    with closing(open_view(console.url)) as view:
        [found] = view.outbox.endpoints()
    return found


def test_a_webhook_is_added_and_its_secret_shown_once(console: Console) -> None:
    page = console.post("/webhooks", role=ADMIN, form=FORM)
    assert page.status == 200
    secret = re.search(r"whsec_[A-Za-z0-9+/=]{44}", page.text.replace("&#43;", "+"))
    assert secret is not None
    wanted = the_webhook(console).wanted
    assert (wanted.url, wanted.kinds) == (URL, (EventKind.BOUNCED, EventKind.HELD))
    assert (wanted.senders, wanted.tags) == (("@app.test", "a@x.test"), ("news",))
    with closing(open_view(console.url)) as view:
        [entry] = view.people.audit(AuditQuery(action="webhook_added"), limit=1)
    assert entry.by == "admin (console)"
    for path in ("/webhooks", "/webhooks/1"):
        shown = console.get(path, role=ADMIN).text
        assert "app.test/hook?a=b&amp;c" in shown
        assert "whsec_" not in shown


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"url": ""}, "the URL is missing"),
        ({"url": "http://app.test/"}, "https://"),
        ({"url": "https://10.0.0.1/"}, "private"),
        ({"events": []}, "choose one event"),
        ({"events": ["nonsense"]}, "nonsense"),
        ({"events": ["received"]}, "received"),
        ({"senders": "nobody"}, "expected senders"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(
    console: Console, changed: dict[str, str | list[str]], words: str
) -> None:
    page = console.post("/webhooks", role=ADMIN, form={**FORM, **changed})
    assert page.status in (400, 409)
    assert words in page.text


def test_it_is_changed_disabled_rotated_and_removed(telling: Console) -> None:
    form = {**FORM, "disabled": "1"}
    done = telling.post("/webhooks/1/change", role=ADMIN, form=form)
    assert done.location == "/webhooks/1?done=webhook_changed&count=1"
    found = the_webhook(telling)
    assert (found.off, found.wanted.tags) == (Off.BY_HAND, ("news",))
    assert "disabled" in telling.get("/webhooks/1", role=ADMIN).text
    assert "whsec_" in telling.post("/webhooks/1/rotate", role=ADMIN).text
    assert the_webhook(telling).generation == 2
    done = telling.post("/webhooks/1/remove", role=ADMIN)
    assert done.location == "/webhooks?done=webhook_removed&count=1"
    assert "None yet." in telling.get("/webhooks", role=ADMIN).text


def test_deliveries_are_shown_and_sent_again(telling: Console) -> None:
    page = telling.get("/webhooks/1", role=ADMIN).text
    assert ">relayd.test</td>" in page
    assert ">500</td>" in page
    assert 'href="/messages/' in page
    [number] = re.findall(r'name="delivery" value="(\d+)"', page)
    done = telling.post("/webhooks/1/replay", role=ADMIN, form={"delivery": number})
    assert done.location == "/webhooks/1?done=webhook_replayed&count=1"
    failed = telling.get("/webhooks/1?show=failed", role=ADMIN).text
    assert failed.count('<tr><th scope="row">') == 1
    assert telling.get("/webhooks/1?show=failed&before=-1", role=ADMIN).text.count("None.")
    done = telling.post("/webhooks/1/replay", role=ADMIN)  # a test is never sent again
    assert done.location == "/webhooks/1?done=webhook_replayed&count=0"
    done = telling.post("/webhooks/1/test", role=ADMIN)
    assert done.location == "/webhooks/1?done=webhook_tested&count=1"
    with closing(open_view(telling.url)) as view:
        rows = view.outbox.deliveries(DeliveryQuery(endpoint=FIRST))
    assert sum(each.event is None for each in rows) == 2
    assert DeliveryState.DONE not in {each.state for each in rows}


@pytest.mark.parametrize("number", ["7", "0", "9" * 30])
def test_a_webhook_that_is_not_there_is_named(console: Console, number: str) -> None:
    assert console.get(f"/webhooks/{number}", role=ADMIN).status == 404
    assert console.get("/webhooks/x", role=ADMIN).status == 404
    assert console.post(f"/webhooks/{number}/remove", role=ADMIN).status in (404, 409)


@pytest.mark.parametrize("query", ["before=x", "before=" + "9" * 40, "show=lost", "before=%C2%B2"])
def test_a_strange_query_shows_all(telling: Console, query: str) -> None:
    assert telling.get(f"/webhooks/1?{query}", role=ADMIN).status == 200


def test_a_program_adds_changes_and_removes_a_webhook(console: Console) -> None:
    program = Program(console=console)
    key = program.key(Scope.ADMIN, name="set-up")
    wanted = {"url": URL, "events": ["bounced"], "senders": ["@app.test"], "tags": ["news"]}
    added = program.send("POST", "/webhooks", wanted, key=key)
    assert (added.status, added.json["webhook"]) == (201, 1)
    assert added.json["secret"].startswith("whsec_")
    changed = program.send("PATCH", "/webhooks/1", {"events": ["held"], "tags": []}, key=key)
    assert changed.status == 200
    assert changed.json == program.send("GET", "/webhooks/1", key=key).json
    assert program.send("GET", "/webhooks", key=key).json == {"webhooks": [changed.json]}
    shapes.Webhook.model_validate(changed.json)
    after = the_webhook(console)
    assert (after.wanted.url, after.wanted.kinds) == (URL, (EventKind.HELD,))
    assert (after.wanted.senders, after.wanted.tags, after.off) == (("@app.test",), (), Off.NO)
    program.send("PATCH", "/webhooks/1", {"disabled": True}, key=key)
    assert program.send("PATCH", "/webhooks/1", {"tags": ["x"]}, key=key).json["disabled"]
    program.send("PATCH", "/webhooks/1", {"disabled": False}, key=key)
    assert the_webhook(console).off is Off.NO
    rotated = program.send("POST", "/webhooks/1/rotate", key=key).json
    assert rotated["secret"] not in ("", added.json["secret"])
    assert program.send("POST", "/webhooks/1/test", key=key).status == 200
    [test] = program.send("GET", "/webhooks/1/deliveries", key=key).json["deliveries"]
    assert (test["type"], test["state"]) == ("relayd.test", "waiting")
    assert program.send("DELETE", "/webhooks/1", key=key).status == 200
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("POST", "/rotate"),
        ("GET", "/deliveries"),
    ):
        assert program.send(method, f"/webhooks/1{path}", key=key).status == 404, path
    assert program.send("POST", "/webhooks/1/replay", {"only_failed": True}, key=key).status == 404
    assert program.send("PATCH", "/webhooks/1", {}, key=key).status == 404


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"events": []}, 422),
        ({"events": ["received"]}, 422),
        ({"senders": ["nobody"]}, 422),
        ({"on": True}, 422),
        ({"url": ""}, 422),
        ({"url": "ftp://app.example/"}, 422),
    ],
)
def test_a_webhook_that_is_wrong_is_not_added(
    console: Console, changes: dict[str, object], status: int
) -> None:
    program = Program(console=console)
    wanted = {"url": URL, "events": ["bounced"], **changes}
    answer = program.send("POST", "/webhooks", wanted, key=program.key(Scope.ADMIN))
    assert answer.status == status
    with closing(open_view(console.url)) as view:
        assert not view.outbox.endpoints()


def test_a_program_reads_deliveries_page_by_page_and_replays(telling: Console) -> None:
    program = Program(console=telling)
    key = program.key(Scope.ADMIN)
    whole = program.send("GET", "/webhooks/1/deliveries", key=key).json
    shapes.Deliveries.model_validate(whole)
    assert len(whole["deliveries"]) > 1
    found: list[Any] = []
    cursor: Any = ""
    while cursor is not None:
        path = f"/webhooks/1/deliveries?limit=1&cursor={cursor}"
        told = program.send("GET", path, key=key).json
        found += told["deliveries"]
        cursor = told["next"]
    assert found == whole["deliveries"]
    path = "/webhooks/1/deliveries?state=failed"
    failed = program.send("GET", path, key=key).json["deliveries"]
    assert failed == [each for each in found if each["state"] == "failed"]

    def replay(**wanted: object) -> Answer:
        return program.send("POST", "/webhooks/1/replay", wanted, key=key)

    [done] = [each["id"] for each in found if each["state"] == "done"]
    [test] = [each["id"] for each in failed]
    assert replay(only_failed=True).json == {"changed": 0, "next": None}
    assert replay(since="2020-01-01").json == {"changed": 1, "next": None}
    assert replay(delivery=done).json["changed"] == 0, "it waits already"
    for wrong in ({}, {"delivery": test}, {"delivery": "x"}, {"since": "soon"}):
        assert replay(**wrong).status == 422, wrong
