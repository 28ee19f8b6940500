"""Suppressed addresses: one by one, and as lists."""

from collections import Counter
from collections.abc import AsyncIterator
from enum import StrEnum
from functools import partial
from typing import Annotated

import orjson
from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from relayd.answers.csv_lines import csv_line
from relayd.answers.suppressions import COLUMNS, csv_cells, foresee, suppression_fields
from relayd.console.api.answers import answer
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.filters import Text, bare_address, read
from relayd.console.api.problems import Problem, wrong
from relayd.console.api.resource import resources
from relayd.console.api.shapes import addresses as shapes
from relayd.console.suppression_lists import TooLong, all_suppressions, lines_of
from relayd.control import client
from relayd.control.suppress import batches
from relayd.mail.address import parse_address
from relayd.mail.suppression import EVERYBODY, ToSuppress
from relayd.mail.to_suppress import parse_to_suppress
from relayd.policy.console.roles import Scope

router = resources("addresses")
_Reader = Annotated[Caller, Depends(Needs(Scope.READ))]
_Operator = Annotated[Caller, Depends(Needs(Scope.OPERATE))]
_LISTS = ("text/csv", "text/plain")
_NO_LISTS = (
    "application/json",
    "multipart/",
)  # else by whatever name: clients give their own to what they do not know
_LIST = {
    "requestBody": {
        "required": True,
        "content": {each: {} for each in _LISTS},
    }
}
_TOLD = 100  # mistakes


class Form(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


class Export(BaseModel):
    model_config = ConfigDict(extra="forbid")

    form: Form = Form.CSV


class Import(BaseModel):
    model_config = ConfigDict(extra="forbid")

    dry_run: Annotated[bool, Field(description="only say what each line would do")] = False
    reason: Annotated[str, Field(max_length=1000, description="for lines without one")] = ""


class Suppress(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(max_length=1000)] = ""
    from_: Annotated[
        Text | None, Field(alias="from", description="only for mail of this sender")
    ] = None


@router.get(
    "/addresses/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "a line for each suppression",
            "content": {"text/csv": {}, "application/jsonl": {}},
        }
    },
)
async def export(params: Annotated[Export, Query()], caller: _Reader) -> Response:
    """Give all suppressed addresses, as `relayd addresses export` does."""
    if params.form is Form.CSV:
        return StreamingResponse(_csv(caller), media_type="text/csv")
    return StreamingResponse(_jsonl(caller), media_type="application/jsonl")


@router.post("/addresses/import", response_model=shapes.Imported, openapi_extra=_LIST)
async def import_list(params: Annotated[Import, Query()], caller: _Operator) -> Response:
    """Suppress the addresses of a list: CSV whose first line names the columns, or one address a line.

    Lines with mistakes are left out, and told; so are those that are not UTF-8.
    """
    kind = caller.media_type
    if kind.startswith(_NO_LISTS):
        raise Problem(415, f"a list is {' or '.join(_LISTS)}, in UTF-8")
    text = (await caller.request.body()).decode("utf-8-sig", "surrogateescape")
    try:
        lines = lines_of(text, params.reason)
    except TooLong as error:
        raise Problem(413, str(error)) from error
    if not lines:
        raise wrong("body", "it is empty", "a list of addresses")
    counts: Counter[str] = Counter()
    if params.dry_run:
        counts.update(await caller.ask(lambda view: [each.does for each in foresee(lines, view)]))
    else:
        for batch in batches(line.wanted for line in lines if line.wanted is not None):
            told = await caller.change(partial(client.suppress, wanted=batch))
            counts.update("new" if is_new else "before" for is_new in told)
    mistakes = [
        {"line": each.number, "message": each.mistake} for each in lines if each.wanted is None
    ]
    return answer(
        {
            "new": counts["new"],
            "before": counts["before"],
            "mistaken": len(mistakes),
            "mistakes": mistakes[:_TOLD],
        }
    )


@router.put("/addresses/{rcpt:address}/suppression", response_model=shapes.Changed)
async def suppress(rcpt: Text, wanted: Suppress, caller: _Operator) -> Response:
    """Suppress an address, for all mail or for that of one sender. `changed`: it was not, before."""
    sender = EVERYBODY if wanted.from_ is None else _address("from", wanted.from_)
    each = ToSuppress(
        address=str(read("rcpt", parse_to_suppress, bare_address(rcpt))),
        scope=sender,
        reason=wanted.reason,
    )
    new = await caller.change(partial(client.suppress, wanted=[each]))
    return answer({"rcpt": each.address, "changed": any(new)})


@router.delete("/addresses/{rcpt:address}/suppression", response_model=shapes.Changed)
async def unsuppress(rcpt: Text, caller: _Operator) -> Response:
    """Forget what speaks against an address. `changed`: it was suppressed, before."""
    address = _address("rcpt", rcpt)
    changed = await caller.change(partial(client.unsuppress, address=address))
    return answer({"rcpt": address, "changed": changed})


async def _csv(caller: Caller) -> AsyncIterator[str]:
    yield csv_line(COLUMNS)
    async for found in all_suppressions(caller.ask):
        yield "".join(csv_line(csv_cells(each)) for each in found)


async def _jsonl(caller: Caller) -> AsyncIterator[bytes]:
    async for found in all_suppressions(caller.ask):
        yield b"".join(
            orjson.dumps(
                {"rcpt": each.address, **suppression_fields(each)}, option=orjson.OPT_APPEND_NEWLINE
            )
            for each in found
        )


def _address(name: str, text: str) -> str:
    return str(read(name, parse_address, bare_address(text)))
