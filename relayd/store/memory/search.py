"""What a `Query` means, in plain Python."""

from relayd.ports.view import Query, RecipientRow, Status

_UNFINISHED = (Status.QUEUED, Status.DEFERRED, Status.HELD)


def newest_first(row: RecipientRow) -> tuple[int, int]:
    return -row.message_id, row.recipient


def matches(row: RecipientRow, query: Query) -> bool:
    texts = (
        (query.recipient, row.address),
        (query.domain, row.address.rpartition("@")[2]),
        (query.sender, row.reverse_path),
        (query.tag, row.tag),
        (_bare(query.message_id_header), _bare(row.message_id_header)),
    )
    values = (
        (query.message_id, row.message_id),
        (query.status, row.status),
        (query.bounce_class, row.bounce_class),
        (query.category, row.category),
    )
    return (
        all(
            want is None or (got is not None and want.lower() == got.lower()) for want, got in texts
        )
        and all(want is None or want == got for want, got in values)
        and (query.since is None or row.received_at >= query.since)
        and (query.until is None or row.received_at < query.until)
        and (not query.unfinished or row.status in _UNFINISHED)
    )


def _bare(message_id_header: str | None) -> str | None:
    return None if message_id_header is None else message_id_header.strip("<>")
