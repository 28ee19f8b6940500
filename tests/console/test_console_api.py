"""The HTTP API: who may ask what, what goes wrong, and what answers say."""

import hashlib
import hmac
import http.client
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.requests import Request

from relayd.answers import recipients, status_line
from relayd.answers.addresses import FIELDS as ADDRESS_FIELDS
from relayd.answers.people import AUDIT_FIELDS, KEY_FIELDS
from relayd.answers.webhooks import DELIVERY_FIELDS, ENDPOINT_FIELDS
from relayd.console.api import caller, events
from relayd.console.api.app import make_app, routes
from relayd.console.api.caller import Caller
from relayd.console.api.document import needs_of
from relayd.console.api.problems import TITLES, Problem
from relayd.console.api.shapes import addresses as addresses_shapes
from relayd.console.api.shapes import destinations as destinations_shapes
from relayd.console.api.shapes import errors as errors_shapes
from relayd.console.api.shapes import health as health_shapes
from relayd.console.api.shapes import messages as messages_shapes
from relayd.console.api.shapes import people as people_shapes
from relayd.console.api.shapes import settings as settings_shapes
from relayd.console.api.shapes import stats as stats_shapes
from relayd.console.api.shapes import webhooks as webhooks_shapes
from relayd.mail.operator import Action
from relayd.mail.suppression import ToSuppress
from relayd.policy.console.roles import Scope
from relayd.ports.people import Deed, Sees
from relayd.ports.queue import QueueStore
from relayd.ports.view import Query
from relayd.worker import housekeeping
from tests.support.api import PREFIX, Answer, Program
from tests.support.builders import a_message
from tests.support.cli_world import enqueue
from tests.support.console import Console, a_console, fill, fill_and_tell
from tests.support.people import ROOT, a_key_text

SUBMIT, READ, OPERATE, ADMIN, CONTENT = Scope
OWN = "mine@shop.example"
# Which scope a resource needs, and whether a key that sees its own messages only may ask.
NEEDS = {
    "GET /messages/{queue_id}": (READ, True),
    "POST /messages": (SUBMIT, True),
    "POST /messages/{queue_id}/requeue": (OPERATE, True),
    "GET /messages/{queue_id}/source": (CONTENT, True),
    "POST /actions": (OPERATE, True),
    "GET /addresses/export": (READ, False),
    "POST /addresses/import": (OPERATE, False),
    "PUT /addresses/{rcpt}/suppression": (OPERATE, False),
    "DELETE /addresses/{rcpt}/suppression": (OPERATE, False),
    "GET /recipients": (READ, True),
    "GET /addresses": (READ, False),
    "GET /addresses/{rcpt}": (READ, False),
    "GET /destinations": (READ, False),
    "GET /queue": (READ, False),
    "GET /stats": (READ, False),
    "GET /events": (READ, True),
    "GET /events/stream": (READ, True),
    "GET /keys": (ADMIN, False),
    "GET /audit": (ADMIN, False),
    "GET /settings": (ADMIN, False),
    "PATCH /settings": (ADMIN, False),
    "GET /webhooks": (ADMIN, False),
    "POST /webhooks": (ADMIN, False),
    "GET /webhooks/{webhook}": (ADMIN, False),
    "PATCH /webhooks/{webhook}": (ADMIN, False),
    "DELETE /webhooks/{webhook}": (ADMIN, False),
    "GET /webhooks/{webhook}/deliveries": (ADMIN, False),
    "POST /webhooks/{webhook}/replay": (ADMIN, False),
    "POST /webhooks/{webhook}/rotate": (ADMIN, False),
    "POST /webhooks/{webhook}/test": (ADMIN, False),
    "GET /metrics": (READ, False),
    "GET /health": (None, True),
    "GET /doctor": (ADMIN, False),
}
SUFFICE = {
    READ: {READ, OPERATE, ADMIN},
    OPERATE: {OPERATE, ADMIN},
    ADMIN: {ADMIN},
    CONTENT: set(),
    SUBMIT: {SUBMIT},
}


async def fill_more(store: QueueStore) -> None:
    """What `fill` makes, and a message that a key submitted."""
    await fill(store)
    own = a_message(OWN, auth_user="own (API key)", tag="mine", count=9)
    await enqueue(store, own)
    await store.act(Query(recipient=(OWN,)), Action.HOLD, by="alice", reason="")


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with a_console(tmp_path_factory.mktemp("api"), fill_more) as made:
        yield made


