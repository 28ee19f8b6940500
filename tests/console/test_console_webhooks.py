"""Webhooks in the console, for admins."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from relayd.mail.words import EventKind
from relayd.policy.console.roles import Role
from relayd.policy.console.webhook import Off
from relayd.ports.outbox import (
    DeliveryQuery,
    DeliveryState,
    Endpoint,
    EndpointId,
)
from relayd.ports.people import AuditQuery
from relayd.store import open_view
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
