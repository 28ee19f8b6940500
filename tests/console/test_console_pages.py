"""Pages of the console: what they show, and what their buttons do, on a real queue."""

import html
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from relayd.config.load import load
from relayd.console.filters import place_of, read_place
from relayd.console.guard import token_of
from relayd.console.pages import acting
from relayd.doctor.saved import save
from relayd.mail.ids import MessageId
from relayd.policy.console.roles import Role
from relayd.policy.doctor.finding import Check, Finding, Level
from relayd.ports.outbox import TOLD, DeliveryResult, Heard, Subscription
from relayd.ports.people import AuditEntry, AuditQuery, Author
from relayd.ports.queue import QueueStore
from relayd.ports.view import Query, Status
from relayd.store import open_view
from relayd.store.sqlite import search, view
from tests.support.builders import a_message
from tests.support.cli_world import enqueue
from tests.support.console import Console, a_console, fill
from tests.support.daemon import a_daemon, a_smarthost, eventually
from tests.support.workers import registered

READING = ["/", "/messages", "/addresses", "/destinations", "/bounces"]
OPERATOR = Role.OPERATOR


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A queue that no test changes."""
    with a_console(tmp_path_factory.mktemp("console"), fill) as console:
        yield console


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    with a_console(tmp_path, fill) as console:
        yield console


def id_of(console: Console, address: str) -> str:
    page = console.get(f"/messages?recipient={address}", role=Role.VIEWER).text
    return page.partition('<th scope="row"><a href="/messages/')[2].partition('"')[0]


def status_of(console: Console, address: str) -> Status:
    with closing(open_view(console.url)) as view:
        return view.find(Query(recipient=(address,)), limit=1)[0].status


def last_entry(console: Console) -> AuditEntry:
    with closing(open_view(console.url)) as view:
        return view.people.audit(AuditQuery(), limit=1)[0]


@pytest.mark.parametrize("path", READING)
def test_a_page_is_shown_also_with_nothing_in_it(path: str, tmp_path: Path) -> None:
    with a_console(tmp_path) as empty:
        page = empty.get(path, role=Role.VIEWER)
    assert page.status == 200
    assert 'class="empty"' in page.text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "gone@shop.example"),
        ("/?since=90d", "Show as a table"),
        ("/", "less than 10 m"),
        ("/", '<a class="address" href="/destinations/smarthost">smarthost</a>'),
        ("/messages", "later@mail.example"),
        ("/messages?status=held", "held@mail.example"),
        ("/messages?q=later@mail.example", "452 4.2.2 mailbox full"),
        ("/messages?q=app@app.test", "<strong>sender</strong>"),
        ("/messages?q=%3C1@app.test%3E", "gone@shop.example"),
        ("/messages?q=nonsense+text", "is no address, domain, queue id"),
        ("/messages?status=lost", "is not one of its values"),
        ("/messages?tag=nobody", "No mail matches"),
        ("/addresses", "gone@shop.example"),
        ("/addresses?show=all", "ok@shop.example"),
        ("/addresses?show=suppressed", "gone@shop.example"),
        ("/addresses?q=shop.example", "ok@shop.example"),
        ("/addresses/gone@shop.example", "the bounce of"),
        ("/addresses/nobody@x.test", "No mail went to this address"),
        ("/destinations", 'href="/destinations/smarthost"'),
        ("/destinations/smarthost", "through the smarthost"),
        ("/destinations/smarthost", "later@mail.example"),
        (
            "/destinations/smarthost",
            "1 accepted, 2 deferred, 1 bounced; 50.0 % of what ended bounced",
        ),
        ("/destinations/mx%3Anobody.example", "direct, to the mail servers of nobody.example"),
        ("/destinations/mx%3Anobody.example", "Nothing waits for this destination"),
        ("/destinations/host%3Agone.example%3A25", "no entry of [routes] names this host now"),
        ("/destinations/hold", "until somebody releases it"),
        ("/bounces", "bad mailbox"),
        ("/bounces?by=sender&since=90d", "app@app.test"),
    ],
)
def test_what_a_page_tells(path: str, words: str, read_only: Console) -> None:
    page = read_only.get(path, role=Role.VIEWER)
    assert page.status == 200
    assert words in page.text


def test_a_reply_is_text_and_its_controls_are_spelt_out(read_only: Console) -> None:
    """Whatever a server answers, it is no part of the page."""
    one = f"/messages/{id_of(read_only, 'gone@shop.example')}"
    for path in ("/messages", "/addresses", "/bounces", one):
        text = read_only.get(path, role=Role.VIEWER).text
        assert "&lt;img src=x onerror=alert(1)&gt; &lt;U+202E&gt;no such user" in text, path
        assert "<img" not in text
        assert "\u202e" not in text


def test_a_message_tells_its_history_and_what_it_waits_for(read_only: Console) -> None:
    page = read_only.get(f"/messages/{id_of(read_only, 'later@mail.example')}", role=Role.VIEWER)
    for words in ("the retry at", "452 4.2.2 mailbox full", "by alice", "look at it", "as app"):
        assert words in page.text
    assert "<button name=" not in page.text.partition("<main")[2]  # a viewer changes nothing


def test_only_an_operator_acts_on_what_waits_for_a_destination(read_only: Console) -> None:
    path = "/destinations/smarthost"
    assert "Hold…" in read_only.get(path, role=OPERATOR).text
    assert "Hold…" not in read_only.get(path, role=Role.VIEWER).text
    assert "Hold…" not in read_only.get("/destinations/hold", role=OPERATOR).text


def test_a_queue_id_in_the_search_leads_to_its_message(read_only: Console) -> None:
    queue_id = id_of(read_only, "ok@shop.example")
    page = read_only.get(f"/messages?q={queue_id}", role=Role.VIEWER)
    assert page.location == f"/messages/{queue_id}"


@pytest.mark.parametrize(
    "path", ["/messages/0CNSP4QE20400", "/messages/x", "/destinations/x", "/nothing"]
)
def test_what_is_not_there_is_said_so(path: str, read_only: Console) -> None:
    page = read_only.get(path, role=Role.VIEWER)
    assert page.status == 404
    assert 'role="alert"' in page.text


def test_messages_come_page_by_page(tmp_path: Path) -> None:
    async def many(store: QueueStore) -> None:
        messages = [a_message(f"a{number}@x.test", count=number) for number in range(60)]
        await enqueue(store, *messages)

    with a_console(tmp_path, many) as console:
        first = console.get("/messages", role=Role.VIEWER).text
        assert first.count('<th scope="row">') == 50
        older = first.partition('rel="next" href="')[2].partition('"')[0]
        second = console.get(f"/messages{older}", role=Role.VIEWER).text
        assert second.count('<th scope="row">') == 10
        assert 'rel="next"' not in second
        newer = second.partition('rel="prev" href="')[2].partition('"')[0]
        back = console.get(f"/messages{newer}", role=Role.VIEWER).text
        assert back.count('<th scope="row">') == 50
        assert f'href="{older}"' in back
        assert 'rel="prev"' not in back
        exported = console.get("/messages.csv", role=Role.VIEWER).text.splitlines()
        assert len(exported) == 61


@pytest.mark.parametrize("number", [-1, 0, 7, 2**31 - 1])
def test_a_place_is_read_as_it_is_written(number: int) -> None:
    """Also one between two messages, where a search was cut short."""
    place = MessageId(2**40), number
    assert read_place(place_of(place)) == place


def test_no_cell_of_csv_is_a_formula(read_only: Console) -> None:
    page = read_only.get("/messages.csv?recipient=ok@shop.example", role=Role.VIEWER)
    assert page.headers["content-disposition"] == 'attachment; filename="messages.csv"'
    header, row = page.text.splitlines()
    assert header.startswith("ts,queue_id,message_id,from,rcpt")
    assert ",'=1+1," in row
    assert "None" not in row
    assert "True" not in row
    assert "False" not in row


def test_suppressed_addresses_are_exported(read_only: Console) -> None:
    lines = read_only.get("/addresses.csv", role=Role.VIEWER).text.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["address", "gone@shop.example"]


def test_what_is_selected_is_acted_on_for_the_account(console: Console) -> None:
    queue_id = id_of(console, "later@mail.example")
    form = {"action": "hold", "row": f"{queue_id}.0", "back": "?tag=x"}
    page = console.post("/messages/act", role=OPERATOR, form=form)
    assert (page.status, page.location) == (303, "/messages?tag=x&done=hold&count=1")
    assert "Held: 1." in console.get(page.location, role=OPERATOR).text
    assert status_of(console, "later@mail.example") is Status.HELD
    history = console.get(f"/messages/{queue_id}", role=OPERATOR).text
    assert "by operator (console)" in history
    held = console.get("/messages?status=held", role=OPERATOR).text
    assert "held by operator (console)" in held


def test_an_act_on_one_message_leads_back_to_it(console: Console) -> None:
    queue_id = id_of(console, "later@mail.example")
    form = {"action": "release", "row": f"{queue_id}.1", "single": "1"}
    page = console.post("/messages/act", role=OPERATOR, form=form)
    assert page.location == f"/messages/{queue_id}?done=release&count=1"


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"action": "hold"}, "nothing is selected"),
        ({"action": "bounce", "row": "0CNSP4QE20400.0"}, "a reason is missing"),
        ({"action": "burn", "row": "0CNSP4QE20400.0"}, "there is no such action"),
        ({"action": "hold", "row": "x"}, "names no recipient"),
        ({"action": "hold", "row": "0CNSP4QE20400.0"}, "there is no recipient"),
        ({"action": "hold", "all": "1", "back": "?status=lost"}, "is not one of its values"),
    ],
)
def test_an_act_that_is_not_clear_changes_nothing(
    form: dict[str, str], words: str, read_only: Console
) -> None:
    page = read_only.post("/messages/act", role=OPERATOR, form=form)
    assert page.status in (400, 404)
    assert words in page.text


def test_all_that_match_are_acted_on_after_their_number_was_seen(console: Console) -> None:
    form = {"action": "drop", "back": "?domain=mail.example"}
    asked = console.post("/messages/act", role=OPERATOR, all="1", form=form)
    assert "Drop: 2 recipients that wait" in asked.text
    assert "This cannot be undone" in asked.text
    assert status_of(console, "later@mail.example") is Status.DEFERRED
    assert console.post("/messages/act-on-all", role=OPERATOR, form=form).status == 400  # no reason
    done = console.post("/messages/act-on-all", role=OPERATOR, reason="cleaning up", form=form)
    assert done.location == "/messages?domain=mail.example&done=drop&count=2"
    assert status_of(console, "later@mail.example") is Status.DROPPED


def test_very_many_are_acted_on_part_by_part(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part ends with a message."""
    monkeypatch.setattr(acting, "AT_ONCE", 1)
    console.call(enqueue(console.store, a_message("third@mail.example", count=9)))
    form = {"action": "drop", "back": "?domain=mail.example", "reason": "cleaning up"}
    parts = [console.post("/messages/act-on-all", role=OPERATOR, form=form)]
    while parts[-1].status == 200:
        assert "done, and there are more" in parts[-1].text
        hidden = dict(
            re.findall(r'<input type="hidden" name="(\w+)" value="(.*?)">', parts[-1].text)
        )
        parts.append(console.post("/messages/act-on-all", role=OPERATOR, form=hidden))
    assert len(parts) in (2, 3)  # the last one may find nothing more
    assert parts[-1].location == "/messages?domain=mail.example&done=drop&count=3"


