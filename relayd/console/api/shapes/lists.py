"""Where the pages beside a page of a list are."""

from typing import Annotated

from pydantic import Field

Next = Annotated[
    str | None, Field(description="the cursor of the next page; null: this is the last")
]
Prev = Annotated[
    str | None, Field(description="the cursor of the page before; null: this is the first")
]
