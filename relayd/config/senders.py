"""`[senders."PATTERN"]`: what holds for mail of some senders."""

from relayd.config import units
from relayd.config.fields import Table
from relayd.config.routes import address
from relayd.config.smarthosts import SmarthostName
from relayd.mail.dns import DomainError, a_labels
from relayd.policy.delivery.senders import NULL


def sender_pattern(value: object) -> str:
    """Read a key of `[senders]`."""
    text = units.text(value)
    if text == NULL:
        return text
    try:
        if "@" in text:
            return address(text)
        a_labels(text.removeprefix("*."))
    except (DomainError, ValueError):
        raise ValueError(
            'expected a sender as key, in quotes: "a@b.example", "example.org", "*.example.org"'
            ' for all below it, or "<>" for the null reverse-path'
        ) from None
    return text


class Sender(Table):
    """The first entry that fits a reverse-path counts, for all that it says."""

    smarthost: SmarthostName = ""
