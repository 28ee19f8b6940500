"""What a message looks like that is handed in, and the answer."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


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