def test_what_the_daemon_refuses_is_told_in_its_words(console: Console) -> None:
    """The control server of tests makes no new messages."""
    queue_id = id_of(console, "gone@shop.example")
    refused = console.post(f"/messages/{queue_id}/requeue", role=OPERATOR, reason="try it")
    assert refused.status == 409
    assert "this daemon requeues nothing" in refused.text


def test_content_is_given_to_who_may_read_it_and_that_is_on_record(console: Console) -> None:
    path = f"/messages/{id_of(console, 'later@mail.example')}/source"
    assert console.post(path, role=Role.ADMIN, reason="x").status == 403
    given = console.post(path, role=Role.VIEWER, reads_content=True, reason="ticket 12")
    assert given.headers["content-type"] == "application/octet-stream"
    assert "Subject: Hello" in given.text
    assert {event.detail["by"] for event in console.recorded} == {"viewer-reader (console)"}
    entry = last_entry(console)
    assert (entry.by, entry.detail) == ("viewer-reader (console)", "ticket 12")


def test_an_address_is_suppressed_and_that_is_lifted(console: Console) -> None:
    form = {"rcpt": "ok@shop.example", "reason": "moved away"}
    done = console.post("/addresses/suppress", role=OPERATOR, form=form)
    assert done.location == "/addresses/ok@shop.example?done=suppress&count=1"
    page = console.get("/addresses/ok@shop.example", role=OPERATOR).text
    assert "moved away" in page
    assert "operator (console)" in page
    console.post("/addresses/unsuppress", role=OPERATOR, rcpt="ok@shop.example")
    assert "It is not suppressed" in console.get("/addresses/ok@shop.example", role=OPERATOR).text


