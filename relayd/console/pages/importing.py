"""A list of addresses to suppress: first what each line would do, then doing it."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from starlette.datastructures import QueryParams, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from relayd.answers.suppressions import Line, read_list
from relayd.console.asked import Asked
from relayd.control import client
from relayd.control.suppress import batches
from relayd.mail.suppression import EVERYBODY, ToSuppress
from relayd.ports.view import QueueView

_MOST = 10_000  # lines
_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What a line would do: `new`, `before` (suppressed already) or `mistake`."""

    line: Line
    does: str


async def show(asked: Asked) -> Response:
    return asked.page("import.html", text="", reason="", foreseen=(), counts={}, left_out=0)


async def foresee(asked: Asked) -> Response:
    """Say of each line what it would do; nothing is changed."""
    text, reason = await _text(asked), asked.text("reason")
    foreseen = await asked.ask(partial(_foresee, _lines(text, reason)))
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
        text = (await upload.read()).decode("utf-8-sig", "replace")
    if not text.strip():
        raise HTTPException(400, "the list is empty: choose a file, or write one address a line")
    return text


def _lines(text: str, reason: str) -> Sequence[Line]:
    lines = []
    for line in read_list(io.StringIO(text)):
        wanted = line.wanted
        if wanted is not None and reason and not wanted.reason:
            wanted = ToSuppress(address=wanted.address, scope=wanted.scope, reason=reason)
        lines.append(Line(number=line.number, wanted=wanted, mistake=line.mistake))
        if len(lines) > _MOST:
            raise HTTPException(413, f"a list has at most {_MOST} addresses: import it in parts")
    return lines


def _foresee(lines: Sequence[Line], view: QueueView) -> Sequence[Foreseen]:
    return [Foreseen(line=line, does=does) for line, does in _each(lines, view)]


def _each(lines: Sequence[Line], view: QueueView) -> Iterator[tuple[Line, str]]:
    seen: set[tuple[str, str]] = set()
    for line in lines:
        if line.wanted is None:
            yield line, "mistake"
            continue
        address, scope = line.wanted.address.lower(), line.wanted.scope.lower()
        is_old = (
            not seen.isdisjoint({(address, scope), (address, EVERYBODY)})
            or view.is_suppressed(address, sender=scope) is True
        )
        seen.add((address, scope))
        yield line, "before" if is_old else "new"
