"""What becomes of a recipient: every reply code at every stage, by both routes; every breakdown."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.mail.attempt import AttemptFacts, Breakdown, Peer, RouteKind
from relayd.mail.outcome import Bounced, Deferred, NotTried, Outcome, Relayed, Sent
from relayd.mail.reply import Reply, Stage, make_reply
from relayd.mail.words import BounceClass, Category, Fault
from relayd.policy.delivery.login_refusal import ABOUT_LOGINS
from relayd.policy.delivery.retry import RetrySettings
from relayd.policy.delivery.verdict import (
    EXTRA,
    ONCE_MORE,
    SPARED,
    Moment,
    Scope,
    VerdictRules,
    decide,
    is_of_the_host,
    is_too_fast,
    wants_login,
)
from relayd.policy.replies.ruleset import builtin_rules
from tests.support.builders import a_queued_recipient
from tests.support.clock import START

RETRY = RetrySettings(
    soft_bounce=(timedelta(minutes=15),),
    unknown_outcome=(timedelta(minutes=20), timedelta(hours=1)),
    unreachable=(timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=4)),
    give_up_after=timedelta(days=5),
)
RULES = VerdictRules(retry=RETRY, classifier=builtin_rules())
OF_THE_MESSAGE = (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT)
SMARTHOST, DIRECT = RouteKind.SMARTHOST, RouteKind.DIRECT


def a_peer(route: RouteKind) -> Peer:
    return Peer(
        route=route,
        host="mx.example.test",
        ip="192.0.2.1",
        port=25,
        local_ip="192.0.2.9",
        helo="relay.test",
        tls=None,
    )


def facts_of(
    stage: Stage, ended_by: Reply | Breakdown, *, route: RouteKind | None, dot_sent: bool = False
) -> AttemptFacts:
    return AttemptFacts(
        peer=a_peer(route) if route else None,
        stage=stage,
        reply=ended_by if isinstance(ended_by, Reply) else None,
        breakdown=ended_by if isinstance(ended_by, Breakdown) else None,
        dot_sent=dot_sent or (stage is Stage.DOT and isinstance(ended_by, Reply)),
        started_at=START,
        connect_for=timedelta(),
        transaction_for=timedelta(),
    )


def judge(
    stage: Stage,
    ended_by: Reply | Breakdown,
    *,
    route: RouteKind | None = SMARTHOST,
    dot_sent: bool = False,
    attempt: int = 1,
    soft_failures: int = 0,
    age: timedelta = timedelta(minutes=1),
    single_recipient: bool = True,
    better_mx_unreachable: bool = False,
    all_hosts_refuse: bool = False,
    has_login: bool = True,
    unknown_outcomes: int = 0,
    no_mail_host_at: datetime | None = None,
    uncounted: timedelta = timedelta(),
    is_extra: bool = False,
    rules: VerdictRules = RULES,
) -> Outcome:
    return decide(
        facts_of(stage, ended_by, route=route, dot_sent=dot_sent),
        a_queued_recipient(
            attempt=attempt,
            soft_failures=soft_failures,
            unknown_outcomes=unknown_outcomes,
            no_mail_host_at=no_mail_host_at,
            uncounted=uncounted,
            is_extra=is_extra,
        ),
        rules,
        moment=Moment(received_at=START, now=START + age, jitter=0),
        scope=Scope(
            single_recipient=single_recipient,
            better_mx_unreachable=better_mx_unreachable,
            all_hosts_refuse=all_hosts_refuse,
            has_login=has_login,
        ),
    )


def expected_kind(stage: Stage, code: int, route: RouteKind) -> str:
    """S-15, S-16 and S-53 once more, as slow and plain as they are written."""
    first = code // 100
    if stage is Stage.DOT and first == 2:
        return "relayed" if route is SMARTHOST else "sent"
    if stage is Stage.AUTH and first == 5:
        return "login refused"
    if route is SMARTHOST and stage is Stage.MAIL and code in (530, 534, 535, 538):
        return "login refused"
    if stage in OF_THE_MESSAGE and first == 5:
        return "bounced"
    if stage in OF_THE_MESSAGE and first == 4 and code != 421 and route is DIRECT:
        return "soft"
    return "no verdict"


def kind_of(outcome: Outcome) -> str:
    match outcome:
        case Relayed():
            return "relayed"
        case Sent():
            return "sent"
        case NotTried():
            return "login refused"
        case Bounced():
            return "bounced"
        case Deferred():
            return "soft" if outcome.soft_failures else "no verdict"


@pytest.mark.parametrize("route", RouteKind)
@pytest.mark.parametrize("stage", Stage)
def test_every_code_at_every_stage_has_its_verdict(stage: Stage, route: RouteKind) -> None:
    """By first digit, unknown codes by class, 000 to 999 (S-15)."""
    wrong = []
    for code in range(1000):
        outcome = judge(stage, Reply(code, None, ("whatever",)), route=route)
        if kind_of(outcome) != expected_kind(stage, code, route):
            wrong.append((code, outcome))
    assert not wrong


WORDS = [
    # stage, reply, route, verdict
    pytest.param(Stage.RCPT, 550, "5.1.1 User unknown", DIRECT, "bounced", id="550-at-rcpt"),
    pytest.param(Stage.RCPT, 550, "5.1.1 User unknown", SMARTHOST, "bounced", id="550-smarthost"),
    pytest.param(Stage.DOT, 554, "5.7.1 spam", SMARTHOST, "bounced", id="554-at-the-dot"),
    pytest.param(Stage.MAIL, 550, "5.7.1 no", DIRECT, "bounced", id="550-at-mail"),
    pytest.param(Stage.GREETING, 554, "no service", DIRECT, "no verdict", id="554-greeting"),
    pytest.param(Stage.GREETING, 521, "no mail", SMARTHOST, "no verdict", id="521-greeting"),
    pytest.param(Stage.EHLO, 502, "what", SMARTHOST, "no verdict", id="502-ehlo"),
    pytest.param(Stage.RCPT, 521, "5.3.2 no mail", DIRECT, "bounced", id="521-at-rcpt"),
    pytest.param(Stage.RCPT, 556, "5.1.10 null MX", DIRECT, "bounced", id="556-at-rcpt"),
    pytest.param(Stage.STARTTLS, 454, "later", SMARTHOST, "no verdict", id="454-starttls"),
    pytest.param(Stage.AUTH, 454, "4.7.0 later", SMARTHOST, "no verdict", id="454-auth"),
    pytest.param(Stage.AUTH, 535, "5.7.8 bad login", SMARTHOST, "login refused", id="535-auth"),
    pytest.param(Stage.MAIL, 530, "5.7.0 log in", SMARTHOST, "login refused", id="530-mail"),
    pytest.param(Stage.MAIL, 534, "5.7.9 weak", SMARTHOST, "login refused", id="534-mail"),
    pytest.param(Stage.AUTH, 538, "5.7.11 encrypt", SMARTHOST, "login refused", id="538-auth"),
    pytest.param(Stage.AUTH, 550, "5.7.30 no basic", SMARTHOST, "login refused", id="550-auth"),
    pytest.param(Stage.AUTH, 504, "5.5.4 unknown", SMARTHOST, "login refused", id="504-auth"),
    pytest.param(Stage.AUTH, 502, "what", SMARTHOST, "login refused", id="502-auth"),
    pytest.param(Stage.AUTH, 500, "what", SMARTHOST, "login refused", id="500-auth"),
    pytest.param(
        *(Stage.MAIL, 550, "5.7.1 Client was not authenticated", SMARTHOST, "login refused"),
        id="550-mail-words",
    ),
    pytest.param(
        *(Stage.MAIL, 554, "5.7.8 Authentication credentials invalid", SMARTHOST, "login refused"),
        id="5.7.8-mail",
    ),
    pytest.param(
        *(Stage.MAIL, 550, "5.7.30 Basic authentication is not supported", SMARTHOST),
        "login refused",
        id="5.7.30-mail",
    ),
    pytest.param(
        *(Stage.MAIL, 525, "5.7.13 User account disabled", SMARTHOST, "login refused"),
        id="5.7.13-mail",
    ),
    pytest.param(
        *(Stage.MAIL, 550, "5.7.30 DKIM authentication did not pass", SMARTHOST, "bounced"),
        id="5.7.30-dkim-mail",
    ),
    pytest.param(
        *(Stage.MAIL, 550, "5.7.8 sender x@y.test not allowed for this login", SMARTHOST),
        "bounced",
        id="5.7.8-sender-mail",
    ),
    pytest.param(
        *(Stage.MAIL, 553, "5.7.9 sender domain a.test is not verified", SMARTHOST, "bounced"),
        id="5.7.9-sender-mail",
    ),
    pytest.param(
        *(Stage.MAIL, 550, "5.7.9 message rejected: DMARC alignment", SMARTHOST, "bounced"),
        id="5.7.9-dmarc-mail",
    ),
    pytest.param(
        *(Stage.MAIL, 553, "5.7.1 Sender address rejected: not owned by user app", SMARTHOST),
        "bounced",
        id="not-owned-mail",
    ),
    pytest.param(
        *(Stage.MAIL, 451, "4.7.0 Authentication required", SMARTHOST, "no verdict"),
        id="451-mail-words",
    ),
    pytest.param(
        *(Stage.MAIL, 550, "5.7.1 Client was not authenticated", DIRECT, "bounced"),
        id="550-mail-words-direct",
    ),
    pytest.param(
        *(
            Stage.MAIL,
            550,
            "5.7.26 Unauthenticated email from x.test, see DMARC",
            SMARTHOST,
            "bounced",
        ),
        id="550-mail-dmarc",
    ),
    pytest.param(
        *(Stage.MAIL, 550, "5.1.8 Sender domain not found", SMARTHOST, "bounced"),
        id="550-mail-sender",
    ),
    pytest.param(Stage.MAIL, 530, "5.7.0 log in", DIRECT, "bounced", id="530-mail-direct"),
    pytest.param(Stage.RCPT, 530, "5.7.0 log in", SMARTHOST, "bounced", id="530-rcpt"),
    pytest.param(Stage.MAIL, 421, "4.3.2 going down", DIRECT, "no verdict", id="421-mail"),
    pytest.param(Stage.RCPT, 421, "4.2.1 later", SMARTHOST, "no verdict", id="421-with-4.2.1"),
    pytest.param(Stage.DOT, 421, "4.3.2 going down", DIRECT, "no verdict", id="421-dot"),
    pytest.param(Stage.RCPT, 450, "4.2.0 greylisted", DIRECT, "soft", id="450-direct"),
    pytest.param(Stage.RCPT, 452, "4.2.2 mailbox full", DIRECT, "soft", id="452-direct"),
    pytest.param(Stage.RCPT, 452, "4.2.2 mailbox full", SMARTHOST, "soft", id="452-mailbox"),
    pytest.param(Stage.RCPT, 451, "4.1.1 later", SMARTHOST, "soft", id="451-address"),
    pytest.param(Stage.RCPT, 452, "4.3.1 no space", SMARTHOST, "no verdict", id="452-system"),
    pytest.param(Stage.DOT, 451, "4.7.1 later", SMARTHOST, "no verdict", id="451-policy"),
    pytest.param(Stage.DOT, 451, "later", SMARTHOST, "no verdict", id="451-plain"),
    pytest.param(Stage.DOT, 452, "4.10.1 x", SMARTHOST, "no verdict", id="not-4.1"),
    pytest.param(Stage.RCPT, 552, "5.2.2 over quota", DIRECT, "bounced", id="552-rcpt"),
    pytest.param(Stage.DOT, 552, "5.3.4 too big", SMARTHOST, "bounced", id="552-dot"),
    pytest.param(Stage.DOT, 251, "will forward", SMARTHOST, "relayed", id="251-dot"),
    pytest.param(Stage.DOT, 252, "who knows", DIRECT, "sent", id="252-dot"),
    pytest.param(Stage.DOT, 299, "odd", DIRECT, "sent", id="299-dot"),
    pytest.param(Stage.RCPT, 251, "will forward", DIRECT, "no verdict", id="251-rcpt-decides-none"),
    pytest.param(Stage.MAIL, 220, "hello again", SMARTHOST, "no verdict", id="220-mail"),
    pytest.param(Stage.DATA, 250, "ok", SMARTHOST, "no verdict", id="250-data"),
    pytest.param(Stage.DOT, 354, "go on", SMARTHOST, "no verdict", id="354-dot"),
    pytest.param(Stage.MAIL, 0, "", DIRECT, "no verdict", id="code-0"),
    pytest.param(Stage.DOT, 999, "?", DIRECT, "no verdict", id="code-999"),
]


@pytest.mark.parametrize(("stage", "code", "text", "route", "kind"), WORDS)
def test_the_special_replies(
    stage: Stage, code: int, text: str, route: RouteKind, kind: str
) -> None:
    """S-15, S-16, S-53, and the smarthost's 4yz, spelt out."""
    assert kind_of(judge(stage, make_reply(code, (text,)), route=route)) == kind


