"""What keys and the audit look like."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from relayd.console.api.shapes.lists import Next, Prev
from relayd.ports.people import Sees


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