def test_a_list_is_imported_after_it_was_seen(console: Console) -> None:
    listed = "a@x.test\nno address\ngone@shop.example\na@x.test\n"
    seen = console.post("/addresses/import", role=OPERATOR, list=listed, reason="old list").text
    assert "1 would be suppressed, 2 are already." in seen
    assert "1 line cannot be read" in seen
    assert "It is not suppressed" in console.get("/addresses/a@x.test", role=OPERATOR).text
    done = console.post("/addresses/import/apply", role=OPERATOR, list=listed, reason="old list")
    assert done.location == "/addresses?show=suppressed&done=suppress&count=1"
    assert "old list" in console.get("/addresses/a@x.test", role=OPERATOR).text
    assert console.post("/addresses/import", role=OPERATOR, list=" ").status == 400


def test_a_file_that_is_no_utf_8_is_not_imported(console: Console) -> None:
    """What another program saved would suppress addresses that nobody has."""
    token = console.token(OPERATOR)
    parts = [f'Content-Disposition: form-data; name="token"\r\n\r\n{token_of(token)}'.encode()]
    parts.append(
        b'Content-Disposition: form-data; name="file"; filename="list.csv"\r\n\r\n'
        b"email,reason\r\na@x.test,J\xfcrgen"
    )
    page = console.request(
        "POST",
        "/addresses/import",
        b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n",
        {
            "Sec-Fetch-Site": "same-origin",
            "Cookie": f"relayd={token}",
            "Content-Type": "multipart/form-data; boundary=b",
        },
    )
    assert page.status == 400
    assert "line 2 of the file is not UTF-8: save it as UTF-8" in page.text