@pytest.mark.parametrize(
    ("text", "bounce_class", "suppress", "status"),
    [
        pytest.param("5.1.1 User unknown", BounceClass.HARD, True, "5.1.1", id="no-such-user"),
        pytest.param("5.7.1 Message is spam", BounceClass.BLOCK, False, "5.7.1", id="spam"),
        pytest.param("frobnicated", BounceClass.BLOCK, False, "5.0.0", id="words-nobody-knows"),
        pytest.param("4.9.9 odd", BounceClass.BLOCK, False, "5.0.0", id="status-of-another-class"),
        pytest.param("2.0.0 odd", BounceClass.BLOCK, False, "5.0.0", id="status-of-success"),
    ],
)
def test_a_bounce_says_how_bad_it_is(
    text: str, bounce_class: BounceClass, status: str, *, suppress: bool
) -> None:
    """HARD is proof that the address is bad; the report's status has the class of the failure."""
    outcome = judge(Stage.RCPT, make_reply(550, (text,)), route=DIRECT)
    assert isinstance(outcome, Bounced)
    assert (outcome.bounce_class, outcome.suppress) == (bounce_class, suppress)
    assert outcome.status == status
    assert outcome.reason


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA, Stage.DOT])
@pytest.mark.parametrize("single_recipient", [True, False], ids=["alone", "one-of-several"])
def test_a_refusal_of_the_message_proves_nothing_about_an_address(
    stage: Stage, *, single_recipient: bool
) -> None:
    """Only RCPT speaks of one address; the others of the message as a whole (S-08)."""
    outcome = judge(
        stage,
        make_reply(550, ("5.1.1 User unknown",)),
        route=DIRECT,
        single_recipient=single_recipient,
    )
    assert isinstance(outcome, Bounced)
    proves = stage is Stage.RCPT
    assert outcome.suppress is proves
    assert outcome.bounce_class is (BounceClass.HARD if proves else BounceClass.BLOCK)


