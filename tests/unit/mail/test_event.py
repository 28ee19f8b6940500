"""Events: which one an outcome is recorded as, and what its fields say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from relayd.mail.attempt import AttemptFacts, Breakdown, Peer, RouteKind, TlsFacts
from relayd.mail.envelope import REPORT, ContentCheck
from relayd.mail.event import (
    Subject,
    attempt_detail,
    check_events,
    first_events,
    kind_of,
    reception_detail,
    subject_of,
)
from relayd.mail.outcome import Bounced, Deferred, NotTried, Outcome, Relayed, Sent
from relayd.mail.parameters import RcptParameters
from relayd.mail.reply import Reply, Stage, make_reply
from relayd.mail.tls_result import TlsPolicy, TlsProof, TlsResult, TlsResultType
from relayd.mail.words import Category, EventKind, Fault, JsonValue, format_instant
from tests.support.builders import a_bounce, a_deferral, a_message, a_recipient
from tests.support.clock import START

OUTCOMES = [
    pytest.param(Sent(), EventKind.SENT, {}, id="sent"),
    pytest.param(Relayed(), EventKind.RELAYED, {}, id="relayed"),
    pytest.param(
        a_deferral(START, reason="full"),
        EventKind.DEFERRED,
        {
            "category": "mailbox_full",
            "fault": "peer",
            "reason": "full",
            "next_attempt_at": "2026-03-01T12:00:00.000Z",
        },
        id="deferred",
    ),
    pytest.param(
        a_deferral(START, reason="gone", possible_duplicate=True),
        EventKind.DEFERRED,
        {
            "category": "mailbox_full",
            "fault": "peer",
            "reason": "gone",
            "next_attempt_at": "2026-03-01T12:00:00.000Z",
            "possible_duplicate": True,
        },
        id="possibly-sent",
    ),
    pytest.param(
        a_bounce(),
        EventKind.BOUNCED,
        {
            "bounce_class": "hard",
            "category": "bad_mailbox",
            "fault": "peer",
            "suppress": True,
            "reason": "no such mailbox",
            "enhanced": "5.1.1",  # of ours: no reply decided
        },
        id="bounced",
    ),
    pytest.param(
        replace(a_bounce(), possible_duplicate=True),
        EventKind.BOUNCED,
        {
            "bounce_class": "hard",
            "category": "bad_mailbox",
            "fault": "peer",
            "suppress": True,
            "reason": "no such mailbox",
            "possible_duplicate": True,
            "enhanced": "5.1.1",
        },
        id="bounced-but-possibly-sent",
    ),
    pytest.param(
        NotTried(reason="login refused"),
        EventKind.ATTEMPTED,
        {"reason": "login refused"},
        id="not-tried",
    ),
]


def some_facts(
    *, peer: Peer | None = None, reply: Reply | None = None, breakdown: Breakdown | None = None
) -> AttemptFacts:
    return AttemptFacts(
        peer=peer,
        stage=Stage.RCPT,
        reply=reply,
        breakdown=breakdown,
        dot_sent=False,
        started_at=START,
        connect_for=timedelta(milliseconds=12.3456),
        transaction_for=timedelta(seconds=1.5),
    )


def a_peer(tls: TlsFacts | None = None) -> Peer:
    return Peer(
        route=RouteKind.SMARTHOST,
        host="mx.example.test",
        ip="192.0.2.1",
        port=25,
        local_ip="192.0.2.9",
        helo="relay.test",
        tls=tls,
    )


@pytest.mark.parametrize(("outcome", "kind", "fields"), OUTCOMES)
def test_an_outcome_is_recorded_as_its_event(
    outcome: Outcome, kind: EventKind, fields: dict[str, JsonValue]
) -> None:
    assert kind_of(outcome) is kind
    detail = attempt_detail(some_facts(), outcome, attempt=3, queued_for=timedelta(seconds=2))
    assert detail == {
        "attempt": 3,
        "stage": "rcpt",
        **fields,
        "delay_queue": 2.0,
        "delay_connect": 0.012,
        "delay_transaction": 1.5,
    }


@pytest.mark.parametrize(
    ("tls", "fields"),
    [
        pytest.param(None, {"tls": "none"}, id="clear"),
        pytest.param(
            TlsFacts(version="TLSv1.3", cipher="AES", verified=True),
            {"tls": "TLSv1.3 AES verified"},
            id="verified",
        ),
        pytest.param(
            TlsFacts(version="TLSv1.2", cipher="AES", verified=False, problem="self-signed"),
            {"tls": "TLSv1.2 AES unverified", "tls_problem": "self-signed"},
            id="unverified",
        ),
    ],
)
def test_the_connection_is_described(tls: TlsFacts | None, fields: dict[str, JsonValue]) -> None:
    detail = attempt_detail(
        some_facts(peer=a_peer(tls)), Relayed(), attempt=1, queued_for=timedelta()
    )
    assert {key: detail[key] for key in ("route", "remote_host", "remote_ip", "remote_port")} == {
        "route": "smarthost",
        "remote_host": "mx.example.test",
        "remote_ip": "192.0.2.1",
        "remote_port": 25,
    }
    assert (detail["local_ip"], detail["helo"]) == ("192.0.2.9", "relay.test")
    assert {key: value for key, value in detail.items() if key.startswith("tls")} == fields


GOOD = TlsResult(policy=TlsPolicy.DANE, proof=TlsProof.DANE_EE)
EXPIRED = TlsResult(
    policy=TlsPolicy.NONE,
    proof=TlsProof.ENCRYPTED,
    result=TlsResultType.CERTIFICATE_EXPIRED,
    reason="certificate has expired",
)


@pytest.mark.parametrize(
    ("told", "fields"),
    [
        pytest.param(None, {}, id="nobody-looked"),
        pytest.param(GOOD, {"tls_policy": "dane", "tls_proof": "dane-ee"}, id="good"),
        pytest.param(
            EXPIRED,
            {
                "tls_policy": "none",
                "tls_proof": "encrypted",
                "tls_result": "certificate-expired",
                "tls_problem": "certificate has expired",
            },
            id="expired",
        ),
    ],
)
def test_what_became_of_tls_on_the_way_to_a_mail_host(
    told: TlsResult | None, fields: dict[str, JsonValue]
) -> None:
    """In direct mode; a smarthost has nothing but the settings' word."""
    peer = replace(a_peer(None), tls_result=told)
    for route, expected in ((RouteKind.DIRECT, fields), (RouteKind.SMARTHOST, {})):
        facts = some_facts(peer=replace(peer, route=route))
        detail = attempt_detail(facts, Relayed(), attempt=1, queued_for=timedelta())
        seen = {key: value for key, value in detail.items() if key.startswith("tls_")}
        assert seen == expected


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        pytest.param(
            "5.1.1 no",
            {"code": 550, "enhanced": "5.1.1", "reply": "550 5.1.1 no"},
            id="enhanced-code",
        ),
        pytest.param("no", {"code": 550, "reply": "550 no"}, id="plain-reply"),
    ],
)
def test_the_remote_server_is_quoted(text: str, fields: dict[str, JsonValue]) -> None:
    facts = some_facts(reply=make_reply(550, (text,)))
    detail = attempt_detail(facts, a_bounce(), attempt=1, queued_for=timedelta())
    told = {key: value for key, value in detail.items() if key in ("code", "enhanced", "reply")}
    assert told == fields


