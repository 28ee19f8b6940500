"""A list of addresses to suppress: first what each line would do, then doing it."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from starlette.datastructures import QueryParams, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from relayd.answers.suppressions import Line
from relayd.answers.suppressions import foresee as foresee_lines
from relayd.console.asked import Asked
from relayd.console.suppression_lists import TooLong, lines_of
from relayd.control import client
from relayd.control.suppress import batches

_SHOWN = 200


async def show(asked: Asked) -> Response:
    return asked.page("import.html", text="", reason="", foreseen=(), counts={}, left_out=0)


async def foresee(asked: Asked) -> Response:
    """Say of each line what it would do; nothing is changed."""
    text, reason = await _text(asked), asked.text("reason")
    lines = _lines(text, reason)
    foreseen = await asked.ask(lambda view: list(foresee_lines(lines, view)))
    # What wants to be looked at comes first.
    ordered = sorted(foreseen, key=lambda each: each.does != "mistake")
    return asked.page(
        "import.html",
        text=text,
        reason=reason,
        foreseen=ordered[:_SHOWN],
        counts=Counter(each.does for each in foreseen),
        left_out=max(len(foreseen) - _SHOWN, 0),
    )


async def apply(asked: Asked) -> Response:
    """Suppress the addresses of the list; lines with mistakes are left out, as was shown before."""
    lines = _lines(await _text(asked), asked.text("reason"))
    changed = 0
    for batch in batches(line.wanted for line in lines if line.wanted is not None):
        changed += sum(await asked.change(partial(client.suppress, wanted=batch)))
    return asked.done("/addresses", QueryParams(show="suppressed"), "suppress", changed)


async def _text(asked: Asked) -> str:
    """Return the list: a file if there is one, else what was typed. Raises HTTPException."""
    upload = asked.form.get("file")
    text = str(asked.form.get("list", ""))
    if isinstance(upload, UploadFile) and upload.filename:
        text = _decoded(await upload.read())
    if not text.strip():
        raise HTTPException(400, "the list is empty: choose a file, or write one address a line")
    return text


def _decoded(octets: bytes) -> str:
    """Return the text of a file. Raises HTTPException where that would be a guess."""
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise HTTPException(
            400, f"line {line} of the file is not UTF-8: save it as UTF-8"
        ) from error


def _lines(text: str, reason: str) -> Sequence[Line]:
    try:
        return lines_of(text, reason)
    except TooLong as error:
        raise HTTPException(413, str(error)) from error