@pytest.mark.parametrize("stage", OF_THE_MESSAGE)
def test_the_5yz_of_a_backup_bounces_nothing_while_a_better_one_is_out_of_reach(
    stage: Stage,
) -> None:
    """S-17: it may be out of date. The recipient waits by the unreachable schedule."""
    reply = make_reply(550, ("5.1.1 User unknown",))
    outcome = judge(
        stage,
        reply,
        route=DIRECT,
        attempt=2,
        soft_failures=1,
        better_mx_unreachable=True,
        single_recipient=False,
    )
    assert isinstance(outcome, Deferred)
    assert outcome.retry_at == START + timedelta(minutes=6)
    assert (outcome.fault, outcome.soft_failures) == (Fault.PEER, 1)
    assert not outcome.possible_duplicate
    assert isinstance(judge(stage, reply, route=DIRECT), Bounced)


SENDERS = [
    "4.1.8 <app@x.test>: Sender address rejected: Domain not found",
    "4.1.7 <app@x.test>: Sender address rejected: unverified address",
    "4.1.8 odd",
    "4.1.7 odd",
    "4.1.0 Sender address rejected: Domain of sender address does not resolve",
]


@pytest.mark.parametrize("text", SENDERS)
@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT])
def test_the_smarthosts_trouble_with_our_sender_is_nobodys_soft_bounce(
    stage: Stage, text: str
) -> None:
    """S-15: the schedule is that of a server that cannot be reached, however often it says so."""
    outcome = judge(stage, make_reply(450, (text,)), attempt=9)
    assert isinstance(outcome, Deferred)
    assert (outcome.soft_failures, outcome.retry_at) == (0, START + timedelta(hours=4, minutes=1))


@pytest.mark.parametrize("route", RouteKind)
@pytest.mark.parametrize("text", SENDERS)
def test_a_refused_sender_never_suppresses_the_recipient(route: RouteKind, text: str) -> None:
    outcome = judge(Stage.RCPT, make_reply(550, ("5" + text[1:],)), route=route)
    assert isinstance(outcome, Bounced)
    assert (outcome.bounce_class, outcome.suppress) == (BounceClass.BLOCK, False)


def test_a_host_of_routes_that_wants_a_login_is_waited_for_and_not_for_ever() -> None:
    """It has no login, and never will: the operator is told, and the mail given up in the end."""
    reply = make_reply(530, ("5.7.0 Authentication required",))
    outcome = judge(Stage.MAIL, reply, has_login=False)
    assert isinstance(outcome, Deferred)
    assert "wants a login or TLS first" in outcome.reason
    old = judge(Stage.MAIL, reply, has_login=False, age=timedelta(days=6))
    assert isinstance(old, Bounced)
    assert (old.bounce_class, old.status, old.suppress) == (BounceClass.SOFT, "4.4.7", False)


def test_a_server_without_our_mechanism_refuses_our_login() -> None:
    lacks = Breakdown(
        category=Category.RELAY_DENIED, fault=Fault.PEER, reason="it offers XOAUTH2 alone"
    )
    assert judge(Stage.AUTH, lacks) == NotTried(
        reason="the smarthost refuses our login: it offers XOAUTH2 alone"
    )


def test_a_password_that_we_cannot_read_is_no_refusal_of_the_server() -> None:
    ours = Breakdown(
        category=Category.RELAY_DENIED, fault=Fault.LOCAL, reason="the file cannot be read"
    )
    assert judge(Stage.AUTH, ours) == NotTried(reason="we cannot log in: the file cannot be read")


