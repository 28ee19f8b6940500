"""What recipients, messages and events look like."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from relayd.console.api.shapes.lists import Next, Prev
from relayd.mail.words import BounceClass, Category, EventKind
from relayd.ports.view import Status


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
    held: dict[str, Any] | None
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
    tls_policy: str = ""
    tls_proof: str = ""
    tls_result: str = ""
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
    report: str = ""
    unreported: bool = False
    feedback_type: str = ""
    dkim: str = ""
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


class Requeued(BaseModel):
    matched: Annotated[int, Field(description="recipients that had bounced")]
    changed: Annotated[int, Field(description="sent anew")]
    suppressed: int
    already: Annotated[int, Field(description="were requeued before")]
    gone: Annotated[int, Field(description="whose content is no longer kept")]
    refused: int
    queue_ids: Annotated[list[str], Field(description="of the new messages")]
