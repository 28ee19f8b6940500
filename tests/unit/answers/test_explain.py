"""Why a history is as it is: facts of real judgements, as the store keeps them, explained afterwards."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from relayd.answers.explain import Judges, Reason, explain
from relayd.mail.address import parse_address
from relayd.mail.attempt import AttemptFacts, Breakdown, Peer, RouteKind
from relayd.mail.envelope import QueuedRecipient
from relayd.mail.event import attempt_detail, kind_of
from relayd.mail.ids import WorkerNumber, make_id
from relayd.mail.outcome import NotTried
from relayd.mail.parameters import RCPT_WITHOUT
from relayd.mail.reply import Stage, make_reply
from relayd.mail.words import Category, Detail, Fault
from relayd.policy.delivery.retry import RetrySettings
from relayd.policy.delivery.route import RouteRules
from relayd.policy.delivery.verdict import Moment, VerdictRules, decide
from relayd.policy.replies.ruleset import builtin_rules
from relayd.ports.view import HistoryEntry, RecipientRow, Status
from tests.support.clock import START
from tests.support.recipient_rows import a_row

MINUTE = timedelta(minutes=1)
RETRY = RetrySettings(
    soft_bounce=(30 * MINUTE,),
    unknown_outcome=(60 * MINUTE,),
    unreachable=(5 * MINUTE, 15 * MINUTE),
    give_up_after=timedelta(days=5),
)
JUDGES = Judges(rules=builtin_rules(), retry=RETRY, routes=RouteRules(use_remote_smtp=True))
RULES = VerdictRules(retry=RETRY, classifier=JUDGES.rules)
ROW = a_row(
    message_id=make_id(START, WorkerNumber(1), 1),
    reverse_path="app@app.test",
    address="a@x.test",
    status=Status.DEFERRED,
    destination="mx:x.test",
    attempts=1,
    next_attempt_at=None,
)


def entry(kind: str, **detail: str | int | bool | None) -> HistoryEntry:
    return HistoryEntry(kind=kind, at=START, recipient=0, detail=detail)


def attempt(
    text: str,
    stage: Stage = Stage.RCPT,
    *,
    breakdown: Breakdown | None = None,
    number: int = 1,
    soft: int = 0,
    unknown: int = 0,
    age: timedelta = MINUTE,
    dot_sent: bool = False,
    host: str = "mx1.x.test",
    connect_for: float = 0.1,
) -> HistoryEntry:
    """An attempt that is judged and written down as delivery does it."""
    reply = None if breakdown else make_reply(int(text[:3]), (text[4:],))
    peer = Peer(
        route=RouteKind.DIRECT,
        host=host,
        ip="192.0.2.1",
        port=25,
        local_ip="192.0.2.9",
        helo="relay.test",
        tls=None,
    )
    seen = AttemptFacts(
        peer=peer,
        stage=stage,
        reply=reply,
        breakdown=breakdown,
        dot_sent=dot_sent,
        started_at=START,
        connect_for=timedelta(seconds=connect_for),
        transaction_for=timedelta(),
    )
    recipient = QueuedRecipient(
        number=0,
        address="a@x.test",
        parameters=RCPT_WITHOUT,
        attempt=number,
        soft_failures=soft,
        unknown_outcomes=unknown,
    )
    moment = Moment(received_at=START - age, now=START, jitter=0.0)
    outcome = decide(seen, recipient, RULES, moment=moment)
    detail: Detail = attempt_detail(seen, outcome, attempt=number, queued_for=timedelta())
    return HistoryEntry(kind=kind_of(outcome).value, at=START, recipient=0, detail=detail)


def broken(
    reason: str, category: Category = Category.CONNECTION_FAILURE, status: str = ""
) -> Breakdown:
    return Breakdown(category=category, fault=Fault.PEER, reason=reason, status=status)


def said(history: Sequence[HistoryEntry], row: RecipientRow = ROW) -> list[str]:
    """Why the last event of a history is so."""
    return [f"{one.about}: {one.says}" for one in explain(row, history, JUDGES)[-1]]


def test_a_refusal_for_good() -> None:
    reasons = explain(ROW, [attempt("550 5.1.1 no such user")], JUDGES)[-1]
    assert reasons == [
        Reason(about="host", says="mx1.x.test was the first in the order of hosts"),
        Reason(
            about="class",
            says='bad_mailbox: rule bad-mailbox-words, which looks for "no such user"',
            judged_anew=True,
        ),
        Reason(about="end", says="550 is a permanent reply, which is never retried"),
        Reason(about="suppression", says="suppressed: this proves that the address is invalid"),
    ]


def test_a_refusal_for_now_and_once_more() -> None:
    first = attempt("451 4.2.2 mailbox full, try again in 600 seconds")
    then = attempt("452 4.2.2 mailbox full", number=2, soft=1, connect_for=0)
    assert said([first])[2] == (
        "time: 10 min after this attempt: step 1 of retry.soft_bounce = 30 min,"
        " and the server asks for 10 min"
    )
    assert said([first, then]) == [
        "host: mx1.x.test: a connection to it was open already",
        'class: mailbox_full: rule quota-words, which looks for "mailbox full"',
        "end: refused for now once more, after all waits of retry.soft_bounce: 30 min",
        "suppression: not suppressed: this does not prove that the address is invalid",
    ]


def test_hosts_that_fail_and_a_mail_that_becomes_old() -> None:
    refused = broken("connection refused")
    tried = entry("attempted", attempt=7, remote_host="mx0.x.test", reason="connection refused")
    waits = attempt("", Stage.CONNECT, breakdown=refused, number=7)
    over = attempt("", Stage.CONNECT, breakdown=refused, number=8, age=timedelta(days=6))
    assert said([tried])[0].startswith("host: it did not do")
    assert said([tried, waits]) == [
        "host: mx1.x.test, after mx0.x.test failed",
        "class: connection_failure: there is no reply, but what went wrong",
        "time: 15 min after this attempt: step 2 of retry.unreachable = 15 min",
    ]
    assert said([tried, waits, over])[2] == (
        "end: given up after 6 days: connection refused; retry.give_up_after = 5 days,"
        " and a day for a report"
    )


def test_no_answer_to_the_dot() -> None:
    lost = broken("connection closed by the server")
    first = attempt("", Stage.DOT, breakdown=lost, dot_sent=True)
    last = attempt("", Stage.DOT, breakdown=lost, dot_sent=True, number=2, unknown=1)
    assert (
        said([first])[2]
        == "time: 60 min after this attempt: step 1 of retry.unknown_outcome = 60 min"
    )
    assert said([first, last])[2] == (
        "end: no answer to the whole message, after all waits of retry.unknown_outcome: 60 min"
    )


@pytest.mark.parametrize(
    ("looks", "proof"), [(0, "one look is proof"), (1, "a second look found the same")]
)
def test_what_the_dns_proves(looks: int, proof: str) -> None:
    no_domain = broken("no such domain", Category.BAD_DOMAIN, "5.1.2")
    history = [entry("deferred", attempt=1)] * looks + [attempt("", breakdown=no_domain)]
    assert said(history)[2] == f"end: it is proven that no mail can be delivered there, and {proof}"


def test_it_was_taken() -> None:
    assert said([attempt("250 2.0.0 OK", Stage.DOT)]) == [
        "host: mx1.x.test was the first in the order of hosts"
    ]
    assert said([entry("relayed", attempt=1)]) == ["host: none was asked: no reason"]


def test_rules_that_have_changed_since() -> None:
    event = attempt("550 5.1.1 no such user")
    other = HistoryEntry(
        kind=event.kind, at=event.at, recipient=0, detail={**event.detail, "category": "policy"}
    )
    assert said([other])[1].startswith("class: policy; the rules of now say bad_mailbox: rule")


def test_the_way_it_goes() -> None:
    received = entry("received")
    assert said([received]) == ["route: to mx:x.test: use_remote_smtp = true"]
    moved = Judges(
        rules=JUDGES.rules, retry=RETRY, routes=RouteRules(redirect_to=parse_address("b@y.test"))
    )
    [[reason]] = explain(ROW, [received], moved)
    assert reason.says == (
        "to mx:x.test; the settings of now say smarthost: use_remote_smtp = false"
    )
    assert reason.judged_anew


@pytest.mark.parametrize("kind", ["held", "released", "expedited", "dropped", "bounced"])
def test_what_somebody_did(kind: str) -> None:
    assert said([entry(kind, by="alice", reason="spam")]) == [f"operator: {kind} by alice: spam"]


def test_what_nobody_signed_and_what_needs_no_reason() -> None:
    assert said([entry("held")]) == ["operator: held by somebody"]
    assert said([entry("complained")]) == []
    assert said([entry("late_bounced", category="bad_mailbox", suppress=True)])[0] == (
        "class: bad_mailbox: mail to its VERP address says so"
    )


def test_a_refused_login_is_no_outcome() -> None:
    seen = attempt("550 5.1.1 no such user").detail
    assert kind_of(NotTried(reason="x")).value == "attempted"
    assert said([entry("attempted", **{**seen, "reason": "x"})])[0].startswith("host: ")  # type: ignore[arg-type]
