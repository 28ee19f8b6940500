"""Between rows and deliveries and their endpoints, and who of a recipient's deliveries goes first, whatever the engine."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from relayd.mail.event import Event, Subject
from relayd.mail.ids import MessageId
from relayd.mail.words import EventKind
from relayd.policy.console.webhook import NEVER, Off, Result, Standing
from relayd.ports.outbox import (
    DeliveryRow,
    DeliveryState,
    Endpoint,
    EndpointId,
    Heard,
    Subscription,
)
from relayd.store.values import from_ms

UNFINISHED = "state IN ('waiting', 'behind', 'sending')"
STANDING = "e.failures, e.failing_since, e.rests_from, e.rests_until, e.off"
# What an event says, with its subject: from `e`, of which there is none for a test.
FACTS = "e.kind, e.at, m.id, e.recipient, e.detail, m.message_id_header, m.reverse_path, m.tag, m.size, r.address"
ENDPOINT = (
    "e.id, e.url, e.kinds, e.senders, e.tags, e.created_at, e.generation, e.ok_at, e.heard_at,"
    f" e.status, e.trouble, e.octets, e.took, {STANDING}"
)
DELIVERY = (
    "d.event, d.at, d.state, d.claims, d.next_at, d.sent_at, d.status, d.trouble, d.octets, d.took,"
    f" {FACTS}"
)
STATE_AFTER = {
    Result.DONE: DeliveryState.DONE,
    Result.WAITS: DeliveryState.WAITING,
    Result.FAILED: DeliveryState.FAILED,
}


def standing_of(row: Sequence[Any]) -> Standing:
    """Read the columns of STANDING."""
    failures, failing_since, rests_from, rests_until, off = row
    return Standing(
        failures=failures,
        failing_since=failing_since,
        rests_from=rests_from,
        rests_until=rests_until,
        off=Off(off),
    )


def columns_of(standing: Standing) -> tuple[Any, ...]:
    """Return the values of the columns of STANDING."""
    return (
        standing.failures,
        standing.failing_since,
        standing.rests_from,
        standing.rests_until,
        standing.off.value,
    )


def event_of(row: Sequence[Any]) -> Event | None:
    """Read the columns of FACTS; None where there is no event."""
    kind, at, message_id, recipient, detail, header, reverse_path, tag, size, address = row
    if kind is None:
        return None
    return Event(
        kind=EventKind(kind),
        at=from_ms(at),
        message_id=MessageId(message_id),
        recipient=recipient,
        detail=orjson.loads(detail),
        subject=Subject(
            message_id_header=header,
            reverse_path=reverse_path,
            tag=tag,
            size=size,
            address=address,
        ),
    )


def subscription_of(row: Sequence[Any]) -> Subscription:
    """Read url, kinds, senders, tags, and why it is off."""
    url, kinds, senders, tags, off = row
    return Subscription(
        url=url,
        kinds=tuple(map(EventKind, orjson.loads(kinds))),
        senders=tuple(orjson.loads(senders)),
        tags=tuple(orjson.loads(tags)),
        is_on=not off,
    )


def array(values: tuple[str, ...]) -> str:
    """Write values as a column of an endpoint has them."""
    return orjson.dumps(list(values)).decode()


def endpoint_of(
    row: Sequence[Any], *, waiting: int, oldest: int | None, failed: int, ahead: int
) -> Endpoint:
    """Read the columns of ENDPOINT. `ahead`: by how much the clock is ahead of the count, in milliseconds."""
    number, url, kinds, senders, tags, created_at, generation, ok_at, heard_at, *rest = row
    standing = standing_of(rest[4:])
    return Endpoint(
        id=EndpointId(number),
        wanted=subscription_of((url, kinds, senders, tags, standing.off)),
        created_at=from_ms(created_at),
        generation=generation,
        off=Off(standing.off),
        failures=standing.failures,
        failing_since=_instant(standing.failing_since, ahead),
        rests_until=_instant(standing.rests_until, ahead),
        last_ok_at=None if ok_at is None else from_ms(ok_at),
        last_at=None if heard_at is None else from_ms(heard_at),
        last=_heard(rest[:4]),
        waiting=waiting,
        oldest=None if oldest is None else from_ms(oldest),
        failed=failed,
    )


def delivery_of(endpoint: EndpointId, row: Sequence[Any], *, ahead: int) -> DeliveryRow:
    """Read the columns of DELIVERY; `ahead` as above."""
    number, at, state, claims, next_at, sent_at, *rest = row
    is_put_off = state == DeliveryState.WAITING
    return DeliveryRow(
        endpoint=endpoint,
        number=number,
        at=from_ms(at),
        state=DeliveryState(state),
        tries=claims,
        event=event_of(rest[4:]),
        last_at=None if sent_at is None else from_ms(sent_at),
        last=_heard(rest[:4]),
        next_at=_instant(next_at, ahead) if is_put_off else None,
    )


def lined_up(
    line: Iterable[tuple[int, str]],
) -> list[tuple[int, DeliveryState]]:
    """Return whose state changes to what, of the unfinished deliveries of a recipient in the order of events.

    The first waits, and those of later events are behind it. While one is on its way, all others are behind.
    """
    rows = list(line)
    is_free = all(state != DeliveryState.SENDING for _, state in rows)
    changes = []
    for event, state in rows:
        wanted = DeliveryState.WAITING if is_free else DeliveryState.BEHIND
        is_free = False
        if state not in (wanted, DeliveryState.SENDING):
            changes.append((event, wanted))
    return changes


def _heard(row: Sequence[Any]) -> Heard | None:
    status, trouble, octets, took = row
    if took is None:
        return None
    return Heard(status=status, trouble=trouble, octets=octets, took=timedelta(milliseconds=took))


def _instant(served: int | None, ahead: int) -> datetime | None:
    return None if served is None or served == NEVER else from_ms(served + ahead)
