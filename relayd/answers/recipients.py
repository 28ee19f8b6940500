"""Recipients: found page by page, as JSON fields, and in words what each waits for.

`waits_for` is the answer to "why is this mail still here". Everything is read off the store alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, assert_never

from relayd.mail.ids import MessageId, format_id, parse_id
from relayd.mail.words import Category, EventKind, Fault, format_instant, instant
from relayd.ports.view import (
    HeldBy,
    HistoryEntry,
    Page,
    Place,
    Query,
    QueueView,
    RecipientRow,
    Status,
)

if TYPE_CHECKING:
    from relayd.mail.pause import PauseRule

PAGE = 500  # rows asked for at once


def find_rows(view: QueueView, query: Query, *, limit: int) -> Iterator[RecipientRow]:
    """Yield matching recipients, newest first, at most `limit`; 0 is all of them. May raise StoreUnavailable."""
    before: Place | None = None
    left = limit
    rules = view.pause_rules()
    while True:
        size = min(PAGE, left) if limit else PAGE
        page = view.find(query, limit=size, before=before)
        yield from _with_rules(page, rules)
        left -= len(page)
        if len(page) < size or (limit and not left):
            return
        before = (page[-1].message_id, page[-1].recipient)


def find_page(
    view: QueueView,
    query: Query,
    *,
    limit: int,
    before: Place | None = None,
    back_from: Place | None = None,
) -> Page:
    """Return the newest that match, in a bounded time; see `QueueView.page`. May raise StoreUnavailable."""
    page = view.page(query, limit=limit, before=before, back_from=back_from)
    return page._replace(rows=_with_rules(page.rows, view.pause_rules()))


def _with_rules(
    rows: Sequence[RecipientRow], rules: "Sequence[PauseRule]"
) -> Sequence[RecipientRow]:
    if not rules:
        return rows
    from relayd.answers.pauses import rule_that_holds  # noqa: PLC0415 -- mostly nothing is paused

    return [replace(row, pause=rule_that_holds(row, rules)) for row in rows]


def resolve(view: QueueView, text: str) -> list[MessageId]:
    """Return the messages that `text` names, oldest first: one by its queue id, or all by Message-ID."""
    try:
        message_id = parse_id(text)
    except ValueError:
        pass
    else:
        if view.find(Query(message_id=message_id), limit=1):
            return [message_id]
    rows = find_rows(view, Query(message_id_header=(text,)), limit=0)
    return sorted({row.message_id for row in rows})


def recipients_of(view: QueueView, message_id: MessageId) -> Sequence[RecipientRow]:
    """Return all recipients of a message, in the order of their RCPT."""
    rows = find_rows(view, Query(message_id=message_id), limit=0)
    return sorted(rows, key=lambda row: row.recipient)


def message_of(
    view: QueueView, message_id: MessageId
) -> tuple[Sequence[RecipientRow], Sequence[HistoryEntry]]:
    """Return all recipients of a message, and its history."""
    return recipients_of(view, message_id), view.history(message_id)


FIELDS = (
    "ts",
    "queue_id",
    "message_id",
    "from",
    "rcpt",
    "orig_rcpt",
    "tag",
    "size",
    "status",
    "attempt",
    "remote_host",
    "code",
    "enhanced",
    "reply",
    "reason",
    "bounce_class",
    "category",
    "suppress",
    "possible_duplicate",
    "next_attempt_at",
    "client_ip",
    "auth_user",
    "received_at",
    "destination",
    "paused_until",
    "paused_for",
    "pause",
    "held",
    "subject",
    "redirected_to",
    "chosen_by",
)
"""The names of `fields`, in their order."""


def fields(row: RecipientRow) -> dict[str, object]:
    """Return a recipient as JSON fields, with the status log's names; None for what is not known."""
    return {
        "ts": row.updated_at,
        "queue_id": format_id(row.message_id),
        "message_id": row.message_id_header,
        "from": row.reverse_path,
        "rcpt": row.address,
        "orig_rcpt": row.orig_rcpt,
        "tag": row.tag,
        "size": row.size,
        "status": row.status,
        "attempt": row.attempts,
        "remote_host": row.remote_host,
        "code": row.code,
        "enhanced": row.enhanced,
        "reply": row.reply,
        "reason": row.reason,
        "bounce_class": row.bounce_class,
        "category": row.category,
        "suppress": row.suppress if row.status is Status.BOUNCED else None,
        "possible_duplicate": row.possible_duplicate or None,
        "next_attempt_at": row.next_attempt_at,
        "client_ip": row.client_ip,
        "auth_user": row.auth_user,
        "received_at": row.received_at,
        "destination": row.destination,
        "paused_until": row.paused_until,
        "paused_for": row.paused_for or None,
        "pause": None if row.pause is None else _pause_fields(row.pause),
        "held": None if row.held is None else _held_fields(row.held, row.updated_at),
        "subject": row.subject,
        "redirected_to": row.redirected_to,
        "chosen_by": row.chosen_by,
    }


