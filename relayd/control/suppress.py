"""The messages of the control socket that suppress addresses and lift that; as `protocol` says.

    {"verb": "suppress", "addresses": [{"rcpt": "a@example.org", "from": "app@example.org", "reason": "..."}]}
    {"verb": "unsuppress", "rcpt": "a@example.org"}

`from` and `reason` may be left out. The answers have `suppressed`, a list that says of each whether it was not
suppressed before, and `unsuppressed`.
"""

from collections.abc import Iterable, Iterator, Sequence

from relayd.control.protocol import BadMessage, Message, read_text, refuse_unknown
from relayd.mail.address import parse_address
from relayd.mail.suppression import EVERYBODY, ToSuppress, cut
from relayd.mail.text import blanked
from relayd.mail.to_suppress import parse_to_suppress

AT_ONCE = 250
"""Addresses in one request: with the longest addresses and reasons it fits."""


def batches(wanted: Iterable[ToSuppress]) -> Iterator[list[ToSuppress]]:
    """Divide what is wanted into what one request may ask for."""
    batch: list[ToSuppress] = []
    for each in wanted:
        batch.append(each)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def suppress_to_json(wanted: Sequence[ToSuppress]) -> Message:
    return {
        "verb": "suppress",
        "addresses": [
            {"rcpt": each.address}
            | ({} if each.scope == EVERYBODY else {"from": each.scope})
            | ({"reason": cut(each.reason)} if each.reason else {})
            for each in wanted
        ],
    }


def suppress_from_json(message: Message) -> list[ToSuppress]:
    """Read a `suppress` request. Raises BadMessage."""
    refuse_unknown(message, {"verb", "addresses"})
    addresses = message.get("addresses")
    if not isinstance(addresses, list) or not 1 <= len(addresses) <= AT_ONCE:
        raise BadMessage(f"'addresses' is not a list of 1 to {AT_ONCE}")
    return [_wanted(each) for each in addresses]


def _wanted(each: object) -> ToSuppress:
    if not isinstance(each, dict):
        raise BadMessage("an address is not a JSON object")
    refuse_unknown(each, {"rcpt", "from", "reason"})
    scope = EVERYBODY
    if "from" in each:
        scope = str(read_text("from", each["from"], parse_address))
    return ToSuppress(
        address=str(read_text("rcpt", each.get("rcpt"), parse_to_suppress)),
        scope=scope,
        reason=blanked(read_text("reason", each.get("reason", ""), str)),
    )


def unsuppress_to_json(address: str) -> Message:
    return {"verb": "unsuppress", "rcpt": address}


def unsuppress_from_json(message: Message) -> str:
    """Read an `unsuppress` request: the address. Raises BadMessage."""
    refuse_unknown(message, {"verb", "rcpt"})
    return str(read_text("rcpt", message.get("rcpt"), parse_address))
