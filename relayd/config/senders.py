"""`[senders."PATTERN"]`: what holds for mail of some senders."""

from typing import Annotated

from pydantic import PlainValidator

from relayd.config import units
from relayd.config.fields import Table
from relayd.config.rewrite import RewriteKeys
from relayd.config.routes import address
from relayd.config.smarthosts import SmarthostName
from relayd.mail.dns import DomainError, a_labels
from relayd.policy.delivery.senders import ANY, NULL


def sender_pattern(value: object) -> str:
    """Read a key of `[senders]`."""
    text = units.text(value)
    if text in (NULL, ANY):
        return text
    try:
        if "@" in text:
            return address(text)
        a_labels(text.removeprefix("*."))
    except (DomainError, ValueError):
        raise ValueError(
            'expected a sender as key, in quotes: "a@b.example", "example.org", "*.example.org"'
            ' for all below it, "*" for all, or "<>" for the null reverse-path'
        ) from None
    return text


class SenderKeys(Table):
    """What is about senders alone."""

    smarthost: SmarthostName = ""
    always_bcc: list[Annotated[str, PlainValidator(address)]] = []


class Sender(RewriteKeys, SenderKeys):
    """The first entry that fits a reverse-path counts, for all that it says."""