def test_without_a_daemon_pages_are_read_and_buttons_say_why(
    console: Console, tmp_path: Path
) -> None:
    queue_id = id_of(console, "later@mail.example")
    console.token(OPERATOR)
    (tmp_path / "control.sock").unlink()
    page = console.get("/", role=OPERATOR)
    assert "The daemon does not answer" in page.text
    assert "the daemon is stopped" in page.text
    act = console.post("/messages/act", role=OPERATOR, action="hold", row=f"{queue_id}.0")
    assert act.status == 503
    assert "nothing was changed" in act.text


def test_the_last_result_of_the_doctor_is_shown_the_worst_first(
    console: Console, tmp_path: Path
) -> None:
    assert "There is no result yet" in console.get("/doctor", role=Role.VIEWER).text
    findings = [
        Finding(check=Check.FQDN, subject="relay.test", level=Level.OK, reason="it is a name"),
        Finding(
            check=Check.SPF,
            subject="app.test",
            level=Level.FAIL,
            reason="no record <b>",
            remedy="add one",
        ),
    ]
    save(load(str(tmp_path / "relayd.toml")), findings, console.clock.now())
    page = console.get("/doctor", role=Role.VIEWER).text
    assert page.index("no record &lt;b&gt;") < page.index("it is a name")
    assert "add one" in page
    assert "doctor, spf of app.test: no record &lt;b&gt;" in console.get("/", role=Role.VIEWER).text
    (tmp_path / "doctor.json").write_text("nonsense")
    assert "There is no result yet" in console.get("/doctor", role=Role.VIEWER).text


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"to": "x", "from": "a@x.test"}, 400, "is no address"),
        ({"to": "a@x.test"}, 400, "the sender is missing"),
        ({"to": "a@x.test", "from": "a@x.test"}, 503, "no daemon takes the mail"),
    ],
)
def test_a_test_mail_that_cannot_be_sent_is_told_why(
    form: dict[str, str], status: int, words: str, console: Console
) -> None:
    page = console.post("/test-mail", role=OPERATOR, form=form)
    assert page.status == status
    assert words in page.text


def test_a_test_mail_leads_to_its_page(tmp_path: Path) -> None:
    with (
        a_smarthost() as smarthost,
        a_daemon(tmp_path, smarthost.port, workers=1) as daemon,
        a_console(tmp_path, beside=daemon.file) as console,
    ):
        form = {"to": "a@x.test", "from": "me@app.test"}
        page = console.post("/test-mail", role=OPERATOR, form=form)
        assert page.location.startswith("/messages/")
        eventually(lambda: daemon.statuses() == {"a@x.test": "relayed"}, "relayed")
        told = console.get(page.location, role=OPERATOR).text
        assert "Sent. This page shows what becomes of it." in told
        assert smarthost.messages[0].content.count(b"A test of relayd") == 1
        assert last_entry(console).action == "test_mail"


