"""Between rows and values: messages, recipients, and their parameters."""

from datetime import timedelta
from typing import Any

import orjson

from relayd.mail.envelope import NO_TIME, NewMessage, QueuedMessage, QueuedRecipient
from relayd.mail.ids import MessageId
from relayd.mail.parameters import (
    MAIL_WITHOUT,
    RCPT_WITHOUT,
    MailParameters,
    RcptParameters,
    mail_parameters,
    rcpt_parameters,
)
from relayd.store.values import from_ms

_TEST, _8BIT, _UTF8, IS_REPORT = 1, 2, 4, 8
_LIFTS_TLS, _AWAITED = 16, 64
_UNPROVEN = 128


def dump(parameters: MailParameters | RcptParameters) -> str | None:
    """Write the parameters of MAIL or RCPT as a JSON object; None when there are none."""
    if parameters is MAIL_WITHOUT or parameters is RCPT_WITHOUT:
        return None
    words = parameters.words()
    return orjson.dumps(words).decode() if words else None


def _mail_parameters(text: str | None) -> MailParameters:
    return mail_parameters(orjson.loads(text)) if text else MAIL_WITHOUT


def _rcpt_parameters(text: str | None) -> RcptParameters:
    return rcpt_parameters(orjson.loads(text)) if text else RCPT_WITHOUT


def flags_of(message: NewMessage) -> int:
    facts = message.facts
    kept = facts.is_test * _TEST | facts.is_8bit * _8BIT | facts.utf8_headers * _UTF8
    kept |= facts.lifts_tls * _LIFTS_TLS
    kept |= message.author_unproven * _UNPROVEN
    return kept | message.is_report * IS_REPORT | message.is_awaited * _AWAITED


def message_of(row: tuple[Any, ...]) -> QueuedMessage:
    """Read (id, received_at, reverse_path, size, message_id_header, tag, flags, parameters, account, listener, test_via, age)."""
    number, received_at, reverse_path, size, header, tag, flags, parameters, *client, age = row
    account, listener, test_via = client
    return QueuedMessage(
        id=MessageId(number),
        received_at=from_ms(received_at),
        reverse_path=reverse_path,
        parameters=_mail_parameters(parameters),
        size=size,
        message_id_header=header,
        tag=tag,
        is_test=bool(flags & _TEST),
        is_8bit=bool(flags & _8BIT),
        utf8_headers=bool(flags & _UTF8),
        is_report=bool(flags & IS_REPORT),
        is_awaited=bool(flags & _AWAITED),
        lifts_tls=bool(flags & _LIFTS_TLS),
        author_unproven=bool(flags & _UNPROVEN),
        account=account,
        listener=listener,
        test_via=test_via or "",
        age=timedelta(milliseconds=age),
    )


def recipient_of(row: tuple[Any, ...]) -> QueuedRecipient:
    """Read (number, address, parameters, attempts, soft_failures, possible_duplicate, when the DNS had no mail host, uncounted, extra)."""
    (
        number,
        address,
        parameters,
        attempts,
        soft_failures,
        unknown_outcomes,
        no_host_at,
        ms,
        extra,
    ) = row
    return QueuedRecipient(
        number=number,
        address=address,
        parameters=_rcpt_parameters(parameters),
        attempt=attempts,
        soft_failures=soft_failures,
        unknown_outcomes=unknown_outcomes,
        no_mail_host_at=None if no_host_at is None else from_ms(no_host_at),
        uncounted=timedelta(milliseconds=ms) if ms else NO_TIME,
        is_extra=bool(extra),
    )