def test_a_breakdown_is_told_by_the_outcome() -> None:
    """What is no reply leaves no reply fields; its words are the outcome's reason."""
    broken = Breakdown(category=Category.DNS_FAILURE, fault=Fault.DNS, reason="no answer")
    detail = attempt_detail(
        some_facts(breakdown=broken), a_deferral(), attempt=1, queued_for=timedelta()
    )
    assert not {"code", "enhanced", "reply"} & set(detail)


@pytest.mark.parametrize("outcome", [NotTried(reason="x"), a_deferral(), a_bounce()])
@pytest.mark.parametrize("fault", Fault)
def test_a_fault_of_this_machine_carries_no_name_of_a_peer(
    outcome: NotTried | Deferred | Bounced, fault: Fault
) -> None:
    broken = Breakdown(category=Category.UNKNOWN, fault=fault, reason="out of descriptors")
    facts = some_facts(peer=a_peer(), breakdown=broken)
    detail = attempt_detail(facts, outcome, attempt=1, queued_for=timedelta())
    is_named = {"remote_host", "remote_ip", "remote_port"} <= set(detail)
    assert is_named == (fault is not Fault.LOCAL)
    assert "mx.example.test" not in str(detail) or is_named
    if isinstance(outcome, NotTried):
        assert detail["fault"] == fault


@pytest.mark.parametrize(
    ("at", "text"),
    [
        pytest.param(START, "2026-03-01T12:00:00.000Z", id="whole-second"),
        pytest.param(
            datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC),
            "2026-01-02T03:04:05.678Z",
            id="milliseconds",
        ),
    ],
)
def test_instants_are_rfc_3339_in_utc(at: datetime, text: str) -> None:
    assert format_instant(at) == text


def test_no_connection_has_no_address_of_ours() -> None:
    peer = replace(a_peer(None), local_ip="")
    detail = attempt_detail(some_facts(peer=peer), Relayed(), attempt=1, queued_for=timedelta())
    assert "local_ip" not in detail


