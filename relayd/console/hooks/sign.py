"""What a receiver gets: the body of a delivery, and its signature.

The body is one JSON object: `type`, `timestamp`, and `data`, which has the fields of the status log. There is
nothing of a message in it that the history does not have: no content, no subject.

Source: Standard Webhooks 1.0 (https://github.com/standard-webhooks/standard-webhooks).
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime

from relayd.answers.status_line import status_line
from relayd.answers.webhooks import TEST
from relayd.control.webhooks import ToSend
from relayd.logs.jsonline import dump
from relayd.mail.words import format_instant
from relayd.policy.console.webhook_secret import key_of

LARGEST = 20_000  # octets of a body
_CUT = 1000  # characters of each text, where it would be larger


def body_of(delivery: ToSend) -> bytes:
    """Return the body, the same at every try."""
    event = delivery.event
    if event is None or event.subject is None:
        data: dict[str, object] = {"webhook": delivery.endpoint}
        return _written(TEST, delivery.at, data)
    data = status_line(event, event.message_id, event.subject, event.subject.address)
    kind = f"recipient.{event.kind.value}"
    body = _written(kind, event.at, data)
    if len(body) > LARGEST:  # a server's reply may be long
        short = {
            key: value[:_CUT] if isinstance(value, str) else value for key, value in data.items()
        }
        body = _written(kind, event.at, short)
    return body


def _written(kind: str, at: datetime, data: dict[str, object]) -> bytes:
    return dump({"type": kind, "timestamp": format_instant(at), "data": data})


def signed(
    webhook_id: str, secrets: Sequence[str], body: bytes, *, now: datetime
) -> list[tuple[str, str]]:
    """Return the fields of the header section that prove who sends; one signature for each secret."""
    seconds = int(now.timestamp())
    content = f"{webhook_id}.{seconds}.".encode() + body
    signatures = (
        b64encode(hmac.digest(key_of(secret), content, hashlib.sha256)).decode()
        for secret in secrets
    )
    return [
        ("webhook-id", webhook_id),
        ("webhook-timestamp", str(seconds)),
        ("webhook-signature", " ".join(f"v1,{each}" for each in signatures)),
    ]
