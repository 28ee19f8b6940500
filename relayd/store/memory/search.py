"""What a `Query` means, in plain Python."""

from collections.abc import Iterable

from relayd.policy.delivery.route import names_of
from relayd.policy.intake.admit import is_among
from relayd.ports.view import UNFINISHED, Query, RecipientRow
from relayd.ports.waiting import By


def newest_first(row: RecipientRow) -> tuple[int, int]:
    return -row.message_id, row.recipient


def matches(row: RecipientRow, query: Query) -> bool:
    texts = (
        (query.recipient, row.address),
        (query.domain, row.address.rpartition("@")[2]),
        (query.sender, row.reverse_path),
        (query.tag, row.tag),
        (query.user, row.auth_user),
        (
            tuple(map(_bare, query.message_id_header)),
            row.message_id_header and _bare(row.message_id_header),
        ),
    )
    words = (
        (query.status, row.status),
        (query.bounce_class, row.bounce_class),
        (query.category, row.category),
    )
    return (
        query.message_id in (None, row.message_id)
        and all(not wanted or _is_among(wanted, found) for wanted, found in texts)
        and all(not wanted or found in wanted for wanted, found in words)
        and (query.since is None or row.received_at >= query.since)
        and (query.until is None or row.received_at < query.until)
        and (not query.unfinished or row.status in UNFINISHED)
        and (not query.client or is_among(row.client_ip, query.client))
        and (not query.destination or _goes_to(row.destination, query.destination))
        and (not query.possible_duplicate or row.possible_duplicate)
        and (query.changed_since is None or row.updated_at >= query.changed_since)
    )


def _is_among(wanted: Iterable[str], found: str | None) -> bool:
    return found is not None and found.lower() in {each.lower() for each in wanted}


def _goes_to(route_key: str, wanted: Iterable[str]) -> bool:
    return not names_of(route_key).isdisjoint(each.lower() for each in wanted)


def _bare(message_id_header: str) -> str:
    return message_id_header.strip().strip("<>")


def value_of(row: RecipientRow, by: By) -> str:
    """Return what a recipient is counted under; empty for none."""
    values = {
        By.DOMAIN: row.address.rpartition("@")[2].lower(),
        By.SENDER: row.reverse_path,
        By.DESTINATION: row.destination,
        By.TAG: row.tag or "",
        By.USER: row.auth_user or "",
    }
    return values[by]
