"""What answers look like, for the OpenAPI document; the fields are those of the status log (`docs/events.md`).

An answer may get a further field; none goes, and none changes its meaning, within v1.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from relayd.mail.words import BounceClass, Category, EventKind
from relayd.ports.outbox import DeliveryState
from relayd.ports.people import Sees
from relayd.ports.view import Status

Next = Annotated[
    str | None, Field(description="the cursor of the next page; null: this is the last")
]
Prev = Annotated[
    str | None, Field(description="the cursor of the page before; null: this is the first")
]


class Mistake(BaseModel):
    where: str
    message: str
    expected: str = ""


class Problem(BaseModel):
    type: Annotated[str, Field(description="docs/errors.md has them all")]
    title: str
    status: int
    detail: str
    errors: list[Mistake] = []
    reference: Annotated[str, Field(description="finds the line in the log")] = ""


class Recipient(BaseModel):
    ts: Annotated[datetime, Field(description="when something became of it last")]
    queue_id: str
    message_id: str | None
    from_: Annotated[str, Field(alias="from", description="empty: the null reverse-path")]
    rcpt: str
    orig_rcpt: str | None
    tag: str | None
    size: int
    status: Status
    attempt: Annotated[int, Field(description="number of attempts")]
    remote_host: str | None
    code: int | None
    enhanced: str | None
    reply: str | None
    reason: str | None
    bounce_class: BounceClass | None
    category: Category | None
    suppress: bool | None
    possible_duplicate: bool | None
    next_attempt_at: datetime | None
    client_ip: str
    auth_user: str | None
    received_at: datetime
    destination: str
    paused_until: datetime | None
    paused_for: str | None
    pause: dict[str, Any] | None
    subject: str | None
    redirected_to: str | None
    chosen_by: str | None


class Recipients(BaseModel):
    recipients: list[Recipient]
    prev: Prev
    next: Next


class Event(BaseModel):
    """A line of the status log; what is not known is left out."""

    ts: datetime
    event: EventKind
    queue_id: str
    message_id: str = ""
    from_: Annotated[str, Field(alias="from")]
    rcpt: str
    tag: str = ""
    size: int
    status: str = ""
    attempt: int = 0
    route: str = ""
    remote_host: str = ""
    remote_ip: str = ""
    remote_port: int = 0
    local_ip: str = ""
    helo: str = ""
    tls: Any = None
    tls_problem: str = ""
    stage: str = ""
    code: int = 0
    enhanced: str = ""
    reply: str = ""
    reason: str = ""
    bounce_class: BounceClass = BounceClass.SOFT
    category: Category = Category.UNKNOWN
    suppress: bool = False
    not_counted: str = ""
    possible_duplicate: bool = False
    redirected_to: str = ""
    rewritten: str = ""
    orig_rcpt: str = ""
    chosen_by: str = ""
    next_attempt_at: str = ""
    delay_queue: float = 0
    delay_connect: float = 0
    delay_transaction: float = 0
    client_ip: str = ""
    auth_user: str = ""
    listener: str = ""
    content_score: Any = None
    requeued_as: str = ""
    requeued_from: str = ""
    by: str = ""
    fault: str = ""


class Told(Recipient):
    waits_for: str
    history: list[Event]


class Message(BaseModel):
    queue_id: str
    recipients: list[Told]


class Events(BaseModel):
    events: list[Event]
    next: Annotated[str, Field(description="the cursor of what happens after that")]
    more: Annotated[bool, Field(description="there is more already")]


class Suppression(BaseModel):
    from_: Annotated[
        str, Field(alias="from", description="for mail of this sender; without it for all")
    ] = ""
    since: datetime | None = None
    by: str = ""
    queue_id: str = ""
    reason: str = ""


class Address(BaseModel):
    rcpt: str
    status: Annotated[Status | None, Field(description="of the last message")]
    ts: datetime | None
    messages: int
    hard_bounces: int
    other_bounces: int
    suppress: bool
    suppress_for: list[str] | None
    suppressions: list[Suppression] | None
    reply: str | None


class Addresses(BaseModel):
    addresses: list[Address]
    since: Annotated[datetime | None, Field(description="only mail from then on; null: all")] = None
    prev: Prev
    next: Next


class LastHour(BaseModel):
    accepted: int
    deferred: int
    bounced: int


class Destination(BaseModel):
    destination: str
    waiting: Annotated[dict[str, int], Field(description="recipients by status")]
    oldest: datetime | None
    next_attempt_at: datetime | None
    paused_until: datetime | None
    paused_for: str | None
    last_hour: LastHour
    seconds: Annotated[float | None, Field(description="that a transaction takes")]


class Destinations(BaseModel):
    destinations: list[Destination]
    left_out: int


class Age(BaseModel):
    until_seconds: Annotated[float | None, Field(description="null: what is older")]
    recipients: int


class Queue(BaseModel):
    waiting: Annotated[dict[str, int], Field(description="recipients by status")]
    ages: Annotated[list[Age], Field(description="since reception, without what is held")]
    paused: Annotated[int, Field(description="of these, that a pause rule holds")]
    oldest: Annotated[datetime | None, Field(description="reception, without what is held")]
    oldest_destination: str | None
    most: Annotated[int, Field(description="a number that is greater means: more than that")]


class Total(BaseModel):
    by: str
    since: datetime | None
    until: datetime | None
    counted_until: datetime | None
    received: int
    sent: int
    relayed: int
    deferred: int
    hard: int
    block: int
    soft: int
    late_bounced: int
    complained: int
    dropped: int
    bounced: int
    share: float | None
    bounced_share: float | None
    p50: Annotated[float | None, Field(description="seconds from reception to acceptance")]
    p95: float | None
    p99: float | None


class Counted(Total):
    ts: datetime | None = None
    from_: Annotated[str | None, Field(alias="from")] = None
    tag: str | None = None
    auth_user: str | None = None
    domain: str | None = None
    destination: str | None = None
    category: str | None = None
    client_ip: str | None = None
    rest: Annotated[bool, Field(description="values that were rare, together")] = False


class Stats(BaseModel):
    rows: list[Counted]
    total: Total


class Key(BaseModel):
    id: str
    name: str
    scopes: list[str]
    senders: list[str]
    networks: list[str]
    requests_per_minute: Annotated[int, Field(description="0: no limit")]
    sees: Sees
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    disabled: bool


class Keys(BaseModel):
    keys: list[Key]


class Deed(BaseModel):
    ts: datetime
    by: str
    client_ip: str | None
    action: str
    target: str | None
    detail: str | None


class Audit(BaseModel):
    audit: list[Deed]
    prev: Prev
    next: Next


class Setting(BaseModel):
    key: str
    value: Any
    default: Any
    from_: Annotated[
        str, Field(alias="from", description="`default`, `file`, `console`, or `environment`")
    ]


class Settings(BaseModel):
    settings: list[Setting]
    may_change: list[str]


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


class Health(BaseModel):
    status: Literal["ok", "trouble"]
    reasons: Annotated[list[str], Field(description="for keys that may read")] = []


class Finding(BaseModel):
    ts: datetime
    check: str
    subject: str
    level: str
    reason: str
    remedy: str


class Doctor(BaseModel):
    ts: datetime
    findings: list[Finding]


class Acted(BaseModel):
    matched: Annotated[int, Field(description="recipients that were looked at")]
    changed: int
    next: Annotated[str | None, Field(description="ask again with it as `cursor`; null: all done")]


class Changed(BaseModel):
    rcpt: str
    changed: bool


class LineMistake(BaseModel):
    line: int
    message: str


class Imported(BaseModel):
    new: int
    before: Annotated[int, Field(description="were suppressed already")]
    mistaken: int
    mistakes: Annotated[list[LineMistake], Field(description="the first 100")]


class Requeued(BaseModel):
    matched: Annotated[int, Field(description="recipients that had bounced")]
    changed: Annotated[int, Field(description="sent anew")]
    suppressed: int
    already: Annotated[int, Field(description="were requeued before")]
    gone: Annotated[int, Field(description="whose content is no longer kept")]
    refused: int
    queue_ids: Annotated[list[str], Field(description="of the new messages")]


class Attachment(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    type: str = "application/octet-stream"
    content: Annotated[str, Field(description="base64")]


class Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid")

    from_: Annotated[
        str, Field(alias="from", description="the reverse-path; empty: the null one")
    ] = ""
    to: list[str] = []


class NamedAddress(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = ""
    address: str


Mailbox = Annotated[str | NamedAddress, Field(description="address, or Name <address>")]
Mailboxes = Mailbox | list[Mailbox]


class NewMessage(BaseModel):
    """A message by its fields."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[Mailbox, Field(alias="from")]
    to: Mailboxes = []
    cc: Mailboxes = []
    bcc: Annotated[Mailboxes, Field(description="get it, and are not named in it")] = []
    subject: str = ""
    text: str | None = None
    html: str | None = None
    headers: dict[str, Any] = {}
    attachments: list[Attachment] = []
    tag: str = ""
    test: Annotated[bool, Field(description="goes by the smarthost, whatever the mode")] = False
    envelope: Annotated[Envelope | None, Field(description="other than the fields say")] = None


class Answered(BaseModel):
    rcpt: str
    status: Literal["queued", "refused"]
    code: int
    enhanced: str | None
    reply: str


class Submitted(BaseModel):
    queue_id: str
    message_id: Annotated[str | None, Field(description="the Message-ID header")]
    recipients: list[Answered]
