"""Builders of core values: each gives something valid, tests name only what they are about."""

import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta

from relayd.mail.address import parse_address
from relayd.mail.content import Content
from relayd.mail.envelope import (
    Client,
    MessageFacts,
    NewMessage,
    NewRecipient,
    QueuedMessage,
    QueuedRecipient,
)
from relayd.mail.event import Event, kind_of
from relayd.mail.ids import MessageId, WorkerNumber, make_id
from relayd.mail.outcome import Bounced, Deferred, Held, NoAttempt, NotTried, Outcome, Relayed
from relayd.mail.parameters import mail_parameters, rcpt_parameters
from relayd.mail.words import BounceClass, Category, EventKind, Fault, JsonValue
from relayd.ports.queue import Settlement, Work
from tests.support.clock import START

CONTENT = b"From: <app@app.test>\r\nSubject: Hello\r\n\r\nHello.\r\n"
SMARTHOST = "smarthost"

_counts = itertools.count()


def a_recipient(
    address: str = "user@example.com",
    *,
    destination: str = SMARTHOST,
    parameters: Mapping[str, str] | None = None,
    chosen_by: str = "",
) -> NewRecipient:
    return NewRecipient(
        address=parse_address(address),
        destination=destination,
        parameters=rcpt_parameters(parameters or {}),
        chosen_by=chosen_by,
    )


def a_message(
    *recipients: NewRecipient | str,
    at: datetime = START,
    worker: int = 1,
    count: int | None = None,
    reverse_path: str = "app@app.test",  # empty: the null reverse-path
    parameters: Mapping[str, str] | None = None,
    content: Content = CONTENT,
    facts: MessageFacts | None = None,
    message_id_header: str | None = None,
    tag: str | None = None,
    client_ip: str = "127.0.0.1",
    auth_user: str | None = None,
) -> NewMessage:
    """A message received at `at`; `recipients` may be plain addresses, and there is always one."""
    count = next(_counts) if count is None else count
    return NewMessage(
        id=make_id(at, WorkerNumber(worker), count),
        received_at=at,
        reverse_path=parse_address(reverse_path) if reverse_path else None,
        parameters=mail_parameters(parameters or {}),
        recipients=tuple(
            a_recipient(one) if isinstance(one, str) else one
            for one in recipients or (a_recipient(),)
        ),
        content=content,
        facts=facts or a_facts(content, message_id_header=message_id_header, tag=tag),
        client=Client(
            ip=client_ip,
            helo="app.test",
            listener="127.0.0.1:2525",
            auth_user=auth_user,
            account=f"login {auth_user}" if auth_user else client_ip,
        ),
    )


def a_facts(
    content: Content = CONTENT,
    *,
    hops: int = 0,
    message_id_header: str | None = None,
    tag: str | None = None,
    is_test: bool = False,
    test_via: str = "",
    is_8bit: bool = False,
    utf8_headers: bool = False,
) -> MessageFacts:
    return MessageFacts(
        size=len(content),
        hops=hops,
        message_id_header=message_id_header,
        tag=tag,
        is_test=is_test,
        test_via=test_via,
        is_8bit=is_8bit,
        utf8_headers=utf8_headers,
    )


def a_queued_message(
    *,
    at: datetime = START,
    count: int | None = None,
    reverse_path: str = "app@app.test",
    parameters: Mapping[str, str] | None = None,
    size: int = len(CONTENT),
    is_test: bool = False,
    is_8bit: bool = False,
    utf8_headers: bool = False,
) -> QueuedMessage:
    return QueuedMessage(
        id=make_id(at, WorkerNumber(1), next(_counts) if count is None else count),
        received_at=at,
        reverse_path=reverse_path,
        parameters=mail_parameters(parameters or {}),
        size=size,
        message_id_header=None,
        tag=None,
        is_test=is_test,
        is_8bit=is_8bit,
        utf8_headers=utf8_headers,
    )


