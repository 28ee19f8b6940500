"""Set one key in the text of a settings file, or take it out, and leave everything else as people wrote it.

Owns where the line goes: in the place of the old value; else behind the comment that shows the key
with its default, as in `etc/relayd.toml`; else behind the last key of its table. Knows nothing of
what the keys mean.

Invariant: the new text says what the old one said but for that key, and has all its comments (those inside a
listener that goes, go with it), or nothing is returned. Both are read again to see it, so a way of writing TOML that this module does
not know costs an error, never a setting.
"""

import re
import tomllib
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import tomlkit
from tomlkit.container import Container
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, Comment, Item, Table

from relayd.config.mistakes import lookup
from relayd.config.model import Key

_NO_WAY = "this file is written in a way that cannot be changed by a command"
_COMMENT = re.compile(r""""(?:\\.|[^"\\])*"|'[^']*'|(#[^\r\n]*)""")


class Uneditable(ValueError):
    """The file is written in a way that cannot be changed here."""


def with_value(text: str, key: Key, value: object) -> str:
    """Return `text`, which is TOML, with `key` set to `value`. Raises Uneditable."""
    for edit in (_by_line, _by_assignment):
        with suppress(TOMLKitError, ValueError, LookupError, TypeError, AttributeError):
            edited = edit(text, key, value)
            as_wanted = tomllib.loads(edited) == _with(tomllib.loads(text), key, value)
            if as_wanted and not Counter(_comments(text)) - Counter(_comments(edited)):
                return edited
    raise Uneditable(_NO_WAY)


def without(text: str, key: Key) -> str:
    """Return `text`, which is TOML, without `key`, or without that listener. Raises Uneditable.

    What is not there is taken out already.
    """
    data = tomllib.loads(text)
    if lookup(data, key) is None:
        return text
    is_listener = len(key) == 2 and key[0] == "listen"
    go = Counter(_comments_in(tomlkit.parse(text), key) if is_listener else ())
    wanted = _tables_with_keys(_without(data, key))
    for edit in (_cut_listener,) if is_listener else (_cut_line, _cut_assignment):
        with suppress(TOMLKitError, ValueError, LookupError, TypeError, AttributeError):
            edited = edit(text, key)
            lost = Counter(_comments(text)) - Counter(_comments(edited)) - go
            if _tables_with_keys(tomllib.loads(edited)) == wanted and not lost:
                return edited
    raise Uneditable(_NO_WAY)


def _comments(text: str) -> list[str]:
    return [found[1] for found in _COMMENT.finditer(text) if found[1]]


def _with(data: dict[str, Any], key: Key, value: object) -> dict[str, Any]:
    """What the new text has to say."""
    holder: Any = data
    for part, below in pairwise(key):
        if isinstance(part, int):
            holder += [{} for _ in range(part + 1 - len(holder))]
            holder = holder[part]
        else:
            holder = holder.setdefault(part, [] if isinstance(below, int) else {})
    holder[key[-1]] = value
    return data


def _without(data: dict[str, Any], key: Key) -> dict[str, Any]:
    """What the new text has to say; the last listener takes the list with it."""
    holder: Any = lookup(data, key[:-1])
    del holder[key[-1]]
    if key[0] == "listen" and not data["listen"]:
        del data["listen"]
    return data


def _cut_line(text: str, key: Key) -> str:
    """Take out the line of a key. A comment after it, or inside its list, stays."""
    mark = f"cut-{uuid.uuid4().hex}"
    document = tomlkit.parse(text)
    _replace(_holder(document, key), str(key[-1]), mark, "\r\n" if "\r\n" in text else "\n")
    line = re.compile(rf'(?m)^([ \t]*)[^\r\n]*"{mark}"[ \t]*(#[^\r\n]*)?(\r?\n|\Z)')
    edited, count = line.subn(
        lambda found: f"{found[1]}{found[2]}{found[3]}" if found[2] else "", tomlkit.dumps(document)
    )
    if count != 1:
        raise LookupError(key)
    return edited


