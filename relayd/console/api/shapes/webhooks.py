"""What webhooks and deliveries look like."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from relayd.console.api.shapes.lists import Next, Prev
from relayd.mail.words import EventKind
from relayd.ports.outbox import DeliveryState


class Webhook(BaseModel):
    webhook: int
    url: str
    events: list[EventKind]
    senders: list[str]
    tags: list[str]
    disabled: Annotated[str | None, Field(description="why; null: it is in use")]
    failures: Annotated[int, Field(description="in a row")]
    failing_since: datetime | None
    rests_until: datetime | None
    last_ok_at: datetime | None
    last_at: datetime | None
    status: Annotated[int | None, Field(description="of the last answer")]
    reason: str | None
    waiting: int
    oldest_waiting_at: datetime | None
    failed: int
    generation: Annotated[int, Field(description="of the secret")]
    created_at: datetime


class Webhooks(BaseModel):
    webhooks: list[Webhook]


class WebhookSecret(BaseModel):
    webhook: int
    secret: Annotated[str, Field(description="told this once")]


class WebhookGone(BaseModel):
    webhook: int
    changed: bool


class WebhookTested(BaseModel):
    webhook: int
    type: str


class WebhookReplayed(BaseModel):
    changed: int
    next: Annotated[str | None, Field(description="ask again with it as `cursor`; null: all done")]


class Delivery(BaseModel):
    id: Annotated[str, Field(description="the receiver knows it as `webhook-id`")]
    webhook: int
    type: str
    ts: datetime
    queue_id: str | None
    rcpt: str | None
    state: DeliveryState
    attempts: int
    status: int | None
    reason: str | None
    octets: int | None
    seconds: float | None
    last_at: datetime | None
    next_at: datetime | None


class Deliveries(BaseModel):
    deliveries: list[Delivery]
    prev: Prev
    next: Next
