"""What destinations and the queue look like."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field


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
