from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.control import acts, protocol, requeue
from relayd.control.acts import ActAnswer, ActRequest
from relayd.control.protocol import BadMessage
from relayd.control.requeue import RequeueAnswer, RequeueRequest
from relayd.mail.event import Event, Subject
from relayd.mail.ids import MessageId
from relayd.mail.operator import Action
from relayd.mail.requeue import RequeueCounts
from relayd.mail.words import BounceClass, Category, EventKind
from relayd.ports.queue import Acted, Foreseen
from relayd.ports.requeue import Requeued
from relayd.ports.view import Query, Status, Target

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3).map(tuple)
INSTANTS = st.none() | st.datetimes(timezones=st.just(UTC))
QUERIES = st.builds(
    Query,
    message_id=st.none() | st.integers(0, 2**63 - 1).map(MessageId),
    recipient=TEXTS,
    domain=TEXTS,
    sender=TEXTS,
    message_id_header=TEXTS,
    tag=TEXTS,
    status=st.lists(st.sampled_from(Status), max_size=3).map(tuple),
    bounce_class=st.lists(st.sampled_from(BounceClass), max_size=3).map(tuple),
    category=st.lists(st.sampled_from(Category), max_size=3).map(tuple),
    user=TEXTS,
    client=st.lists(st.ip_addresses().map(ip_network), max_size=2).map(tuple),
    destination=TEXTS,
    possible_duplicate=st.booleans(),
    changed_since=INSTANTS,
    since=INSTANTS,
    until=INSTANTS,
    unfinished=st.booleans(),
)


IDS = st.integers(0, 2**63 - 1).map(MessageId)
REQUESTS_OF_ACTS = st.builds(
    ActRequest,
    query=QUERIES,
    action=st.sampled_from(Action),
    reason=st.text(st.characters(exclude_categories=["Cs"])),
    everything=st.sampled_from([True]),
    dry_run=st.booleans(),
    limit=st.none() | st.integers(1, 9),
    before=st.none() | st.tuples(IDS, st.integers(0, 99)),
)


@settings(max_examples=60, deadline=None)
@given(REQUESTS_OF_ACTS)
def test_request_survives_the_wire(request: ActRequest) -> None:
    line = protocol.encode(acts.act_to_json(request))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert acts.act_from_json(protocol.decode(line)) == request


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40) | st.recursive(st.just(b"1"), lambda b: b.map(lambda x: b"[" + x)))
def test_any_bytes_are_read_or_refused(line: bytes) -> None:
    try:
        message = protocol.decode(line)
    except BadMessage:
        return
    try:
        acts.act_from_json(message)
    except BadMessage:
        return


TARGET = Target(MessageId(1), 0, "a@example.org")


def test_answer_to_an_act_survives_the_wire() -> None:
    event = Event(
        kind=EventKind.HELD,
        at=datetime(2026, 3, 1, tzinfo=UTC),
        message_id=MessageId(1),
        recipient=0,
        detail={},
    )
    acted = Acted(events=(event,), matched=2, more=(MessageId(1), 0))
    told = acts.answer_from_json(protocol.decode(protocol.encode(acts.acted_to_json(acted))))
    assert told == ActAnswer(matched=2, changed=1, more=(MessageId(1), 0), events=(event,))
    for part in ({}, {"targets": (TARGET,), "more": (MessageId(1), 0)}):
        foreseen = Foreseen(matched=3, changed=2, last_retry=1, **part)  # type: ignore[arg-type]
        line = protocol.encode(acts.foreseen_to_json(foreseen))
        told = acts.answer_from_json(protocol.decode(line))
        assert told == ActAnswer(matched=3, changed=2, last_retry=1, **part)  # type: ignore[arg-type]


STRANGE_TARGETS = [1, [1], [{}], [{"queue_id": "0CNA0NJ6E0401", "recipient": 0}]]


@pytest.mark.parametrize("targets", STRANGE_TARGETS, ids=repr)
def test_strange_targets_are_none(targets: object) -> None:
    with pytest.raises(BadMessage):
        acts.read_targets({"targets": targets})


@pytest.mark.parametrize("answer", [{}, {"events": 1}, {"events": [1]}, {"events": []}], ids=repr)
def test_a_strange_answer_is_none(answer: dict[str, object]) -> None:
    with pytest.raises(BadMessage):
        acts.answer_from_json(answer)


@pytest.mark.parametrize("flag", [True, False])
def test_requeueing_survives_the_wire(*, flag: bool) -> None:
    request = RequeueRequest(
        query=Query(tag=("news",)),
        reason="mine",
        again=flag,
        dry_run=flag,
        limit=7 if flag else None,
        before=(MessageId(9), 1) if flag else None,
    )
    line = protocol.encode(requeue.requeue_to_json(request))
    assert requeue.requeue_from_json(protocol.decode(line)) == request
    counts = RequeueCounts(matched=6, changed=1, suppressed=1, already=2, gone=2, refused=1)
    more = (MessageId(9), 1) if flag else None
    targets = (TARGET,) if flag else ()
    done = Requeued(counts=counts, more=more, targets=targets)
    told = requeue.requeued_from_json(
        protocol.decode(protocol.encode(requeue.requeued_to_json(done)))
    )
    assert told == RequeueAnswer(counts=counts, more=more, targets=targets)


@pytest.mark.parametrize(
    "fields",
    [{"selector": {}}, {"selector": {"tag": "x"}, "action": "hold"}, {"selector": {"tag": 1}}],
    ids=repr,
)
def test_bad_requeueing_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(BadMessage):
        requeue.requeue_from_json({"verb": "requeue", **fields})