def _cut_assignment(text: str, key: Key) -> str:
    """Let tomlkit take it out of an inline table."""
    document = tomlkit.parse(text)
    del _holder(document, key)[key[-1]]
    return tomlkit.dumps(document)


def _cut_listener(text: str, key: Key) -> str:
    document = tomlkit.parse(text)
    listeners: Any = document["listen"]
    if len(listeners) == 1:
        del document["listen"]
    else:
        del listeners[key[1]]
    return tomlkit.dumps(document)


def _comments_in(document: Container, key: Key) -> list[str]:
    item: Any = lookup(document, key)
    return _comments(f"{item.trivia.comment}\n{item.as_string()}")


def _tables_with_keys(data: dict[str, Any]) -> dict[str, Any]:
    """A table without keys says as much as none."""
    return {name: value for name, value in data.items() if value != {}}


def _by_line(text: str, key: Key, value: object) -> str:
    document = tomlkit.parse(text)
    end = "\r\n" if "\r\n" in text else "\n"
    line = f"{tomlkit.key(str(key[-1])).as_string()} = {_item(value).as_string()}{end}"
    try:
        holder = _holder(document, key)
    except LookupError:
        return _with_table(text, key, line, end)
    if key[-1] in holder:
        _replace(holder, str(key[-1]), value, end)
        return tomlkit.dumps(document)
    container, header = (holder.value, holder) if isinstance(holder, Table) else (holder, None)
    place = _place(container, str(key[-1])) or header
    if place is None:
        return line + text
    if not place.trivia.trail.endswith("\n"):
        place.trivia.trail += end
    place.trivia.trail += line
    return tomlkit.dumps(document)


def _by_assignment(text: str, key: Key, value: object) -> str:
    """Let tomlkit find the place: in an inline table, or among dotted keys."""
    document = tomlkit.parse(text)
    _holder(document, key)[key[-1]] = value
    return tomlkit.dumps(document)


def _item(value: object) -> Item:
    """The value on one line: a table too."""
    if not isinstance(value, dict):
        return tomlkit.item(value)
    table = tomlkit.inline_table()
    table.update(value)
    return table


def _holder(document: Container, key: Key) -> Any:
    holder: Any = document
    for part in key[:-1]:
        holder = holder[part]
    return holder


def _replace(holder: Any, name: str, value: object, end: str) -> None:
    """Comments inside a list that goes are put in front of the new one."""
    old, new = holder[name], _item(value)
    holder[name] = new
    if isinstance(old, Array):
        indent = new.trivia.indent
        above = "".join(f"{indent}{each}{end}" for each in _comments(old.as_string()))
        new.trivia.indent = above + indent


def _place(container: Container, name: str) -> Item | None:
    """Return what the new line follows; None: it is the first of its table."""
    shown = re.compile(rf"# ?{re.escape(name)} *=")
    last = None
    for known, item in container.body:
        if isinstance(item, Comment) and shown.match(item.trivia.comment):
            return item
        if known is not None and not isinstance(item, Table | AoT):
            last = item
    return last


def _with_table(text: str, key: Key, line: str, end: str) -> str:
    """Append the table, or as many of a list as are missing up to the one that is meant."""
    is_of_list = isinstance(key[1], int)
    headers = _missing_tables(text, key) if is_of_list else [_header(key[:-1])]
    start = end if text and not text.endswith("\n") else ""
    return f"{text}{start}{''.join(f'{end}{header}{end}' for header in headers)}{line}"


def _header(table: Key) -> str:
    return f"[{'.'.join(tomlkit.key(str(part)).as_string() for part in table)}]"


def _missing_tables(text: str, key: Key) -> Iterator[str]:
    there = len(tomllib.loads(text).get(str(key[0]), ()))
    return (f"[[{key[0]}]]" for _ in range(there, int(key[1]) + 1))