@pytest.mark.parametrize(
    "text",
    ["5.3.0 Server trouble", "5.2.2 Mailbox full", "5.7.0 Rate limit exceeded", "5.4.4 no route"],
)
def test_a_refusal_for_good_is_never_soft(text: str) -> None:
    """Soft is what was tried again in vain (S-09); this was not."""
    outcome = judge(Stage.RCPT, make_reply(550, (text,)), route=DIRECT)
    assert isinstance(outcome, Bounced)
    assert outcome.bounce_class is BounceClass.BLOCK


def test_the_rules_about_logins_are_there() -> None:
    known = {entry.rule.id for entry in RULES.classifier.rules.entries}
    assert known >= ABOUT_LOGINS


@pytest.mark.parametrize("code", [521, 556])
def test_hosts_that_take_no_mail_are_believed_when_all_say_so(code: int) -> None:
    """S-16, RFC 7504: one alone may be out of order."""
    reply = make_reply(code, ("5.1.10 no mail here, the domain does not exist",))
    assert isinstance(judge(Stage.GREETING, reply, route=DIRECT), Deferred)
    outcome = judge(
        Stage.GREETING, reply, route=DIRECT, all_hosts_refuse=True, single_recipient=False
    )
    assert isinstance(outcome, Bounced)
    assert outcome.status[0] == "5"
    assert (outcome.bounce_class, outcome.suppress) == (BounceClass.BLOCK, False)
    other = make_reply(554, ("no service",))
    assert isinstance(judge(Stage.GREETING, other, route=DIRECT, all_hosts_refuse=True), Deferred)


def test_what_else_a_backup_says_counts() -> None:
    """S-17 is about refusals for good only; and patience ends."""
    full = make_reply(452, ("4.2.2 mailbox full",))
    assert (
        judge(Stage.DOT, make_reply(250, ("ok",)), route=DIRECT, better_mx_unreachable=True)
        == Sent()
    )
    soft = judge(Stage.RCPT, full, route=DIRECT, better_mx_unreachable=True)
    assert isinstance(soft, Deferred)
    assert soft.soft_failures == 1
    unknown = make_reply(550, ("5.1.1 User unknown",))
    old = judge(
        Stage.RCPT, unknown, route=DIRECT, better_mx_unreachable=True, age=timedelta(days=6)
    )
    assert isinstance(old, Bounced)
    assert (old.bounce_class, old.category) == (BounceClass.SOFT, Category.EXPIRED)
    assert (old.status, old.suppress) == ("4.4.7", False)


@pytest.mark.parametrize(
    ("status", "category", "bounce_class", "suppress"),
    [
        pytest.param("5.1.2", Category.BAD_DOMAIN, BounceClass.HARD, True, id="nxdomain"),
        pytest.param("5.4.4", Category.BAD_DOMAIN, BounceClass.BLOCK, False, id="without-proof"),
        pytest.param("5.1.10", Category.BAD_DOMAIN, BounceClass.HARD, True, id="null-mx"),
        pytest.param("5.4.4", Category.DNS_FAILURE, BounceClass.BLOCK, False, id="none-usable"),
        pytest.param("5.4.6", Category.ROUTING_LOOP, BounceClass.BLOCK, False, id="ourselves"),
    ],
)
def test_what_the_dns_proves_bounces_at_once(
    status: str, category: Category, bounce_class: BounceClass, *, suppress: bool
) -> None:
    """S-22, S-24 to S-26: for every recipient there; only a domain without mail makes addresses bad."""
    proof = Breakdown(category=category, fault=Fault.DNS, reason="the proof", status=status)
    for single_recipient in (True, False):
        outcome = judge(Stage.CONNECT, proof, route=DIRECT, single_recipient=single_recipient)
        assert outcome == Bounced(
            bounce_class=bounce_class,
            category=category,
            fault=Fault.DNS,
            suppress=suppress,
            reason="the proof",
            status=status,
        )


NO_MAIL_HOST = Breakdown(
    category=Category.BAD_DOMAIN,
    fault=Fault.DNS,
    reason="a.test has neither MX nor address records",
    status="5.1.2",
    needs_second_look=True,
)


@pytest.mark.parametrize("attempt", [1, 2, 30])
@pytest.mark.parametrize("minutes", [None, 0, 10, 58])
def test_the_first_look_proves_nothing(minutes: int | None, attempt: int) -> None:
    """Nor does one that comes soon after it; whatever the attempt, the next look is in an hour."""
    age = timedelta(hours=9)
    seen_at = None if minutes is None else START + age - timedelta(minutes=minutes)
    outcome = judge(Stage.CONNECT, NO_MAIL_HOST, age=age, attempt=attempt, no_mail_host_at=seen_at)
    assert outcome == Deferred(
        retry_at=START + age + timedelta(hours=1),
        category=Category.BAD_DOMAIN,
        fault=Fault.DNS,
        reason=f"{NO_MAIL_HOST.reason}; {ONCE_MORE}",
        soft_failures=0,
    )


@pytest.mark.parametrize("minutes", [59, 60, 61, 5000])
def test_the_second_look_proves_it(minutes: int) -> None:
    """It is planned for an hour after the first, whose record may have taken a moment."""
    age = timedelta(days=4)
    seen_at = START + age - timedelta(minutes=minutes)
    outcome = judge(Stage.CONNECT, NO_MAIL_HOST, age=age, no_mail_host_at=seen_at)
    assert outcome == Bounced(
        bounce_class=BounceClass.HARD,
        category=Category.BAD_DOMAIN,
        fault=Fault.DNS,
        suppress=True,
        reason=NO_MAIL_HOST.reason,
        status="5.1.2",
    )


def test_mail_that_is_too_old_gets_no_second_look() -> None:
    outcome = judge(Stage.CONNECT, NO_MAIL_HOST, age=timedelta(days=5))
    assert isinstance(outcome, Bounced)
    assert (outcome.category, outcome.suppress) == (Category.EXPIRED, False)


def test_a_clock_that_was_set_back_proves_nothing() -> None:
    seen_at = START + timedelta(days=3)
    outcome = judge(Stage.CONNECT, NO_MAIL_HOST, no_mail_host_at=seen_at)
    assert isinstance(outcome, Deferred)


