"""Between rows and what `relayd status` shows of a recipient, whatever the engine."""

from collections.abc import Mapping, Sequence
from typing import Any

from relayd.mail.ids import MessageId
from relayd.mail.suppression import Suppression
from relayd.mail.words import BounceClass, Category, status_of
from relayd.ports.view import AddressRow, HeldBy, RecipientRow, Status
from relayd.store.values import from_ms


def status_in(state: str, failed: object) -> Status:
    """Return the status that a state is shown as; `failed` is None where no attempt has failed yet."""
    return Status(status_of(state, has_failed=failed is not None))


def recipient_row(row: tuple[Any, ...]) -> RecipientRow:
    """Read the columns of what `QueueView.find` gives, in the order of the engines' statements."""
    return RecipientRow(
        message_id=MessageId(row[0]),
        recipient=row[1],
        received_at=from_ms(row[2]),
        reverse_path=row[3],
        address=row[4],
        status=status_in(row[5], row[6]),
        category=None if row[6] is None else Category(row[6]),
        destination=row[7],
        size=row[8],
        message_id_header=row[9],
        tag=row[10],
        client_ip=row[11],
        auth_user=row[12],
        attempts=row[13],
        next_attempt_at=from_ms(row[14]) if row[5] == "queued" else None,
        leased=bool(row[15]),
        possible_duplicate=bool(row[16]),
        code=row[17],
        enhanced=row[18],
        reply=row[19],
        reason=row[20],
        bounce_class=None if row[21] is None else BounceClass(row[21]),
        suppress=bool(row[22]),
        remote_host=row[23],
        updated_at=from_ms(row[24]),
        paused_until=from_ms(row[25]) if row[25] else None,
        paused_for=row[26] or "" if row[25] or row[15] else "",
        served=bool(row[27]),
        subject=row[28],
        redirected_to=row[29],
        orig_rcpt=row[30],
        chosen_by=row[31],
        held=None if row[32] is None else _held_by(row[32]),
    )


def _held_by(detail: str) -> HeldBy:
    import orjson  # noqa: PLC0415 -- mostly nothing is held

    return held_by(orjson.loads(detail))


def held_by(detail: Mapping[str, object]) -> HeldBy:
    """Read who holds a recipient, of the last event that says so."""
    return HeldBy(str(detail.get("by") or ""), str(detail.get("reason") or ""))


def address_row(row: tuple[Any, ...], suppressions: Sequence[Suppression]) -> AddressRow:
    """Read address, messages, hard and other bounces, the last state, category, instant and reply."""
    return AddressRow(
        address=row[0],
        messages=row[1],
        hard_bounces=row[2],
        other_bounces=row[3],
        last_status=status_in(row[4], row[5]),
        last_at=from_ms(row[6]),
        last_reply=row[7],
        suppressions=tuple(suppressions),
    )