def a_queued_recipient(
    address: str = "user@example.com",
    *,
    number: int = 0,
    parameters: Mapping[str, str] | None = None,
    attempt: int = 1,
    soft_failures: int = 0,
    unknown_outcomes: int = 0,
    no_mail_host_at: datetime | None = None,
    uncounted: timedelta = timedelta(),
    is_extra: bool = False,
) -> QueuedRecipient:
    return QueuedRecipient(
        number=number,
        address=address,
        parameters=rcpt_parameters(parameters or {}),
        attempt=attempt,
        soft_failures=soft_failures,
        unknown_outcomes=unknown_outcomes,
        no_mail_host_at=no_mail_host_at,
        uncounted=uncounted,
        is_extra=is_extra,
    )


def a_deferral(
    retry_at: datetime = START + timedelta(minutes=15),
    *,
    category: Category = Category.MAILBOX_FULL,
    reason: str = "mailbox full",
    soft_failures: int = 1,
    possible_duplicate: bool = False,
) -> Deferred:
    return Deferred(
        retry_at=retry_at,
        category=category,
        fault=Fault.PEER,
        reason=reason,
        soft_failures=soft_failures,
        possible_duplicate=possible_duplicate,
    )


def a_bounce(
    bounce_class: BounceClass = BounceClass.HARD,
    *,
    category: Category = Category.BAD_MAILBOX,
    suppress: bool | None = None,
    reason: str = "no such mailbox",
    status: str = "5.1.1",
) -> Bounced:
    """A bounce; a hard one asks to suppress the address unless told otherwise."""
    return Bounced(
        bounce_class=bounce_class,
        category=category,
        fault=Fault.PEER,
        suppress=bounce_class is BounceClass.HARD if suppress is None else suppress,
        reason=reason,
        status=status,
    )


def a_settlement(
    message_id: MessageId,
    recipient: int = 0,
    outcome: Outcome | None = None,
    *,
    at: datetime = START,
    events: tuple[Event, ...] | None = None,
    code: int | None = None,
    enhanced: str | None = None,
    reply: str | None = None,
    remote_host: str | None = "mx.example.test",
) -> Settlement:
    """A settlement, relayed unless told otherwise, with the one event that the outcome gives."""
    outcome = Relayed() if outcome is None else outcome
    if code is None and not isinstance(outcome, NotTried):
        code, enhanced, reply = _usual_reply(outcome)
    detail: dict[str, JsonValue] = {"code": code} if code else {}
    if isinstance(outcome, Deferred | Bounced):
        detail["category"] = outcome.category.value
    if isinstance(outcome, Bounced):
        detail["bounce_class"] = outcome.bounce_class.value
    event = Event(
        kind=kind_of(outcome), at=at, message_id=message_id, recipient=recipient, detail=detail
    )
    return Settlement(
        message_id=message_id,
        recipient=recipient,
        outcome=outcome,
        events=(event,) if events is None else events,
        code=code,
        enhanced=enhanced,
        reply=reply,
        remote_host=remote_host,
    )


def a_rerouting(
    message_id: MessageId, recipient: int, outcome: NoAttempt, *, at: datetime = START
) -> Settlement:
    """A settlement without an attempt: moved silently, or held with its event."""
    held = Event(
        kind=EventKind.HELD,
        at=at,
        message_id=message_id,
        recipient=recipient,
        detail={"by": "[routes]"},
    )
    return Settlement(
        message_id=message_id,
        recipient=recipient,
        outcome=outcome,
        events=(held,) if isinstance(outcome, Held) else (),
    )


def settlements_of(
    work: Work, outcome: Outcome | None = None, *, at: datetime = START
) -> list[Settlement]:
    """The same outcome for every recipient of `work`."""
    return [a_settlement(work.message.id, one.number, outcome, at=at) for one in work.recipients]


def _usual_reply(outcome: Outcome) -> tuple[int, str, str]:
    match outcome:
        case Deferred():
            return 452, "4.2.2", "4.2.2 mailbox full"
        case Bounced():
            return 550, "5.1.1", "5.1.1 no such user"
        case _:
            return 250, "2.0.0", "2.0.0 ok"
