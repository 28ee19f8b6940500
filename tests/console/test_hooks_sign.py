"""What a receiver gets: its form, its size, and a signature that the standard's own library verifies."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from relayd.console.hooks.sign import LARGEST, body_of, signed
from relayd.control.webhooks import ToSend
from relayd.mail.event import Event, Subject
from relayd.mail.ids import WorkerNumber, format_id, make_id
from relayd.mail.words import EventKind
from relayd.policy.console.webhook_secret import secret_of
from relayd.ports.outbox import EndpointId

NOW = datetime.now(UTC)  # noqa: TID251 -- of the event


def now() -> datetime:
    """Return the time, at which the library looks: all tests together take longer than it allows."""
    return datetime.now(UTC)  # noqa: TID251 -- as above


ID = make_id(NOW, WorkerNumber(1), 0)
OLD, NEW = (secret_of(1, generation, key=b"k" * 32) for generation in (1, 2))
EVENT = Event(
    kind=EventKind.BOUNCED,
    at=NOW,
    message_id=ID,
    recipient=0,
    detail={"code": 550, "reply": "550 5.1.1 no such user: bücher \u202e", "remote_ip": None},
    subject=Subject(
        message_id_header="<1@app.test>",
        reverse_path="shop@app.test",
        tag="news",
        size=70,
        address="gone@x.test",
    ),
)
DELIVERY = ToSend(
    endpoint=EndpointId(1),
    number=7,
    claim=1,
    webhook_id="evt_1",
    at=NOW,
    url="https://app.test/",
    secrets=(NEW, OLD),
    event=EVENT,
)


def test_a_body_has_the_fields_of_the_status_log() -> None:
    body = json.loads(body_of(DELIVERY))
    assert body["type"] == "recipient.bounced"
    assert body["timestamp"] == body["data"]["ts"]
    assert body["data"] == {
        "ts": body["timestamp"],
        "event": "bounced",
        "queue_id": format_id(ID),
        "message_id": "<1@app.test>",
        "from": "shop@app.test",
        "rcpt": "gone@x.test",
        "tag": "news",
        "size": 70,
        "status": "bounced",
        "code": 550,
        "reply": "550 5.1.1 no such user: bücher \u202e",
    }


def test_a_test_says_that_it_is_one() -> None:
    body = json.loads(body_of(replace(DELIVERY, event=None)))
    assert (body["type"], body["data"]) == ("relayd.test", {"webhook": 1})


@pytest.mark.parametrize("text", ["x", "ü", '"', "\x00", "\u202e", "\U0001f600"])
def test_a_body_is_never_large(text: str) -> None:
    detail = {**EVENT.detail, "reply": text * 50_000, "reason": text * 50_000}
    body = body_of(replace(DELIVERY, event=replace(EVENT, detail=detail)))
    assert len(body) < LARGEST
    assert json.loads(body)["data"]["rcpt"] == "gone@x.test"


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_each_of_two_secrets_verifies(secret: str) -> None:
    body = body_of(DELIVERY)
    fields = dict(signed("evt_1", DELIVERY.secrets, body, now=now()))
    assert Webhook(secret).verify(body, fields) == json.loads(body)


def test_nothing_else_verifies() -> None:
    body = body_of(DELIVERY)
    fields = dict(signed("evt_1", DELIVERY.secrets, body, now=now()))
    old = dict(signed("evt_1", DELIVERY.secrets, body, now=now() - timedelta(minutes=6)))
    other = Webhook(secret_of(2, 1, key=b"k" * 32))
    for webhook, content, given in (
        (Webhook(NEW), body.replace(b"gone", b"here"), fields),
        (Webhook(NEW), body, {**fields, "webhook-id": "evt_2"}),
        (Webhook(NEW), body, old),
        (other, body, fields),
    ):
        with pytest.raises(WebhookVerificationError):
            webhook.verify(content, given)
