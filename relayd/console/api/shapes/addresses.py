"""What addresses look like, and lists of suppressed ones."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from relayd.console.api.shapes.lists import Next, Prev
from relayd.ports.view import Status


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