SELECTORS: dict[str, tuple[Any, str]] = {
    "none": (None, "not a JSON object"),
    "list": ([], "not a JSON object"),
    "empty": ({}, "select everything"),
    "unfinished only": ({"unfinished": True}, "select everything"),
    "misspelt key": ({"rcpts": "a@example.org"}, "unknown key 'rcpts'"),
    "unknown beside known": ({"rcpt": "a@example.org", "x": "y"}, "unknown key 'x'"),
    "number for text": ({"rcpt": 7}, "'rcpt' is not a text"),
    "null": ({"rcpt": None}, "'rcpt' is not a text"),
    "no status": ({"status": "lost"}, "'status'"),
    "no queue id": ({"queue_id": "12"}, "'queue_id'"),
    "no time": ({"since": "yesterday"}, "'since'"),
    "time without zone": ({"since": "2026-11-01T00:00:00"}, "no time zone"),
    "flag as text": ({"possible_duplicate": "yes"}, "'possible_duplicate'"),
    "no network": ({"client_ip": "somewhere"}, "'client_ip'"),
    "empty list": ({"rcpt": [], "tag": "a"}, "'rcpt' is an empty list"),
    "list of numbers": ({"rcpt": ["a@example.org", 7]}, "'rcpt' is not a text"),
    "list of lists": ({"rcpt": [["a@example.org"]]}, "'rcpt' is not a text"),
    "list with no status": ({"status": ["sent", "lost"]}, "'status'"),
    "list of queue ids": ({"queue_id": ["0CNA0NJ6E0401"]}, "'queue_id' is not a text"),
    "list of times": ({"since": ["2026-11-01T00:00:00Z"]}, "'since' is not a text"),
    "unfinished as text": ({"rcpt": "a@example.org", "unfinished": "no"}, "'unfinished'"),
}


@pytest.mark.parametrize(("selector", "why"), SELECTORS.values(), ids=SELECTORS)
def test_selector_that_is_not_understood_is_refused(selector: object, why: str) -> None:
    message = {"verb": "act", "action": "drop", "selector": selector}
    with pytest.raises(BadMessage, match=why):
        acts.act_from_json(message)


def test_one_value_is_written_as_older_daemons_read_it() -> None:
    """And what an older command writes is read."""
    query = Query(recipient=("a@example.org",), status=(Status.HELD,), tag=("a", "b"))
    selector = {"rcpt": "a@example.org", "status": "held", "tag": ["a", "b"]}
    assert protocol.query_to_json(query) == selector
    assert protocol.query_from_json(selector) == query
    assert protocol.query_from_json({"rcpt": ["a@example.org"]}) == Query(
        recipient=("a@example.org",)
    )


REQUESTS: dict[str, dict[str, object]] = {
    "no action": {"selector": {"rcpt": "a@example.org"}},
    "unknown action": {"selector": {"rcpt": "a@example.org"}, "action": "delete"},
    "reason is a number": {"selector": {"rcpt": "a@example.org"}, "action": "hold", "reason": 1},
    "all is a text": {"selector": {}, "action": "hold", "all": "yes"},
    "unknown key": {"selector": {"rcpt": "a@example.org"}, "action": "hold", "who": "root"},
    "dry run is a text": {"selector": {}, "all": True, "action": "hold", "dry_run": "no"},
    "limit is nothing": {"selector": {}, "all": True, "action": "hold", "limit": 0},
    "limit is a flag": {"selector": {}, "all": True, "action": "hold", "limit": True},
    "no place": {"selector": {}, "all": True, "action": "hold", "before": {"queue_id": "1"}},
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_request_that_is_not_understood_is_refused(request_: dict[str, object]) -> None:
    with pytest.raises(BadMessage):
        acts.act_from_json({"verb": "act", **request_})


def test_everything_needs_to_be_said() -> None:
    """An empty selector passes only together with `all`."""
    message = {"verb": "act", "action": "hold", "selector": {}, "all": True}
    assert acts.act_from_json(message).query == Query()


@pytest.mark.parametrize(
    "subject",
    [
        None,
        Subject(
            message_id_header="<1@app.test>", reverse_path="", tag=None, size=7, address="a@x.test"
        ),
    ],
)
def test_event_survives_the_wire(subject: Subject | None) -> None:
    event = Event(
        kind=EventKind.HELD,
        at=datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(milliseconds=7),
        message_id=MessageId(12345),
        recipient=3,
        detail={"by": "root", "reason": "", "suppress": False, "status": "held"},
        subject=subject,
    )
    assert (
        protocol.event_from_json(protocol.decode(protocol.encode(protocol.event_to_json(event))))
        == event
    )


def test_detail_never_overrides_what_an_event_is() -> None:
    detail = {"event": "dropped", "queue_id": "x", "by": "root"}
    at = datetime(2026, 3, 1, tzinfo=UTC)
    event = Event(kind=EventKind.HELD, at=at, message_id=MessageId(1), recipient=0, detail=detail)
    fields = protocol.event_to_json(event)
    assert (fields["event"], fields["queue_id"]) == ("held", "0000000000001")


@pytest.mark.parametrize("missing", ["ts", "event", "queue_id", "recipient"])
def test_event_without_its_identity_is_refused(missing: str) -> None:
    fields = {"ts": "2026-03-01T12:00:00Z", "event": "held", "queue_id": "0" * 13, "recipient": 0}
    protocol.event_from_json(fields)
    with pytest.raises(BadMessage):
        protocol.event_from_json({key: fields[key] for key in fields if key != missing})


def test_text_that_is_not_unicode_is_not_sent() -> None:
    with pytest.raises(BadMessage):
        protocol.encode({"verb": "\udcff"})
