"""What an error looks like."""

from typing import Annotated

from pydantic import BaseModel, Field


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
