"""What an act answers."""

from typing import Annotated

from pydantic import BaseModel, Field


class Acted(BaseModel):
    matched: Annotated[int, Field(description="recipients that were looked at")]
    changed: int
    next: Annotated[str | None, Field(description="ask again with it as `cursor`; null: all done")]