def _pause_fields(rule: "PauseRule") -> dict[str, object]:
    from relayd.answers import pauses  # noqa: PLC0415 -- mostly nothing is paused

    return pauses.fields(rule)


def _held_fields(held: HeldBy, since: datetime) -> dict[str, object]:
    return {"by": held.by, "since": format_instant(since), "reason": held.reason}


def why(row: RecipientRow, zone: tzinfo | None = UTC) -> str:
    """Return in a few words why a recipient is as it is: who stops it, else what was said last. May be empty.

    Times are those of `zone`, None being this machine's.
    """
    if row.pause is not None and not row.leased:
        from relayd.answers.pauses import in_words  # noqa: PLC0415 -- mostly nothing is paused

        return f"paused {in_words(row.pause, zone)}"
    if row.held is not None:
        return _held_in_words(row.held)
    return row.reply or row.reason or row.paused_for


def _held_in_words(held: HeldBy) -> str:
    return f"held by {held.by or 'somebody'}" + (f": {held.reason}" if held.reason else "")


def waits_for(
    row: RecipientRow,
    history: Sequence[HistoryEntry],
    at: datetime,
    *,
    zone: tzinfo | None = UTC,
) -> str:
    """Return what has to happen next, in words; `history` is the recipient's, oldest first.

    Times are those of `zone`, None being this machine's.
    """
    match row.status:
        case Status.RELAYED | Status.SENT | Status.BOUNCED | Status.DROPPED:
            return "nothing: this is its final status"
        case Status.HELD:
            return _held_by(history, zone)
        case Status.QUEUED | Status.DEFERRED:
            return _next_step(row, history, at, zone)
        case _:
            assert_never(row.status)


def _next_step(
    row: RecipientRow, history: Sequence[HistoryEntry], at: datetime, zone: tzinfo | None
) -> str:
    if row.leased:
        return row.paused_for or (
            f"a running attempt, or its turn at a connection to {row.destination}"
        )
    if row.pause is not None and not row.pause.is_over(at):
        from relayd.answers.pauses import in_words  # noqa: PLC0415 -- as above

        ends = in_words(row.pause, zone)
        return f"the end of pause {row.pause.number} ({row.pause.named}), {ends}"
    retry_at = row.next_attempt_at or at
    last = _last_attempt(history)
    if row.paused_until is not None and row.paused_until > max(at, retry_at):
        until = f"destination {row.destination}, paused until {instant(row.paused_until, zone)}"
        down = row.paused_for or _own_fault(last) or _destination_trouble(last)
        return f"{until}: {down}" if down else until
    if retry_at > at:
        until = f"the retry at {instant(retry_at, zone)}"
        return until if last is None else f"{until}: {_trouble(last)}"
    if row.served:
        return f"its turn after others for {row.destination}, within the limits set for that"
    return "a free worker: it is due now"


def _last_attempt(history: Sequence[HistoryEntry]) -> HistoryEntry | None:
    """What last stopped this recipient; None before its first attempt."""
    stops = {EventKind.ATTEMPTED.value, EventKind.DEFERRED.value}
    return next((one for one in reversed(history) if one.kind in stops), None)


def _trouble(last: HistoryEntry) -> str:
    """What an attempt failed on."""
    detail = last.detail
    if ours := _own_fault(last):
        return ours
    if down := _destination_trouble(last):
        return down
    said = detail.get("reply") or detail.get("reason") or "no reason is known"
    return f"{detail.get('remote_host') or 'relayd'} says {said}"


def _own_fault(last: HistoryEntry | None) -> str:
    """What this machine could not do; empty if that is not what stopped the mail. It is no peer's word."""
    if last is None or last.detail.get("fault") != Fault.LOCAL.value:
        return ""
    return f"a fault of this machine: {last.detail.get('reason') or 'no reason is known'}"


def _destination_trouble(last: HistoryEntry | None) -> str:
    """What is wrong with the destination as a whole; empty if the attempt does not tell."""
    if last is None:
        return ""
    detail = last.detail
    said = detail.get("reply") or detail.get("reason") or "no reason is known"
    if last.kind == EventKind.ATTEMPTED.value:  # after any other attempt, there is an outcome
        return f"{detail.get('remote_host')} refuses our login, {said}"
    match detail.get("category"):
        case Category.DNS_FAILURE:
            return f"DNS failure, {said}"
        case Category.BAD_DOMAIN if detail.get("code") is None:
            return f"a second look at the DNS: {said}"
        case Category.CONNECTION_FAILURE | Category.TLS_FAILURE:
            return f"no session with {detail.get('remote_host') or 'any server'}, {said}"
        case _:
            return ""


def _held_by(history: Sequence[HistoryEntry], zone: tzinfo | None) -> str:
    held = next((one for one in reversed(history) if one.kind == EventKind.HELD.value), None)
    if held is None:
        return "somebody to release it"
    by = held.detail.get("by") or "somebody"
    reason = held.detail.get("reason")
    because = f": {reason}" if reason else ""
    return f"somebody to release it; held by {by} since {instant(held.at, zone)}{because}"