CHECKS = {
    "held": (
        ContentCheck(score=12.5, reason="spam", holds=True),
        EventKind.HELD,
        {"by": "[content]", "content_score": 12.5, "reason": "spam"},
    ),
    "scored": (
        ContentCheck(score=6.5, reason="odd"),
        EventKind.SCORED,
        {"content_score": 6.5, "reason": "odd"},
    ),
    "unchecked": (
        ContentCheck(score=None, reason="down"),
        EventKind.UNCHECKED,
        {"content_score": None, "reason": "down"},
    ),
}


@pytest.mark.parametrize(("check", "kind", "detail"), CHECKS.values(), ids=CHECKS)
def test_a_content_check_is_recorded_for_each_recipient(
    check: ContentCheck, kind: EventKind, detail: dict[str, JsonValue]
) -> None:
    message = replace(a_message("a@x.test", "b@x.test"), content_check=check)
    events = check_events(message)
    assert first_events(message)[2:] == events
    assert [(each.recipient, each.kind, each.detail) for each in events] == [
        (0, kind, detail),
        (1, kind, detail),
    ]
    assert message.is_held == (kind is EventKind.HELD)


def test_a_message_that_was_not_checked_has_nothing_but_its_reception() -> None:
    message = a_message()
    assert [each.kind for each in first_events(message)] == [EventKind.RECEIVED]
    assert not check_events(message)
    assert not message.is_held


def test_a_report_of_ours_is_told_by_its_listener() -> None:
    message = a_message()
    assert not message.is_report
    assert replace(message, client=replace(message.client, listener=REPORT)).is_report


def test_reception_is_an_event_of_each_recipient() -> None:
    message = a_message("a@x.test", "b@x.test", client_ip="192.0.2.7", auth_user="shop")
    events = first_events(message)
    assert [(event.kind, event.recipient) for event in events] == [
        (EventKind.RECEIVED, 0),
        (EventKind.RECEIVED, 1),
    ]
    assert {(event.at, event.message_id) for event in events} == {(message.received_at, message.id)}
    assert events[0].detail == {
        "client_ip": "192.0.2.7",
        "helo": "app.test",
        "listener": "127.0.0.1:2525",
        "auth_user": "shop",
    }


def test_an_event_is_about_one_recipient_of_a_message() -> None:
    message = a_message("a@x.test", "b@x.test", message_id_header="<1@app.test>", tag="news")
    assert subject_of(message, 1) == Subject(
        message_id_header="<1@app.test>",
        reverse_path="app@app.test",
        tag="news",
        size=len(message.content),
        address="b@x.test",
    )
    assert subject_of(a_message(reverse_path=""), 0).reverse_path == ""


@pytest.mark.parametrize(
    ("orcpt", "told"),
    [
        ("rfc822;root@relay.test", {"orig_rcpt": "rfc822;root@relay.test"}),
        ("rfc822;a@x.test", {}),
        (None, {}),
    ],
)
def test_reception_names_the_address_that_was_written_to_if_it_is_another(
    orcpt: str | None, told: dict[str, str]
) -> None:
    aliased = replace(a_recipient("a@x.test"), parameters=RcptParameters(orcpt=orcpt))
    message = a_message(aliased, "b@x.test")
    first, second = first_events(message)
    assert first.detail == {**second.detail, **told}
    assert second.detail == reception_detail(message)


def test_reception_names_the_entry_that_chose_the_way() -> None:
    message = a_message(a_recipient("a@x.test", chosen_by='[senders] "<>"'), "b@x.test")
    first, second = first_events(message)
    assert first.detail == {**second.detail, "chosen_by": '[senders] "<>"'}


def test_an_attempt_says_where_a_redirected_recipient_went() -> None:
    detail = attempt_detail(
        some_facts(), Sent(), attempt=1, queued_for=timedelta(), redirected_to="qa@x.test"
    )
    assert list(detail)[:2] == ["attempt", "redirected_to"]
    assert detail["redirected_to"] == "qa@x.test"


def test_what_was_rewritten_is_told_in_one_line() -> None:
    changes = ("sender a@x.test to b@x.test", "X-Mailer removed")
    detail = attempt_detail(
        some_facts(), Sent(), attempt=1, queued_for=timedelta(), rewritten=changes
    )
    assert detail["rewritten"] == "sender a@x.test to b@x.test; X-Mailer removed"


def test_mail_that_cannot_be_signed_is_held_with_its_reason() -> None:
    message = replace(a_message("a@x.test"), unsigned="no key of x.test")
    received, held = first_events(message)
    assert (received.kind, held.kind) == (EventKind.RECEIVED, EventKind.HELD)
    assert held.detail == {"by": "[[dkim]]", "reason": "no key of x.test"}