def test_a_soft_bounce_gets_its_retry_and_no_more() -> None:
    """S-09: one more attempt, then `bounced`, class soft."""
    reply = make_reply(452, ("4.2.2 mailbox full",))
    first = judge(Stage.RCPT, reply, route=DIRECT)
    assert isinstance(first, Deferred)
    assert first.retry_at == START + timedelta(minutes=16)
    assert first.soft_failures == 1
    assert not first.possible_duplicate
    second = judge(Stage.RCPT, reply, route=DIRECT, attempt=2, soft_failures=1)
    assert isinstance(second, Bounced)
    assert second.bounce_class is BounceClass.SOFT
    assert second.category is Category.MAILBOX_FULL
    assert (second.suppress, second.status) == (False, "4.2.2")


@pytest.mark.parametrize("text", ["later", "2.0.0 later", "5.2.2 full"])
def test_a_used_up_soft_bounce_reports_a_status_of_class_4(text: str) -> None:
    outcome = judge(Stage.RCPT, make_reply(450, (text,)), route=DIRECT, attempt=2, soft_failures=1)
    assert isinstance(outcome, Bounced)
    assert outcome.status == "4.0.0"


BREAKDOWNS = [
    pytest.param(Category.CONNECTION_FAILURE, Fault.PEER, id="connection"),
    pytest.param(Category.TLS_FAILURE, Fault.PEER, id="tls"),
    pytest.param(Category.DNS_FAILURE, Fault.DNS, id="dns"),
    pytest.param(Category.PROTOCOL_ERROR, Fault.PEER, id="protocol"),
]


@pytest.mark.parametrize("dot_sent", [False, True], ids=["no-dot", "dot-sent"])
@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize(("category", "fault"), BREAKDOWNS)
def test_a_breakdown_is_no_verdict(
    category: Category, fault: Fault, stage: Stage, *, dot_sent: bool
) -> None:
    """It waits; after the dot the message may have been taken (S-06)."""
    broken = Breakdown(category=category, fault=fault, reason="it broke")
    for route in (SMARTHOST, DIRECT, None):
        outcome = judge(stage, broken, route=route, dot_sent=dot_sent, attempt=2, soft_failures=1)
        assert outcome == Deferred(
            retry_at=START + timedelta(minutes=21 if dot_sent else 6),
            category=category,
            fault=fault,
            reason="it broke",
            soft_failures=1,
            possible_duplicate=dot_sent,
        )


@pytest.mark.parametrize(("category", "fault"), BREAKDOWNS)
def test_an_outcome_that_stays_unknown_is_given_up_after_a_few_attempts(
    category: Category, fault: Fault
) -> None:
    """S-06: nine copies of a message are no service to anybody; the sender is told what is known."""
    broken = Breakdown(category=category, fault=fault, reason="it broke")
    second = judge(Stage.DOT, broken, dot_sent=True, attempt=2, unknown_outcomes=1)
    assert isinstance(second, Deferred)
    assert second.retry_at == START + timedelta(minutes=61)
    third = judge(Stage.DOT, broken, dot_sent=True, attempt=3, unknown_outcomes=2)
    assert isinstance(third, Bounced)
    assert (third.bounce_class, third.category, third.status) == (
        BounceClass.SOFT,
        category,
        "4.4.2",
    )
    assert third.possible_duplicate
    assert not third.suppress
    assert "3 times: it may have arrived" in third.reason


def test_what_we_trip_over_ourselves_is_waited_for() -> None:
    """Whoever mends us finds the mail still there, and nobody knows how far it got."""
    internal_error = Breakdown(category=Category.UNKNOWN, fault=Fault.LOCAL, reason="a bug")
    outcome = judge(Stage.MAIL, internal_error, dot_sent=True, attempt=9, unknown_outcomes=8)
    assert isinstance(outcome, Deferred)
    assert outcome.retry_at == START + timedelta(hours=4, minutes=1)


@pytest.mark.parametrize(
    ("ended_by", "age"),
    [
        pytest.param(make_reply(550, ("5.1.1 User unknown",)), timedelta(hours=1), id="refused"),
        pytest.param(make_reply(421, ("later",)), timedelta(days=6), id="expired"),
        pytest.param(
            Breakdown(category=Category.BAD_DOMAIN, fault=Fault.DNS, reason="gone", status="5.1.2"),
            timedelta(hours=1),
            id="proven",
        ),
    ],
)
@pytest.mark.parametrize("before", [0, 1])
def test_a_bounce_says_if_an_earlier_attempt_may_have_delivered(
    ended_by: Reply | Breakdown, age: timedelta, before: int
) -> None:
    outcome = judge(Stage.RCPT, ended_by, route=DIRECT, age=age, unknown_outcomes=before)
    assert isinstance(outcome, Bounced)
    assert outcome.possible_duplicate is (before > 0)


@pytest.mark.parametrize(
    ("code", "unknown"),
    [
        pytest.param(354, True, id="354"),
        pytest.param(150, True, id="150"),
        pytest.param(600, True, id="600"),
        pytest.param(421, False, id="421"),
        pytest.param(451, False, id="451"),
    ],
)
def test_a_reply_to_the_dot_that_says_nothing_leaves_the_outcome_unknown(
    code: int, *, unknown: bool
) -> None:
    """Only 2yz, 4yz and 5yz tell whether the message was taken (S-06, A-45)."""
    outcome = judge(Stage.DOT, Reply(code, None, ("hm",)))
    assert isinstance(outcome, Deferred)
    assert outcome.possible_duplicate is unknown


