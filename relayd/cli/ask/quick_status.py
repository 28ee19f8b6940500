"""`relayd status` in its plain form, as programs ask it: without click, which takes longer than the answer.

Owns which command lines are plain: filters that compare text, `--limit`, `--json` and `-c`. All others,
`--help` and mistakes among them, and a store that is not there or no file, are left to `status` and `command`,
which have the words for them. What is printed is the same, by the same functions.
"""

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from relayd.cli import INTERRUPTED
from relayd.cli.listing import list_recipients, nothing_found
from relayd.cli.notices import show_notices
from relayd.cli.output import Form, drop_output, say_empty
from relayd.config.peek import find_store
from relayd.errors import RelaydError
from relayd.ports.view import Query
from relayd.store import open_view
from relayd.store.url import is_file, is_missing

_SETTINGS = {"-c": "settings", "--config": "settings"}
_FILTERS = {
    "--recipient": "recipient",
    "--domain": "domain",
    "--sender": "sender",
    "--message-id": "message_id_header",
    "--tag": "tag",
}
_VALUES = {**_SETTINGS, **_FILTERS, "--limit": "limit"}
_LIMIT_DIGITS = 18  # of a number that SQLite has


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    settings: str | None
    query: Query
    limit: int | None
    as_json: bool


def answer(arguments: Sequence[str]) -> int | None:
    """Answer a plain question and return the exit status; None, and nothing is printed, for all others."""
    try:
        question = _read(arguments)
        url = None if question is None else find_store(question.settings)
        if question is None or url is None or not is_file(url) or is_missing(url):
            return None
        with closing(open_view(url)) as view:
            show_notices(view, question.settings)
            form = Form.JSON if question.as_json else Form.TABLE
            if not list_recipients(view, [question.query], limit=question.limit, form=form):
                say_empty(nothing_found(question.query))
    except BrokenPipeError:
        drop_output()
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except (RelaydError, OSError) as error:
        from relayd.cli.command import report  # noqa: PLC0415 -- brings click

        return report(error)
    return os.EX_OK


def _read(arguments: Sequence[str]) -> _Question | None:
    """Read a command line; None unless it is plain."""
    given: dict[str, list[str]] = {}
    has_command = as_json = False
    words = iter(arguments)
    for word in words:
        if word == "status" and not has_command:
            has_command = True
        elif word == "--json" and has_command:
            as_json = True
        else:
            name, joined, value = word.partition("=") if word.startswith("--") else (word, "", "")
            key = _VALUES.get(name)
            value = value if joined else next(words, "")
            if key is None or not (has_command or key == "settings") or not _is_plain(key, value):
                return None
            given.setdefault(key, []).append(value)
    limit = given.get("limit", [])
    if not has_command or len(limit) > 1 or not all(map(_is_number, limit)):
        return None
    return _Question(
        settings=given.get("settings", [os.environ.get("RELAYD_CONFIG")])[-1],
        query=Query(**{key: tuple(given.get(key, ())) for key in _FILTERS.values()}),  # type: ignore[arg-type]
        limit=int(limit[0]) if limit else None,
        as_json=as_json,
    )


def _is_plain(key: str, value: str) -> bool:
    """Tell whether the text is the value itself: no option, no brackets to remove, nothing to refuse."""
    if value == "" or not value.isprintable() or value[0] in "-<":
        return False
    match key:
        case "recipient" | "sender":
            return (
                value[0] not in "@*" and "@" in value[:-1] and "*" not in value.rpartition("@")[2]
            )
        case "domain":
            return value[0] != "." and not any(mark in value for mark in "@* ")
        case "message_id_header":
            return "@" in value
        case _:
            return True


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdecimal() and len(value) <= _LIMIT_DIGITS
