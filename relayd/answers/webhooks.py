"""What is told of webhooks: endpoints, changes of them, and deliveries, as fields and in words."""

from datetime import datetime
from urllib.parse import urlsplit

from relayd.mail.ids import format_id
from relayd.mail.words import format_instant, instant_or_none
from relayd.policy.console.webhook import Off
from relayd.ports.outbox import DeliveryRow, DeliveryState, Endpoint, Heard, Subscription

Fields = dict[str, object]
TEST = "relayd.test"
"""The type of what is sent to try a webhook."""
ENDPOINT_FIELDS = (
    "webhook",
    "url",
    "events",
    "senders",
    "tags",
    "disabled",
    "failures",
    "failing_since",
    "rests_until",
    "last_ok_at",
    "last_at",
    "status",
    "reason",
    "waiting",
    "oldest_waiting_at",
    "failed",
    "generation",
    "created_at",
)
DELIVERY_FIELDS = (
    "id",
    "webhook",
    "type",
    "ts",
    "queue_id",
    "rcpt",
    "state",
    "attempts",
    "status",
    "reason",
    "octets",
    "seconds",
    "last_at",
    "next_at",
)


def endpoint_fields(each: Endpoint) -> Fields:
    """Return what may be told of an endpoint: all but its secret."""
    wanted, last = each.wanted, each.last or Heard()
    return {
        "webhook": each.id,
        "url": wanted.url,
        "events": list(wanted.kinds),
        "senders": list(wanted.senders),
        "tags": list(wanted.tags),
        "disabled": each.off.value or None,
        "failures": each.failures,
        "failing_since": instant_or_none(each.failing_since),
        "rests_until": instant_or_none(each.rests_until),
        "last_ok_at": instant_or_none(each.last_ok_at),
        "last_at": instant_or_none(each.last_at),
        "status": last.status,
        "reason": last.trouble or None,
        "waiting": each.waiting,
        "oldest_waiting_at": instant_or_none(each.oldest),
        "failed": each.failed,
        "generation": each.generation,
        "created_at": format_instant(each.created_at),
    }


def delivery_fields(row: DeliveryRow) -> Fields:
    """Return what may be told of a delivery. What is heard of it is of the last try."""
    event, last = row.event, row.last
    subject = None if event is None else event.subject
    return {
        "id": row.webhook_id,
        "webhook": row.endpoint,
        "type": type_of(row),
        "ts": format_instant(row.at),
        "queue_id": None if event is None else format_id(event.message_id),
        "rcpt": None if subject is None else subject.address,
        "state": row.state.value,
        "attempts": row.tries,
        "status": None if last is None else last.status,
        "reason": (last.trouble or None) if last else None,
        "octets": None if last is None else last.octets,
        "seconds": None if last is None else round(last.took.total_seconds(), 3),
        "last_at": instant_or_none(row.last_at),
        "next_at": instant_or_none(row.next_at),
    }


def type_of(row: DeliveryRow) -> str:
    """Return the type that the receiver is told."""
    return TEST if row.event is None else f"recipient.{row.event.kind.value}"


def state_of(each: Endpoint, at: datetime) -> str:
    """Say how an endpoint is doing, in a few words."""
    match each.off:
        case Off.NO:
            pass
        case Off.BY_HAND:
            return "disabled"
        case _:
            return f"disabled: {each.off.value}"
    if not each.failures:
        return "ok" if each.last_ok_at else ""
    is_resting = each.rests_until is not None and each.rests_until > at
    does = "rests" if is_resting else "fails"
    is_ok = each.last is not None and each.last.status in range(200, 300)  # what was on its way
    return does if is_ok else f"{does}: {heard_in_words(each.last)}"


def heard_in_words(heard: Heard | None) -> str:
    """Say what was heard of a receiver; empty: nothing yet."""
    if heard is None:
        return ""
    return heard.trouble or str(heard.status)


def is_over(row: DeliveryRow) -> bool:
    """Whether a delivery is finished, one way or the other."""
    return row.state in (DeliveryState.DONE, DeliveryState.FAILED)


def told_of(wanted: Subscription) -> str:
    """Return what an endpoint is for, for the audit."""
    return ", ".join(f"{name} {value}" for name, value in _said(wanted).items() if value)


def told_of_change(before: Subscription, after: Subscription) -> str:
    """Return what a change made of an endpoint; empty: nothing."""
    old, new = _said(before), _said(after)
    changed = {name for name in old if old[name] != new[name]}
    if before.url != after.url:
        changed.add("url")  # it may differ in what is not told
    return ", ".join(
        f"{name}: {old[name] or 'any'} → {new[name] or 'any'}" for name in old if name in changed
    )


def _said(wanted: Subscription) -> dict[str, str]:
    return {
        "url": _without_secrets(wanted.url),
        "events": " ".join(wanted.kinds),
        "senders": " ".join(wanted.senders),
        "tags": " ".join(wanted.tags),
        "state": "on" if wanted.is_on else "off",
    }


def _without_secrets(url: str) -> str:
    """Return scheme, host and port: the path of a webhook is often its password, and so is the query."""
    parts = urlsplit(url)
    rest = "/…" if parts.path.strip("/") or parts.query else "/"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{rest}"
