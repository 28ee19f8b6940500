"""What health and the findings of doctor look like."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field


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
