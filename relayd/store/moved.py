"""What a queue says of itself when it was copied to another store: which of the two may be served.

The mark is a row of `meta` in each of the two. It is there from the first row that is copied to the day that the old
queue is deleted, so a daemon that is started on the wrong one finds it. Imports no engine.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from relayd.errors import StoreMoved

LEAVING, ARRIVING = "copied_to", "copied_from"
"""Keys in `meta`: in the queue that is copied, and in its copy."""

UNDER_WAY, DONE, GIVEN_UP = "under way", "done", "given up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A copy, as both queues know it."""

    copy: str  # what tells this copy from others
    source: str  # the URL for people
    target: str
    command: str  # that makes it, as for a shell
    state: str = UNDER_WAY
    table: str = ""  # in the target: the table that is copied now
    after: tuple[Any, ...] | None = (
        None  # the key of its last row that was copied; None: no row yet
    )
    workers: int = 0  # in the target: how many workers it had when it was complete

    def dump(self) -> bytes:
        """Write it as the value of a row."""
        told = asdict(self)
        if self.after is not None:
            told["after"] = [_plain(each) for each in self.after]
        return json.dumps(told, ensure_ascii=False).encode()


def read(value: bytes | None) -> Mark | None:
    """Read a row's value; None where there is no row."""
    if value is None:
        return None
    told = json.loads(value)
    after = told.pop("after")
    return Mark(**told, after=None if after is None else tuple(map(_rich, after)))


def check_served(leaving: bytes | None, arriving: bytes | None) -> None:
    """Raise StoreMoved, which says what to do, for a queue that no relayd may serve."""
    if why := why_not_served(leaving, arriving):
        raise StoreMoved(why)


def why_not_served(leaving: bytes | None, arriving: bytes | None) -> str:
    """Say why no relayd may serve a queue with these rows, and what to do; empty: it may."""
    gone, come = read(leaving), read(arriving)
    if gone is not None and gone.state == DONE:
        return (
            f"the queue went from {gone.source} to {gone.target}: name that in store.url;"
            f" to stay here, run {gone.command} --undo"
        )
    if gone is not None:
        return (
            f"the queue is being copied from {gone.source} to {gone.target}: go on with {gone.command};"
            " with --undo that gives the copy up"
        )
    if come is not None and come.state == UNDER_WAY:
        return (
            f"the copy of {come.source} in {come.target} is not complete: go on with {come.command}"
        )
    if come is not None and come.state == GIVEN_UP:
        return f"the copy of {come.source} in {come.target} was given up: name another store in store.url"
    return ""


def _plain(part: Any) -> Any:
    """Return a part of a key as JSON has it."""
    if isinstance(part, bytes):
        return {"octets": part.hex()}
    return list(part) if isinstance(part, tuple) else part


def _rich(part: Any) -> Any:
    if isinstance(part, dict):
        return bytes.fromhex(part["octets"])
    return tuple(part) if isinstance(part, list) else part
