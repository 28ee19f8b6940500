"""Between the tables and the values that workers and questions get."""

from collections.abc import Sequence
from datetime import timedelta
from operator import attrgetter

from relayd.mail.envelope import NewMessage, QueuedRecipient
from relayd.mail.outcome import RecipientState
from relayd.mail.suppression import Suppression
from relayd.mail.words import BounceClass, EventKind
from relayd.ports.view import AddressRow, HeldBy, RecipientRow, Status
from relayd.store.memory.tables import Recipient, Tables
from relayd.store.recipient_rows import held_by


def queued_recipient(recipient: Recipient) -> QueuedRecipient:
    return QueuedRecipient(
        number=recipient.number,
        address=str(recipient.new.address),
        parameters=recipient.new.parameters,
        attempt=recipient.attempts,
        soft_failures=recipient.soft_failures,
        unknown_outcomes=recipient.unknown_outcomes,
        no_mail_host_at=recipient.no_mail_host_at,
        uncounted=timedelta(seconds=recipient.uncounted),
        is_extra=recipient.is_extra,
    )


def row_of(new: NewMessage, recipient: Recipient, tables: Tables) -> RecipientRow:
    destination = recipient.destination
    return RecipientRow(
        message_id=new.id,
        recipient=recipient.number,
        received_at=new.received_at,
        reverse_path=str(new.reverse_path or ""),
        address=str(recipient.new.address),
        status=recipient.status,
        destination=destination,
        size=len(new.content),
        message_id_header=new.facts.message_id_header,
        tag=new.facts.tag,
        client_ip=new.client.ip,
        auth_user=new.client.auth_user,
        attempts=recipient.attempts,
        next_attempt_at=recipient.next_attempt_at
        if recipient.state is RecipientState.QUEUED
        else None,
        leased=recipient.lease is not None,
        possible_duplicate=recipient.unknown_outcomes > 0,
        code=recipient.code,
        enhanced=recipient.enhanced,
        reply=recipient.reply,
        reason=recipient.reason,
        category=recipient.category,
        bounce_class=recipient.bounce_class,
        suppress=recipient.suppress,
        remote_host=recipient.remote_host,
        updated_at=recipient.updated_at,
        paused_until=tables.paused.get(destination),
        paused_for=tables.paused_for.get(destination, ""),
        subject=new.facts.subject,
        redirected_to=recipient.redirected_to,
        chosen_by=recipient.chosen_by or None,
        orig_rcpt=recipient.new.parameters.orcpt,
        held=_held(new, recipient, tables),
        served=any(slot.owner is not None for slot in tables.slots.get(destination, ())),
    )


def _held(new: NewMessage, recipient: Recipient, tables: Tables) -> HeldBy | None:
    if recipient.status is not Status.HELD:
        return None
    events = tables.messages[new.id].events
    of_it = (each for each in reversed(events) if each.recipient == recipient.number)
    held = next((each for each in of_it if each.kind is EventKind.HELD), None)
    return None if held is None else held_by(held.detail)


def address_row(rows: Sequence[RecipientRow], suppressions: Sequence[Suppression]) -> AddressRow:
    last = max(rows, key=attrgetter("message_id", "recipient"))
    bounced = [row for row in rows if row.status is Status.BOUNCED]
    hard = sum(row.bounce_class is BounceClass.HARD for row in bounced)
    return AddressRow(
        address=last.address,
        messages=len({row.message_id for row in rows}),
        hard_bounces=hard,
        other_bounces=len(bounced) - hard,
        last_status=last.status,
        last_at=last.updated_at,
        last_reply=last.reply or last.reason,
        suppressions=tuple(suppressions),
    )