def test_waits_grow_with_the_failures_without_a_verdict() -> None:
    """Soft bounces in between do not count towards the unreachable schedule (S-09)."""
    reply = make_reply(421, ("4.3.2 no",))
    waits = []
    for attempt, soft in [(1, 0), (2, 0), (3, 0), (9, 0), (2, 1), (1, 1)]:
        outcome = judge(Stage.MAIL, reply, attempt=attempt, soft_failures=soft)
        assert isinstance(outcome, Deferred)
        waits.append((outcome.retry_at - START) // timedelta(minutes=1) - 1)
    assert waits == [5, 15, 240, 240, 5, 5]


@pytest.mark.parametrize(
    "ended_by",
    [
        pytest.param(make_reply(421, ("4.3.2 no",)), id="421"),
        pytest.param(make_reply(451, ("4.3.0 no",)), id="451-of-the-smarthost"),
        pytest.param(
            Breakdown(category=Category.DNS_FAILURE, fault=Fault.DNS, reason="no"), id="breakdown"
        ),
    ],
)
def test_age_ends_it_after_a_fresh_attempt(ended_by: Reply | Breakdown) -> None:
    """Class soft, status 4.4.7, never a proof against the address (S-09, S-10)."""
    young = judge(Stage.MAIL, ended_by, attempt=40, age=timedelta(days=5) - timedelta(seconds=1))
    assert isinstance(young, Deferred)
    old = judge(Stage.MAIL, ended_by, attempt=1, age=timedelta(days=9))
    assert isinstance(old, Bounced)
    assert (old.bounce_class, old.category) == (BounceClass.SOFT, Category.EXPIRED)
    assert (old.status, old.suppress) == ("4.4.7", False)
    assert "after 9 days" in old.reason


def test_time_in_which_mail_was_held_is_no_part_of_its_age() -> None:
    """S-58."""
    broken = Breakdown(category=Category.DNS_FAILURE, fault=Fault.DNS, reason="no")
    nine = timedelta(days=9)
    held = judge(Stage.MAIL, broken, age=nine, uncounted=timedelta(days=4, seconds=1))
    assert isinstance(held, Deferred)
    old = judge(Stage.MAIL, broken, age=nine, uncounted=timedelta(days=4))
    assert isinstance(old, Bounced)
    assert "after 5 days" in old.reason


FULL = make_reply(452, ("4.2.2 mailbox full",))
SILENT = Breakdown(category=Category.CONNECTION_FAILURE, fault=Fault.PEER, reason="it broke")
# How an attempt ends that would be the last one, and the wait of minutes if an operator asked for it.
LAST_ATTEMPTS = {
    "soft bounce": ({"stage": Stage.RCPT, "ended_by": FULL, "soft_failures": 1}, 15),
    "soft bounces, of more than there are now": (
        {"stage": Stage.RCPT, "ended_by": FULL, "soft_failures": 3},
        15,
    ),
    "age": ({"stage": Stage.MAIL, "ended_by": SILENT, "age": timedelta(days=6)}, 240),
    "unknown outcome": (
        {"stage": Stage.DOT, "ended_by": SILENT, "dot_sent": True, "unknown_outcomes": 2},
        60,
    ),
    "unknown outcomes, of more than there are now": (
        {"stage": Stage.DOT, "ended_by": SILENT, "dot_sent": True, "unknown_outcomes": 5},
        60,
    ),
}


@pytest.mark.parametrize(("attempt", "minutes"), LAST_ATTEMPTS.values(), ids=LAST_ATTEMPTS)
def test_an_attempt_that_an_operator_asked_for_is_not_the_last(
    attempt: dict[str, Any], minutes: int
) -> None:
    """S-58: nor does it count, so that the next one is what this one would have been."""
    assert isinstance(judge(**attempt, route=DIRECT), Bounced), "without being asked for"
    outcome = judge(**attempt, route=DIRECT, is_extra=True)
    assert isinstance(outcome, Deferred)
    assert outcome.retry_at - START - attempt.get("age", timedelta(minutes=1)) == timedelta(
        minutes=minutes
    )
    assert outcome.soft_failures == attempt.get("soft_failures", 0)
    assert outcome.counts is not bool(attempt.get("unknown_outcomes"))
    assert EXTRA in outcome.reason


def test_the_first_failure_counts_whoever_asked_for_the_attempt() -> None:
    """There was none before it that it could use up; even where the settings allow no retry it waits."""
    for rules in (RULES, replace(RULES, retry=replace(RETRY, soft_bounce=(), unknown_outcome=()))):
        full = judge(Stage.RCPT, FULL, route=DIRECT, is_extra=True, rules=rules)
        assert isinstance(full, Deferred)
        assert full.soft_failures == 1
        silent = judge(Stage.DOT, SILENT, dot_sent=True, is_extra=True, rules=rules)
        assert isinstance(silent, Deferred)
        assert (silent.possible_duplicate, silent.counts) == (True, True)


def test_a_refusal_for_good_ends_mail_whoever_asked_for_the_attempt() -> None:
    refused = make_reply(550, ("5.1.1 no such user",))
    assert isinstance(judge(Stage.RCPT, refused, route=DIRECT, is_extra=True), Bounced)


def test_age_is_no_reason_to_give_up_on_a_refused_login() -> None:
    """S-53: nothing bounces, nothing ages."""
    reply = make_reply(535, ("5.7.8 bad login",))
    outcome = judge(Stage.AUTH, reply, age=timedelta(days=400))
    assert outcome == NotTried(reason="the smarthost refuses our login: 535 5.7.8 bad login")


def test_age_does_not_hide_a_verdict() -> None:
    """An old message that is accepted at last, or refused for good, is just that."""
    old = timedelta(days=400)
    assert judge(Stage.DOT, make_reply(250, ("ok",)), age=old) == Relayed()
    outcome = judge(Stage.RCPT, make_reply(550, ("5.1.1 User unknown",)), age=old)
    assert isinstance(outcome, Bounced)
    assert outcome.bounce_class is BounceClass.HARD


# --- a stop of ours ---------------------------------------------------------------------------

CUT_OFF = Breakdown(
    category=Category.CONNECTION_FAILURE, fault=Fault.LOCAL, reason="relayd stopped", by_stop=True
)


@pytest.mark.parametrize("dot_sent", [True, False], ids=["after-the-dot", "before-it"])
@pytest.mark.parametrize("unknown_outcomes", [0, 1, 2, 9])
@pytest.mark.parametrize("age", [timedelta(minutes=1), timedelta(days=9)], ids=["young", "old"])
def test_an_attempt_that_a_stop_cut_off_never_ends_the_mail(
    age: timedelta, unknown_outcomes: int, *, dot_sent: bool
) -> None:
    """Nobody refused it. It may have left a copy, so it counts among those that the next one goes by."""
    outcome = judge(
        Stage.DOT,
        CUT_OFF,
        dot_sent=dot_sent,
        unknown_outcomes=unknown_outcomes,
        attempt=unknown_outcomes + 1,
        age=age,
    )
    assert isinstance(outcome, Deferred)
    assert (outcome.fault, outcome.possible_duplicate) == (Fault.LOCAL, dot_sent)
    assert outcome.counts
    assert EXTRA not in outcome.reason


# --- the safety net ---------------------------------------------------------------------------

SPARING = replace(RULES, soft_bounce=True)
NO_SUCH_USER = Reply(550, "5.1.1", ("5.1.1 No such user",))
FULL = Reply(452, "4.2.2", ("4.2.2 Mailbox full",))
NO_DOMAIN = Breakdown(
    category=Category.BAD_DOMAIN, fault=Fault.DNS, reason="no such domain", status="5.1.2"
)
NO_ANSWER = Breakdown(category=Category.CONNECTION_FAILURE, fault=Fault.PEER, reason="no answer")
WOULD_BOUNCE: dict[str, tuple[Stage, Reply | Breakdown, dict[str, Any], Category]] = {
    "refused for good": (Stage.RCPT, NO_SUCH_USER, {}, Category.BAD_MAILBOX),
    "refused for now, once more": (
        Stage.RCPT,
        FULL,
        {"soft_failures": 1, "route": DIRECT},
        Category.MAILBOX_FULL,
    ),
    "the DNS knows no such domain": (
        Stage.CONNECT,
        NO_DOMAIN,
        {"route": None},
        Category.BAD_DOMAIN,
    ),
    "too old": (Stage.CONNECT, NO_ANSWER, {"age": timedelta(days=9)}, Category.EXPIRED),
    "no answer to the dot, often": (
        Stage.DOT,
        NO_ANSWER,
        {"unknown_outcomes": 2, "dot_sent": True},
        Category.CONNECTION_FAILURE,
    ),
}


@pytest.mark.parametrize(
    ("stage", "ended_by", "more", "category"), WOULD_BOUNCE.values(), ids=WOULD_BOUNCE
)
def test_the_safety_net_defers_what_would_bounce(
    stage: Stage, ended_by: Reply | Breakdown, more: dict[str, Any], category: Category
) -> None:
    """And says so; switched off, the next attempt is judged as ever."""
    bounced = judge(stage, ended_by, **more)
    assert isinstance(bounced, Bounced)
    spared = judge(stage, ended_by, rules=SPARING, **more)
    assert isinstance(spared, Deferred)
    assert spared.reason == f"{SPARED} ({bounced.bounce_class}): {bounced.reason}"
    assert (spared.category, spared.fault) == (category, bounced.fault)
    assert spared.soft_failures == more.get("soft_failures", 0), "no retry is used up"
    assert spared.possible_duplicate == bool(more.get("dot_sent"))
    assert spared.ages_anew, "the time that only the safety net kept it is no part of its age"


@pytest.mark.parametrize(("attempt", "minutes"), [(1, 5), (2, 15), (9, 240)])
def test_what_is_spared_waits_as_if_no_server_answered(attempt: int, minutes: int) -> None:
    spared = judge(Stage.DOT, NO_SUCH_USER, rules=SPARING, attempt=attempt)
    assert isinstance(spared, Deferred)
    assert spared.retry_at == START + timedelta(minutes=1 + minutes)


@pytest.mark.parametrize("age", [timedelta(minutes=1), timedelta(days=9)], ids=["young", "old"])
def test_a_server_that_never_answers_gets_few_copies_under_the_safety_net(age: timedelta) -> None:
    """Beyond the bound of `retry.unknown_outcome` each wait is twice as long as the last: 10 copies in a month."""
    waits, copies, at = [], 0, timedelta()
    while at < timedelta(days=30):
        outcome = judge(
            Stage.DOT,
            NO_ANSWER,
            rules=SPARING,
            dot_sent=True,
            unknown_outcomes=copies,
            attempt=copies + 1,
            age=age,
        )
        assert isinstance(outcome, Deferred)
        copies += 1
        waits.append(outcome.retry_at - START - age)
        at += waits[-1]
    hour = timedelta(hours=1)
    assert waits[2:7] == [4 * hour, 8 * hour, 16 * hour, 32 * hour, 64 * hour]
    assert copies == 10


@pytest.mark.parametrize("copies", [50, 10_000])
def test_however_many_copies_went_the_next_attempt_has_an_instant(copies: int) -> None:
    outcome = judge(
        Stage.DOT, NO_ANSWER, rules=SPARING, dot_sent=True, unknown_outcomes=copies, attempt=copies
    )
    assert isinstance(outcome, Deferred)
    assert outcome.retry_at - START < timedelta(days=200)


@pytest.mark.parametrize("route", RouteKind)
@pytest.mark.parametrize("stage", Stage)
def test_the_safety_net_changes_nothing_but_bounces(stage: Stage, route: RouteKind) -> None:
    for code in range(1000):
        reply = Reply(code, None, ("whatever",))
        without, spared = (
            judge(stage, reply, route=route, rules=rules) for rules in (RULES, SPARING)
        )
        assert not isinstance(spared, Bounced)
        assert spared == without or isinstance(without, Bounced)


# --- properties -------------------------------------------------------------------------------

statuses = st.one_of(st.just(""), st.from_regex(r"[245]\.[0-9]{1,2}\.[0-9]{1,2} ", fullmatch=True))
words = st.sampled_from(
    ["User unknown", "mailbox full", "spam", "blocked", "try again later", "greylisted", "virus"]
) | st.text(max_size=20)
replies = st.builds(
    lambda code, status, text: make_reply(code, (status + text,)),
    st.integers(0, 999),
    statuses,
    words,
)
breakdowns = st.builds(
    Breakdown,
    category=st.sampled_from(Category),
    fault=st.sampled_from(Fault),
    reason=st.text(max_size=10),
)


@settings(max_examples=300)
@given(
    stage=st.sampled_from(Stage),
    ended_by=replies | breakdowns,
    route=st.sampled_from([SMARTHOST, DIRECT, None]),
    dot_sent=st.booleans(),
    single_recipient=st.booleans(),
    better_mx_unreachable=st.booleans(),
    attempt=st.integers(1, 200),
    soft_failures=st.integers(0, 5),
    age=st.timedeltas(timedelta(days=-1), timedelta(days=30)),
)
def test_what_holds_for_every_attempt(
    stage: Stage,
    ended_by: Reply | Breakdown,
    route: RouteKind | None,
    attempt: int,
    soft_failures: int,
    age: timedelta,
    *,
    dot_sent: bool,
    single_recipient: bool,
    better_mx_unreachable: bool,
) -> None:
    """Never an exception; waits end in the future; only 5yz about the mail bounces as hard or block."""
    outcome = judge(
        stage,
        ended_by,
        route=route,
        dot_sent=dot_sent,
        attempt=attempt,
        soft_failures=soft_failures,
        age=age,
        single_recipient=single_recipient,
        better_mx_unreachable=better_mx_unreachable,
    )
    if isinstance(outcome, Deferred):
        assert outcome.retry_at > START + age
        assert outcome.soft_failures in (soft_failures, soft_failures + 1)
    if isinstance(outcome, Bounced):
        if outcome.status == "4.4.2" and isinstance(ended_by, Breakdown):
            assert outcome.possible_duplicate
            assert outcome.bounce_class is BounceClass.SOFT
        elif outcome.category is Category.EXPIRED and outcome.status == "4.4.7":
            assert outcome.bounce_class is BounceClass.SOFT
            assert age >= RETRY.give_up_after
        else:
            assert isinstance(ended_by, Reply)
            assert stage in OF_THE_MESSAGE
            assert outcome.status[0] == str(ended_by.code)[0]
        if outcome.bounce_class is not BounceClass.SOFT:
            assert isinstance(ended_by, Reply)
            assert ended_by.is_permanent
            assert not better_mx_unreachable
        assert outcome.suppress is (outcome.bounce_class is BounceClass.HARD)


TOO_FAST = make_reply(454, ("Throttling failure: Maximum sending rate exceeded.",))


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 15), (2, 30), (4, 120), (50, 4 * 3600)])
def test_a_smarthost_that_was_given_too_much_takes_it_a_little_later(
    attempt: int, seconds: int
) -> None:
    """R44: it is about no mail, so none waits for long."""
    outcome = judge(Stage.DOT, TOO_FAST, attempt=attempt)
    assert isinstance(outcome, Deferred)
    assert outcome.category is Category.RATE_LIMIT
    assert outcome.soft_failures == 0
    assert outcome.retry_at - START - timedelta(minutes=1) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("stage", "reply", "route", "is_so"),
    [
        (Stage.DOT, TOO_FAST, SMARTHOST, True),
        (Stage.MAIL, TOO_FAST, SMARTHOST, True),
        (Stage.RCPT, TOO_FAST, SMARTHOST, False),
        (Stage.DOT, TOO_FAST, DIRECT, False),
        (Stage.DOT, make_reply(421, ("4.7.0 slow down",)), SMARTHOST, False),
        (Stage.GREETING, TOO_FAST, SMARTHOST, False),
        (Stage.DOT, make_reply(450, ("4.2.1 The user receives mail too fast",)), SMARTHOST, False),
        (Stage.DOT, make_reply(554, ("Maximum sending rate exceeded.",)), SMARTHOST, False),
        (Stage.DOT, Breakdown(category=Category.RATE_LIMIT, fault=Fault.PEER, reason="x"), SMARTHOST, False),
    ],
)  # fmt: skip
def test_what_is_about_the_rate_of_our_account(
    stage: Stage, reply: Reply | Breakdown, route: RouteKind, *, is_so: bool
) -> None:
    facts = facts_of(stage, reply, route=route)
    assert is_too_fast(facts, Category.RATE_LIMIT) == is_so
    assert not is_too_fast(facts, Category.POLICY)