@pytest.fixture(scope="module")
def program(console: Console) -> Program:
    return Program(console=console)


@pytest.fixture
def own(program: Program) -> str:
    return program.key(*Scope, sees=Sees.OWN, name="own")


def test_every_resource_is_in_the_matrix() -> None:
    found = {}
    for route in routes():
        needed = needs_of(route)
        for method in route.methods or ():
            name = f"{method} {route.path_format.removeprefix(PREFIX)}"
            found[name] = (None, True) if needed is None else (needed.scope, needed.own)
    assert found == NEEDS


@pytest.mark.parametrize("name", [name for name, (scope, _) in NEEDS.items() if scope])
def test_who_may_ask_for_a_resource(program: Program, own: str, name: str) -> None:
    """By each kind of key (A-80)."""
    method, path = name.split()
    needed, is_for_own = NEEDS[name]
    assert needed is not None
    path = path.format(queue_id="0CNA0NJ6E0401", rcpt="a@x.test", webhook=1)
    assert program.send(method, path).status == 401
    assert program.send(method, path, key=str(a_key_text(99))).status == 401
    for scope in Scope:
        status = _status(program, method, path, program.key(scope))
        assert (status not in (401, 403)) is (scope in SUFFICE[needed]), scope
    if needed is CONTENT:
        key = program.key(READ, CONTENT)
        assert _status(program, method, path, key) not in (401, 403)
    assert (_status(program, method, path, own) not in (401, 403)) is is_for_own


def _status(program: Program, method: str, path: str, key: str) -> int:
    """Also of a stream, of which the rest is left alone."""
    connection = http.client.HTTPConnection("127.0.0.1", program.console.port, timeout=15)
    with closing(connection):
        connection.request(method, PREFIX + path, None, {"Authorization": f"Bearer {key}"})
        return connection.getresponse().status


