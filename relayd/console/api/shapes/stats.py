"""What counted outcomes and delays look like."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field


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