@pytest.mark.parametrize(
    ("stage", "text", "may"),
    [
        (Stage.MAIL, "452 4.3.1 Insufficient system storage", True),
        (Stage.RCPT, "451 4.3.0 Temporary lookup failure", True),
        (Stage.RCPT, "450 4.1.8 sender's domain not found", True),
        (Stage.DATA, "451 4.3.0 later", True),
        (Stage.DOT, "451 4.3.2 queue file write error", True),
        (Stage.MAIL, "530 5.7.0 Authentication required", False),
        (Stage.RCPT, "452 4.2.2 mailbox full", False),
        (Stage.RCPT, "450 4.1.1 verification in progress", False),
        (Stage.RCPT, "550 5.1.1 no such user", False),
        (Stage.DOT, "554 5.7.1 spam", False),
        (Stage.DOT, "250 2.0.0 ok", False),
        (Stage.MAIL, "450 4.7.1 Rate limit exceeded", False),
        (Stage.EHLO, "451 4.3.0 not now", False),
        (Stage.DOT, "421 4.3.2 bye", False),
    ],
)
def test_what_another_host_of_a_smarthost_may_take(stage: Stage, text: str, *, may: bool) -> None:
    """S-59: what is no verdict about a recipient, and was certainly not taken."""
    reply = make_reply(int(text[:3]), (text[4:],))
    for route in (SMARTHOST, DIRECT):
        facts = facts_of(stage, reply, route=route, dot_sent=stage is Stage.DOT)
        assert is_of_the_host(facts, builtin_rules()) == (may and route is SMARTHOST)


@pytest.mark.parametrize(
    ("stage", "text", "wants"),
    [
        (Stage.MAIL, "530 5.7.0 Authentication required", True),
        (Stage.MAIL, "550 5.7.1 sender rejected", False),
        (Stage.RCPT, "530 5.7.0 Authentication required", False),
        (Stage.MAIL, "452 4.3.1 no room", False),
    ],
)
def test_a_login_that_is_wanted_at_mail(stage: Stage, text: str, *, wants: bool) -> None:
    reply = make_reply(int(text[:3]), (text[4:],))
    for route in (SMARTHOST, DIRECT):
        facts = facts_of(stage, reply, route=route)
        assert wants_login(facts, builtin_rules()) == (wants and route is SMARTHOST)


def test_a_session_that_broke_is_no_word_of_a_host() -> None:
    broken = Breakdown(category=Category.CONNECTION_FAILURE, fault=Fault.PEER, reason="silence")
    assert not wants_login(facts_of(Stage.MAIL, broken, route=SMARTHOST), builtin_rules())
    assert not is_of_the_host(facts_of(Stage.DOT, broken, route=SMARTHOST), builtin_rules())
