"""What settings look like."""

from typing import Annotated, Any

from pydantic import BaseModel, Field


class Setting(BaseModel):
    key: str
    value: Any
    default: Any
    from_: Annotated[
        str, Field(alias="from", description="`default`, `file`, `console`, or `environment`")
    ]


class Settings(BaseModel):
    settings: list[Setting]
    may_change: list[str]
