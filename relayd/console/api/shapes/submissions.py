"""What a message looks like that is handed in, and the answer."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Attachment(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=200, description="a file name without a path")]
    type: Annotated[
        str, Field(description="a media type; it may have parameters, as text/plain; charset=utf-8")
    ] = "application/octet-stream"
    content: Annotated[str, Field(description="base64")]
    content_id: Annotated[
        str,
        Field(
            max_length=200,
            description="HTML shows it where it says cid: and this; empty: it is a file",
        ),
    ] = ""


class NamedAddress(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = ""
    address: str


Mailbox = Annotated[str | NamedAddress, Field(description="address, or Name <address>")]
Mailboxes = Mailbox | Annotated[list[Mailbox], Field(max_length=1000)]


class Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid")

    from_: Annotated[
        Mailbox | None,
        Field(
            alias="from", description="the reverse-path; empty: the null one; null: that of `from`"
        ),
    ] = None
    to: Annotated[Mailboxes | None, Field(description="null: those of to, cc and bcc")] = None


class NewMessage(BaseModel):
    """A message by its fields."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[Mailbox, Field(alias="from")]
    to: Mailboxes = []
    cc: Mailboxes = []
    bcc: Annotated[Mailboxes, Field(description="get it, and are not named in it")] = []
    subject: Annotated[str, Field(max_length=998)] = ""
    text: str | None = None
    html: str | None = None
    headers: Annotated[
        dict[str, str | NamedAddress | list[Mailbox]],
        Field(max_length=100, description="text; Reply-To and Sender: mailboxes"),
    ] = {}
    attachments: Annotated[list[Attachment], Field(max_length=100)] = []
    tag: Annotated[str, Field(max_length=200)] = ""
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