def test_what_bounced_is_requeued_as_a_new_message(tmp_path: Path) -> None:
    with (
        a_smarthost({"RCPT TO:<gone@x.test": "550 5.1.1 no such user"}) as smarthost,
        a_daemon(tmp_path, smarthost.port, workers=1) as daemon,
        a_console(tmp_path, beside=daemon.file) as console,
    ):
        queue_id = daemon.send("gone@x.test", sender="")
        eventually(lambda: daemon.statuses() == {"gone@x.test": "bounced"}, "bounced")
        assert "Requeue what bounced" in console.get(f"/messages/{queue_id}", role=OPERATOR).text
        path, reason = f"/messages/{queue_id}/requeue", {"reason": "it exists now"}
        page = console.post(path, role=OPERATOR, form=reason)
        assert page.location == f"/messages/{queue_id}?done=requeue&count=1"
        assert "requeued as" in console.get(page.location, role=OPERATOR).text
        again = console.post(path, role=OPERATOR, form=reason)
        assert (again.status, "Nothing was requeued" in again.text) == (409, True)


def test_a_webhook_that_is_gone_is_a_problem(tmp_path: Path) -> None:
    async def gone(store: QueueStore) -> None:
        await registered(store, "worker")
        wanted = Subscription(url="https://app.test/", kinds=TOLD)
        endpoint = await store.outbox.put_endpoint(wanted, author=Author(by="test"))
        assert endpoint is not None
        await store.outbox.send_test(endpoint, author=Author(by="test"))
        [sent] = await store.outbox.claim_deliveries(9, lease_for=timedelta(minutes=1))
        result = DeliveryResult(
            endpoint=endpoint, number=sent.number, claim=sent.claim, heard=Heard(status=410)
        )
        await store.outbox.settle_deliveries([result], jitter=0.0)

    with a_console(tmp_path, gone) as console:
        page = console.get("/", role=Role.VIEWER).text
    assert "webhook 1 is disabled: its receiver is gone" in page
    assert "Look at them" not in page


def test_a_daemon_that_does_not_answer_holds_no_page_up(console: Console, tmp_path: Path) -> None:
    """It takes the connection, and says nothing: pages wait for it once, and a second at most."""
    console.token(Role.VIEWER)
    (tmp_path / "control.sock").unlink()
    with closing(socket.socket(socket.AF_UNIX)) as silent:
        silent.bind(str(tmp_path / "control.sock"))
        silent.listen()
        console.clock.advance(timedelta(minutes=2))  # the use of the session is to be noted
        began = time.monotonic()
        pages = [console.get("/messages", role=Role.VIEWER) for _ in range(5)]
        assert time.monotonic() - began < 5
    assert {page.status for page in pages} == {200}


def _find_all(console: Console, path: str) -> tuple[list[str], int]:
    """Follow "Older" to the end; return the addresses, and how many pages say that they were cut short."""
    found, cut_short = [], 0
    while path:
        text = console.get(path, role=Role.VIEWER).text
        found += re.findall(r'href="/addresses/([^"?]+)"', text)
        cut_short += "Mail received since" in text or "No mail received since" in text
        older = re.search(r'rel="next" href="([^"]+)"', text)
        path = f"/messages{html.unescape(older[1])}" if older else ""
    return found, cut_short


def test_a_search_that_is_cut_short_says_so_and_goes_on(
    read_only: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two filters that hardly meet take a bounded time a page; nothing is left out, in the CSV neither."""
    path = "/messages?sender=app@app.test&domain=shop.example"
    whole, cut_short = _find_all(read_only, path)
    assert len(whole) > 1
    assert not cut_short
    monkeypatch.setattr(search, "_LOOKED_AT", 1)
    monkeypatch.setattr(view, "_STEPS", 1)
    in_parts, cut_short = _find_all(read_only, path)
    assert in_parts == whole
    assert cut_short
    csv = read_only.get(path.replace("/messages", "/messages.csv"), role=Role.VIEWER).text
    assert len(csv.splitlines()) - 1 == len(whole)


def test_a_list_of_addresses_that_is_cut_short_says_so(
    read_only: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "_AT_ONCE", 1)
    monkeypatch.setattr(view, "_STEPS_OF_ADDRESSES", 1)
    page = read_only.get("/addresses?show=all", role=Role.VIEWER)
    assert "Only mail received since" in page.text
    assert page.text.count("<tr>") == 2  # the head, and one address
