"""Between rows of the history and what questions get, whatever the engine."""

from typing import Any

from relayd.mail.ids import MessageId
from relayd.ports.view import HistoryEntry, LatestEvent, NumberedEvent
from relayd.store.values import from_ms


def history_entry(row: tuple[Any, ...]) -> HistoryEntry:
    """Read kind, instant, recipient and detail."""
    kind, at, number, detail = row
    return HistoryEntry(kind=kind, at=from_ms(at), recipient=number, detail=_known(detail))


def latest_event(row: tuple[Any, ...]) -> LatestEvent:
    """Read message, address, destination, kind, instant and detail."""
    message_id, address, destination, kind, at, detail = row
    return LatestEvent(
        message_id=MessageId(message_id),
        address=address,
        destination=destination,
        kind=kind,
        at=from_ms(at),
        detail=_known(detail),
    )


def numbered_event(row: tuple[Any, ...]) -> NumberedEvent:
    """Read number, kind, instant, detail, message, address, and of the message header, sender, tag, size and login."""
    number, kind, at, detail, message_id, address, header, reverse_path, tag, size, user = row
    return NumberedEvent(
        number=number,
        kind=kind,
        at=from_ms(at),
        detail=_known(detail),
        message_id=MessageId(message_id),
        address=address,
        message_id_header=header,
        reverse_path=reverse_path,
        tag=tag,
        size=size,
        auth_user=user,
    )


def _known(detail: str) -> dict[str, Any]:
    import orjson  # noqa: PLC0415 -- rows of recipients need none of it, and it takes its time

    return {key: value for key, value in orjson.loads(detail).items() if value is not None}