BAD_HEADERS = {
    "no scheme": "{key}",
    "basic": "Basic {key}",
    "nothing": "",
    "no secret": "Bearer ",
    "another secret": "Bearer {key}x",
    "a part": "Bearer rk_{id}",
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_what_is_no_good_key(program: Program, header: str) -> None:
    key = program.key(READ)
    given = header.format(key=key, id=key.split("_")[1])
    answer = program.send("GET", "/recipients", headers={"Authorization": given})
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert key.rpartition("_")[2] not in answer.body.decode()


def test_a_key_is_good_from_its_networks(program: Program) -> None:
    far = program.key(READ, name="far", networks=(ip_network("192.0.2.0/24"),))
    near = program.key(READ, name="near", networks=(ip_network("127.0.0.0/8"),))
    assert program.send("GET", "/recipients", key=far).status == 401
    assert program.send("GET", "/recipients", key=near).status == 200


def test_a_key_that_was_taken_back_is_gone_at_once(program: Program, console: Console) -> None:
    key = program.key(READ, name="gone")
    assert program.send("GET", "/recipients", key=key).status == 200
    change = console.store.people.change_key(key.split("_")[1], disabled=True, author=ROOT)
    console.call(change)
    assert program.send("GET", "/recipients", key=key).status == 401


def test_it_is_noted_when_a_key_was_used(program: Program) -> None:
    program.get("/recipients", READ)
    [told] = [
        each for each in program.get("/keys", ADMIN).json["keys"] if each["name"] == "read-all"
    ]
    assert told["last_used_at"] is not None


def test_a_session_is_no_key(console: Console, program: Program) -> None:
    from relayd.policy.console.roles import Role  # noqa: PLC0415

    assert console.get(f"{PREFIX}/recipients", role=Role.ADMIN).status == 401
    assert program.send("GET", "/recipients", headers={"Host": "elsewhere.test"}).status == 421


WRONG: dict[str, tuple[str, str, int, str]] = {
    "no such resource": ("GET", "/nothing", 404, "not-found"),
    "beside the version": ("GET", "/../v2/recipients", 404, "not-found"),
    "another method of two": (
        "OPTIONS",
        "/addresses/a@x.test/suppression",
        405,
        "method-not-allowed",
    ),
    "another method": ("DELETE", "/recipients", 405, "method-not-allowed"),
    "an unknown parameter": ("GET", "/recipients?tags=a", 422, "invalid"),
    "an unknown parameter where there are none": ("GET", "/destinations?x=1", 422, "invalid"),
    "a word that is none": ("GET", "/recipients?status=lost", 422, "invalid"),
    "no instant": ("GET", "/recipients?since=soon", 422, "invalid"),
    "no network": ("GET", "/recipients?client_ip=x", 422, "invalid"),
    "no queue id": ("GET", "/recipients?queue_id=x", 422, "invalid"),
    "too many": ("GET", "/recipients?limit=501", 422, "invalid"),
    "no cursor": ("GET", "/recipients?cursor=AAAA", 422, "invalid"),
    "no cursor, nor base64": ("GET", "/events?cursor=%F0%9F", 422, "invalid"),
    "an empty filter": ("GET", "/recipients?tag=", 422, "invalid"),
    "no message": ("GET", "/messages/0CNA0NJ6E0401", 404, "not-found"),
    "no id": ("GET", "/messages/x", 404, "not-found"),
    "no doctor": ("GET", "/doctor", 404, "not-found"),
    "two filters that exclude each other": (
        "GET",
        "/addresses?suppressed=true&domain=x.test",
        422,
        "invalid",
    ),
}


@pytest.mark.parametrize(("method", "path", "status", "kind"), WRONG.values(), ids=WRONG)
def test_every_failure_is_a_problem(
    program: Program, method: str, path: str, status: int, kind: str
) -> None:
    answer = program.send(method, path, key=program.key(ADMIN))
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    told = answer.json
    assert told["type"] == f"urn:relayd:problem:{kind}"
    assert (told["title"], told["status"]) == (TITLES[kind], status)
    assert told["detail"]
    if status == 422:
        assert told["errors"][0].keys() >= {"where", "message"}
    if status == 405:
        assert answer.headers["allow"] == ("DELETE, PUT" if "suppression" in path else "GET")
    errors_shapes.Problem.model_validate(told)


def test_an_error_of_ours_has_a_reference_and_no_trace(
    console: Console, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("relayd.console.api.recipients.fields", fail)
    answer = program.get("/recipients", READ)
    assert (answer.status, answer.json["type"]) == (500, "urn:relayd:problem:internal")
    assert answer.json["reference"]
    assert "secret" not in answer.body.decode()
    assert console.get("/health").status == 200


# Each resource, and the shape that its answer has.
ANSWERS: dict[str, type[BaseModel]] = {
    "/recipients": messages_shapes.Recipients,
    "/recipients?status=bounced&since=2020-01-01": messages_shapes.Recipients,
    "/addresses": addresses_shapes.Addresses,
    "/addresses?domain=shop.example": addresses_shapes.Addresses,
    "/addresses?suppressed=true": addresses_shapes.Addresses,
    "/addresses/gone@shop.example": addresses_shapes.Address,
    "/destinations": destinations_shapes.Destinations,
    "/queue": destinations_shapes.Queue,
    "/stats": stats_shapes.Stats,
    "/stats?by=sender": stats_shapes.Stats,
    "/stats?step=1h&since=2026-01-01": stats_shapes.Stats,
    "/events": messages_shapes.Events,
    "/events?event=held": messages_shapes.Events,
    "/keys": people_shapes.Keys,
    "/audit": people_shapes.Audit,
    "/settings": settings_shapes.Settings,
    "/health": health_shapes.Health,
}


@pytest.mark.parametrize(("path", "shape"), ANSWERS.items(), ids=ANSWERS)
def test_answers_are_as_the_document_says(
    program: Program, path: str, shape: type[BaseModel]
) -> None:
    answer = program.get(path, ADMIN)
    assert answer.status == 200
    told = shape.model_validate(answer.json)
    again = json.loads(told.model_dump_json(by_alias=True, exclude_unset=True))
    assert _keys(again) == _keys(answer.json), "a field is not in the document"
    assert any(told.model_dump().values())


def _keys(told: object) -> Any:
    """The names in an answer, without the values."""
    match told:
        case dict():
            return {name: _keys(value) for name, value in told.items()}
        case list():
            return [_keys(each) for each in told]
        case _:
            return None


FIELDS = {
    messages_shapes.Recipient: recipients.FIELDS,
    messages_shapes.Event: tuple(set(status_line.FIELDS) - {"node", "schema"}),
    addresses_shapes.Address: ADDRESS_FIELDS,
    people_shapes.Key: KEY_FIELDS,
    people_shapes.Deed: AUDIT_FIELDS,
    webhooks_shapes.Webhook: ENDPOINT_FIELDS,
    webhooks_shapes.Delivery: DELIVERY_FIELDS,
}


@pytest.mark.parametrize(("shape", "names"), FIELDS.items())
def test_fields_are_those_that_everybody_tells(
    shape: type[BaseModel], names: tuple[str, ...]
) -> None:
    assert {each.alias or name for name, each in shape.model_fields.items()} == set(names)


def test_the_document_needs_no_key_and_names_the_scopes(program: Program) -> None:
    document = program.get("/openapi.json").json
    assert document == json.loads(json.dumps(make_app().openapi()))
    assert document["openapi"].startswith("3.1")
    assert document["paths"][f"{PREFIX}/keys"]["get"]["security"] == [{"key": ["admin"]}]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_all_recipients_come_page_by_page(program: Program) -> None:
    whole = program.get("/recipients", READ).json["recipients"]
    pages = list(walk(program, "/recipients?limit=2", "next"))
    assert [row for page in pages for row in page["recipients"]] == whole
    assert len(whole) == 5
    assert [page["prev"] is None for page in pages] == [True, False, False]


@pytest.mark.parametrize(
    ("name", "path", "scope"),
    [
        ("recipients", "/recipients?limit=2", READ),
        ("addresses", "/addresses?suppressed=true&limit=3", READ),
        ("audit", "/audit?limit=3", ADMIN),
        ("deliveries", "/webhooks/1/deliveries?limit=1", ADMIN),
    ],
)
def test_each_page_leads_back(name: str, path: str, scope: Scope, tmp_path: Path) -> None:
    """By `prev` and by the link; back at the begin there is none."""

    async def much(store: QueueStore) -> None:
        await fill_and_tell(store)
        wanted = [ToSuppress(address=f"{each}@x.test") for each in "abcdefg"]
        await store.suppress(wanted, by="ann")
        for each in wanted:
            await store.people.note(Deed("suppress", each.address), author=ROOT)

    with a_console(tmp_path, much) as made:
        program = Program(console=made)
        pages = list(walk(program, path, "next", scope))
        assert len(pages) > 1
        back = list(walk(program, f"{path}&cursor={pages[-1]['prev']}", "prev", scope))
        found = [row for page in back[::-1] for row in page[name]]
        assert found == [row for page in pages[:-1] for row in page[name]]
        assert back[0][name] == pages[-2][name]
        onwards = program.get(f"{path}&cursor={back[0]['next']}", scope).json
        assert onwards[name] == pages[-1][name]


def walk(program: Program, path: str, rel: str, scope: Scope = READ) -> Iterator[Any]:
    """Yield pages as `Link` leads from one to the other."""
    resource = path.partition("?")[0]
    for _ in range(99):
        answer = program.get(path, scope)
        yield answer.json
        links = answer.headers.get("link", "")
        found = re.search(f'<([^>]*)>; rel="{rel}"', links)
        assert (found is None) == (answer.json[rel] is None)
        if found is None:
            return
        path = resource + found[1]


def test_a_cursor_is_good_for_its_list_and_its_key(program: Program) -> None:
    cursor = program.get("/recipients?limit=1", READ).json["next"]
    assert program.get(f"/recipients?limit=3&cursor={cursor}", READ).status == 200
    assert program.get(f"/recipients?tag=news&cursor={cursor}", READ).status == 422
    assert program.get(f"/recipients?cursor={cursor}", OPERATE).status == 422
    assert program.get(f"/audit?cursor={cursor}", ADMIN).status == 422


def test_a_message_has_all_that_is_known(program: Program) -> None:
    [row] = program.get("/recipients?rcpt=gone@shop.example", READ).json["recipients"]
    told = program.get(f"/messages/{row['queue_id']}", READ).json
    messages_shapes.Message.model_validate(told)
    [recipient] = told["recipients"]
    assert recipient["waits_for"] == "nothing: this is its final status"
    assert [each["event"] for each in recipient["history"]] == ["received", "bounced"]
    assert {name: recipient[name] for name in row} == row


def test_a_key_hears_of_what_it_submitted(program: Program, own: str) -> None:
    def rows(path: str) -> list[str]:
        return [row["rcpt"] for row in program.send("GET", path, key=own).json["recipients"]]

    assert rows("/recipients") == rows("/recipients?auth_user=own+(API+key)") == [OWN]
    assert rows("/recipients?auth_user=app") == []
    for address, status in ((OWN, 200), ("gone@shop.example", 404)):
        [row] = program.get(f"/recipients?rcpt={address}", READ).json["recipients"]
        assert program.send("GET", f"/messages/{row['queue_id']}", key=own).status == status
    told = program.send("GET", "/events", key=own).json
    assert [each["rcpt"] for each in told["events"]] == [OWN]
    assert len(program.get("/events", READ).json["events"]) > 1


def test_a_cursor_can_be_neither_read_nor_written(program: Program, own: str) -> None:
    """Its owner has the key, and so whatever is made of the key alone."""
    cursor = program.send("GET", "/events", key=own).json["next"]
    octets = urlsafe_b64decode(cursor + "==")
    assert not re.search(rb"\[[0-9]+\]", octets)
    secret_hash = hashlib.sha256(own.rpartition("_")[2].encode()).digest()
    for body in (b"[0]", b"{}", b'["x"]', b"[1e99]"):
        signed = b"relayd cursor\0events\0" + body
        forged = hmac.digest(secret_hash, signed, "sha256")[:16] + body
        text = urlsafe_b64encode(forged).decode().rstrip("=")
        assert program.send("GET", f"/events?cursor={text}", key=own).status == 422


def test_pages_do_not_tell_how_much_happens_to_others(program: Program, own: str) -> None:
    told = program.send("GET", "/events?limit=1", key=own).json
    assert ([each["rcpt"] for each in told["events"]], told["more"]) == ([OWN], False)


def test_events_go_on_from_a_cursor(program: Program, console: Console) -> None:
    found, cursor = [], ""
    while True:
        told = program.get(f"/events?limit=2&cursor={cursor}", READ).json
        found += told["events"]
        cursor = told["next"]
        if not told["more"]:
            break
    assert found == program.get("/events", READ).json["events"]
    query = Query(recipient=(OWN,))
    console.call(console.store.act(query, Action.RELEASE, by="anna", reason="well"))
    told = program.get(f"/events?cursor={cursor}", READ).json
    assert [(each["event"], each["by"]) for each in told["events"]] == [("released", "anna")]
    console.call(console.store.act(query, Action.HOLD, by="anna", reason=""))


def test_a_cursor_outlasts_a_restart(program: Program, console: Console) -> None:
    """The daemon has the store make its secret, by which they are sealed, whatever the settings are."""
    store = console.store
    console.call(housekeeping.have_secret(store))
    console.call(housekeeping.have_secret(store))
    cursor = program.get("/events?limit=2", READ).json["next"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caller, "_OF_THIS_PROCESS", b"of another one")
        assert program.get(f"/events?cursor={cursor}", READ).status == 200


@pytest.mark.parametrize("kind", ["received", "refused"])
def test_what_is_not_among_the_events_is_said(program: Program, kind: str) -> None:
    answer = program.get(f"/events?event={kind}", READ)
    assert answer.status == 422
    assert "is not told here" in answer.json["errors"][0]["message"]


def test_who_asks_for_the_head_alone_gets_it(program: Program) -> None:
    for path in ("/health", "/recipients"):
        whole, head = (program.send(each, path, key=program.key(READ)) for each in ("GET", "HEAD"))
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == whole.headers["content-length"]
    assert program.send("HEAD", "/events/stream", key=program.key(READ)).status == 405


def _stream(program: Program, last: str = "") -> tuple[http.client.HTTPConnection, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", program.console.port, timeout=15)
    headers = {"Authorization": f"Bearer {program.key(READ)}"}
    if last:
        headers["Last-Event-ID"] = last
    connection.request("GET", f"{PREFIX}/events/stream", None, headers)
    return connection, connection.getresponse()


def _next_event(answer: Any) -> dict[str, str]:
    """The fields of the next event of a stream; comments are passed over."""
    told: dict[str, str] = {}
    while line := answer.readline().decode().rstrip("\n"):
        name, _, value = line.partition(": ")
        told[name] = value
    return told if "data" in told else _next_event(answer)


def test_a_stream_goes_on_where_it_broke_off(program: Program) -> None:
    whole = program.get("/events", READ).json["events"]
    first = program.get("/events?limit=1", READ).json["next"]
    connection, answer = _stream(program, first)
    with closing(connection):
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = _next_event(answer)
    assert (told["event"], json.loads(told["data"])) == (whole[1]["event"], whole[1])
    connection, answer = _stream(program, told["id"])
    with closing(connection):
        assert json.loads(_next_event(answer)["data"]) == whole[2]


def test_a_stream_tells_what_happens_from_now_on(program: Program, console: Console) -> None:
    connection, answer = _stream(program)
    with closing(connection):
        assert answer.readline() == b": relayd\n"
        query = Query(recipient=(OWN,))
        console.call(console.store.act(query, Action.RELEASE, by="zoe", reason=""))
        assert json.loads(_next_event(answer)["data"])["by"] == "zoe"
        console.call(console.store.act(query, Action.HOLD, by="zoe", reason=""))


def test_a_key_has_ten_streams_at_most(program: Program) -> None:
    streams = [_stream(program) for _ in range(10)]
    assert [answer.status for _, answer in streams] == [200] * 10
    connection, answer = _stream(program)
    assert (answer.status, answer.headers["retry-after"]) == (429, "30")
    assert "10 streams" in json.loads(answer.read())["detail"]
    connection.close()
    streams.pop()[0].close()
    while True:  # the console learns of the end some moments later
        streams.append(_stream(program))
        if streams[-1][1].status == 200:
            break
        streams.pop()[0].close()
    for each, _ in streams:
        each.close()


def test_a_stream_ends_with_its_key_however_much_happens(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look finds an event here."""

    async def gone(request: Request) -> Caller:
        raise Problem(401, f"no key for {request.url.path}")

    every = program.get("/events", READ).json["events"]
    first = program.get("/events?limit=1", READ).json["next"]
    for name, value in {"caller_of": gone, "_PAGE": 1, "_CHECKED": 2}.items():
        monkeypatch.setattr(events, name, value)
    connection, answer = _stream(program, first)
    with closing(connection):
        told = [_next_event(answer), _next_event(answer)]
        assert [json.loads(each["data"]) for each in told] == every[1:3]
        assert len(every) > 3
        assert answer.read() == b""


def _statuses(program: Program, address: str) -> list[str]:
    found = program.get(f"/recipients?rcpt={address}", READ).json["recipients"]
    return [row["status"] for row in found]


def test_a_program_acts_on_what_a_selector_matches(program: Program, console: Console) -> None:
    """First it counts, then it acts; the history has its name."""
    wanted = {"action": "release", "selector": {"rcpt": ["held@mail.example"]}, "reason": "well"}
    key, _ = program.key(OPERATE), program.key(ADMIN)  # both before: making one is in the audit
    counted = program.send("POST", "/actions", {**wanted, "dry_run": True}, key=key).json
    assert counted == {"matched": 1, "changed": 1, "next": None}
    assert _statuses(program, "held@mail.example") == ["held"]
    assert program.send("POST", "/actions", wanted, key=key).json == counted
    assert _statuses(program, "held@mail.example") == ["deferred"]
    last = console.recorded[-1].detail
    assert (last["by"], last["reason"]) == ("operate-all (API key)", "well")
    assert program.get("/audit?limit=1", ADMIN).json["audit"][0]["action"] == "release"
    program.send("POST", "/actions", {**wanted, "action": "hold"}, key=key)


def test_acts_go_on_where_the_last_one_ended(program: Program, console: Console) -> None:
    """Also where the selector has a time that moves on with the clock."""
    selector = {"domain": ["mail.example", "shop.example"], "since": "7d"}
    wanted = {"action": "hold", "selector": selector}
    key, changed, asked = program.key(OPERATE), 0, 0
    cursor: str | None = ""
    while cursor is not None:
        told = program.send("POST", "/actions", {**wanted, "limit": 1, "cursor": cursor}, key=key)
        assert told.status == 200, told.body
        changed, cursor, asked = changed + told.json["changed"], told.json["next"], asked + 1
        console.clock.advance(timedelta(seconds=1))
    assert changed == 1  # the other is held already
    assert asked > 2
    release = {"action": "release", "selector": {"rcpt": ["later@mail.example"]}}
    assert program.send("POST", "/actions", release, key=key).json["changed"] == 1


def test_a_key_acts_on_what_it_submitted(program: Program, own: str) -> None:
    told = {"action": "release", "selector": {"status": ["held"]}, "dry_run": True}
    assert program.send("POST", "/actions", told, key=own).json["matched"] == 1
    assert program.send("POST", "/actions", told, key=program.key(OPERATE)).json["matched"] == 2
    other = {**told, "selector": {"auth_user": ["app"]}}
    answer = program.send("POST", "/actions", other, key=own)
    assert (answer.status, answer.json["type"]) == (403, "urn:relayd:problem:forbidden")


BAD_ACTS: dict[str, object] = {
    "nothing selected": {"action": "hold", "selector": {}},
    "nothing but unfinished": {"action": "hold", "selector": {"unfinished": True}},
    "an empty filter": {"action": "hold", "selector": {"tag": []}},
    "an unknown filter": {"action": "hold", "selector": {"tags": ["a"]}},
    "an unknown field": {"action": "hold", "selector": {"tag": ["a"]}, "all": True},
    "no such action": {"action": "delete", "selector": {"tag": ["a"]}},
    "no selector": {"action": "hold"},
    "a cursor of something else": {"action": "hold", "selector": {"tag": ["a"]}, "cursor": "AAAA"},
    "no object": ["hold"],
    "half of a character": {"action": "hold", "selector": {"tag": ["\ud800"]}},
    "half of a character as reason": {
        "action": "hold",
        "selector": {"tag": ["a"]},
        "reason": "\ud800",
    },
}


@pytest.mark.parametrize("wanted", BAD_ACTS.values(), ids=BAD_ACTS)
def test_what_is_not_understood_changes_nothing(program: Program, wanted: object) -> None:
    before = program.get("/events", READ).json["next"]
    answer = program.send("POST", "/actions", wanted, key=program.key(OPERATE))
    assert (answer.status, answer.json["type"]) == (422, "urn:relayd:problem:invalid")
    assert program.get("/events", READ).json["next"] == before


def test_a_body_that_is_no_json(program: Program) -> None:
    for body in (b"{", b"[" * 100_000, b"\xff"):
        answer = program.send(
            "POST",
            "/actions",
            key=program.key(OPERATE),
            body=body,
            headers={"Content-Type": "application/json"},
        )
        assert (answer.status, answer.json["type"]) == (400, "urn:relayd:problem:bad-request")


def test_an_address_is_suppressed_and_no_longer(program: Program) -> None:
    key, path = program.key(OPERATE), "/addresses/new%2Ftag@x.test/suppression"
    for changed in (True, False):
        told = program.send("PUT", path, {"reason": "left us"}, key=key).json
        assert told == {"rcpt": "new/tag@x.test", "changed": changed}
    row = program.get("/addresses/new%2Ftag@x.test", READ).json
    assert row["suppress"] is True
    assert row["suppressions"][0]["reason"] == "left us"
    assert row["suppressions"][0]["by"] == "operate-all (API key)"
    for changed in (True, False):
        told = program.send("DELETE", path, key=key).json
        assert told == {"rcpt": "new/tag@x.test", "changed": changed}
    for text, status in {"x": 404, "a@": 404, "a b@x.test": 422, "a@x.test%09": 422}.items():
        answer = program.send(
            "PUT", f"/addresses/{text.replace(' ', '%20')}/suppression", {}, key=key
        )
        assert answer.status == answer.json["status"] == status


def test_an_address_is_suppressed_for_one_sender(program: Program) -> None:
    key, path = program.key(OPERATE), "/addresses/some@x.test/suppression"
    program.send("PUT", path, {"from": "news@app.test"}, key=key)
    row = program.get("/addresses/some@x.test", READ).json
    assert row["suppress_for"] == ["news@app.test"]
    program.send("DELETE", path, key=key)


def test_a_list_is_imported_after_a_look_at_it(program: Program) -> None:
    text = b"\xef\xbb\xbfaddress,reason\ngone@shop.example,\none@list.test,asked\nno address,\n"
    key, csv = program.key(OPERATE), {"Content-Type": "text/csv"}

    def sent(query: str) -> Any:
        answer = program.send("POST", f"/addresses/import{query}", key=key, body=text, headers=csv)
        return addresses_shapes.Imported.model_validate(answer.json)

    told = sent("?dry_run=true")
    assert (told.new, told.before, told.mistaken) == (1, 1, 1)
    assert [each.line for each in told.mistakes] == [4]
    assert program.get("/addresses/one@list.test", READ).status == 404
    assert sent("?reason=list") == told
    assert sent("").before == 2
    exported = program.get("/addresses/export", READ)
    assert exported.headers["content-type"].startswith("text/csv")
    [line] = [each for each in exported.body.split(b"\r\n") if each.startswith(b"one@list.test,,")]
    assert line.endswith(b",operate-all (API key),,asked")
    lines = program.get("/addresses/export?form=jsonl", READ).body.decode().splitlines()
    assert {"one@list.test", "gone@shop.example"} == {json.loads(line)["rcpt"] for line in lines}
    program.send("DELETE", "/addresses/one@list.test/suppression", key=key)


def test_a_list_that_is_too_long_or_empty(program: Program) -> None:
    key = program.key(OPERATE)
    for body, status in ((b"", 422), (b"a@x.test\n" * 10_001, 413), (b"x" * 1_100_000, 413)):
        answer = program.send("POST", "/addresses/import", key=key, body=body)
        assert (answer.status, answer.headers["content-type"]) == (
            status,
            "application/problem+json",
        )


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_what_is_no_list_is_refused(program: Program, kind: str) -> None:
    headers = {"Content-Type": kind}
    answer = program.send(
        "POST", "/addresses/import", key=program.key(OPERATE), body=b"a@x.test", headers=headers
    )
    assert answer.status == 415


def test_a_line_that_is_not_utf_8_is_a_mistake(program: Program) -> None:
    key = program.key(OPERATE)
    body = b"email\nm\xfcller@list.test\n"
    told = program.send("POST", "/addresses/import", key=key, body=body).json
    assert (told["new"], told["mistakes"][0]["line"]) == (0, 2)
    body = b"email,reason\nfine@list.test,J\xfcrgen\n"
    again = program.send("POST", "/addresses/import", key=key, body=body).json
    assert (again["new"], again["mistakes"][0]["message"]) == (0, "its reason is not UTF-8")
    assert "not valid UTF-8" in told["mistakes"][0]["message"]


def test_a_program_reads_what_a_message_says(program: Program, console: Console) -> None:
    [row] = program.get(f"/recipients?rcpt={OWN}", READ).json["recipients"]
    path, key = f"/messages/{row['queue_id']}/source", program.key(READ, CONTENT)
    assert program.send("GET", path, key=key).status == 422
    answer = program.send("GET", f"{path}?reason=ticket+7", key=key)
    assert (answer.status, answer.headers["content-type"]) == (200, "message/rfc822")
    assert len(answer.body) == row["size"]
    last = console.recorded[-1].detail
    assert (last["by"], last["reason"]) == ("content-read-all (API key)", "ticket 7")
    gone = program.send("GET", "/messages/0CNA0NJ6E0401/source?reason=x", key=key)
    assert gone.status == 404


def test_a_program_reads_what_its_own_messages_say(
    program: Program, own: str, console: Console
) -> None:
    """Others are not there for it, and reading them is no event."""
    path = ""
    for address, status in ((OWN, 200), ("later@mail.example", 404)):
        [row] = program.get(f"/recipients?rcpt={address}", READ).json["recipients"]
        path, before = f"/messages/{row['queue_id']}/source", len(console.recorded)
        assert program.send("GET", f"{path}?reason=x", key=own).status == status
        assert (len(console.recorded) > before) is (status == 200)
    key = program.key(READ, sees=Sees.OWN, name="no content")
    assert program.send("GET", f"{path}?reason=x", key=key).status == 403


def test_health_tells_why_to_who_may_read(program: Program) -> None:
    assert program.get("/health").json == {"status": "ok"}
    assert program.get("/health", READ).json == {"status": "ok", "reasons": []}
    assert program.get("/health", Scope.SUBMIT).json == {"status": "ok"}
    answer: Answer = program.send("GET", "/health", key="rk_x")
    assert answer.status == 401


def test_every_request_of_a_key_counts_and_is_told_what_is_left(program: Program) -> None:
    """Also one that is refused; a key without a rate hears of none, and takes nothing from another."""
    key = program.key(READ, name="polls", requests_per_minute=4)
    paths = ("/recipients", "/keys", "/recipients?x=1", "/health", "/events")
    answers = [program.send("GET", path, key=key) for path in paths]
    assert [each.status for each in answers] == [200, 403, 422, 200, 429]
    assert [each.headers["ratelimit"][:12] for each in answers[:4]] == [
        f'"minute";r={left}' for left in (3, 2, 1, 0)
    ]
    assert 1 <= int(answers[4].headers["retry-after"]) <= 15
    assert answers[4].json["type"] == "urn:relayd:problem:too-many"
    assert "ratelimit" not in program.get("/recipients", READ).headers
    assert "ratelimit" not in program.send("GET", "/health").headers
