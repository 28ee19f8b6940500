"""What a settings file says that is no TOML as a whole: of its tables those that are.

Who asks what became of mail needs to know one table, and the mistake is likely in another. Nothing is
guessed: a table that cannot be read, or is there twice, must have nothing in it that can be about what is asked for.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

_HEADER = re.compile(r"(?m)^(?=[ \t]*\[)")
_HEAD = re.compile(r"[ \t]*\[[ \t]*([^\[\]\n]+?)[ \t]*\]")  # not of one of several tables
_COMMENT = re.compile(r"(?m)^[ \t]*#.*$")
_OVER_LINES = ('"""', "'''")  # text that may have lines like the head of a table


@dataclass(frozen=True, slots=True)
class Wanted:
    table: str
    words: re.Pattern[str]  # in whatever is about it, also where its name is mistyped


def sound_tables(text: str, wanted: Wanted) -> Mapping[str, object]:
    """Return the tables that can be read. Raises ValueError where what is wanted may be in another, or twice."""
    found: dict[str, object] = {}
    parts: dict[str, str] = {}  # by the head of their table
    for part in _HEADER.split(text):
        said, unsound = _read(part)
        if head := _HEAD.match(part):
            if head[1] in parts:  # what is below one of both may belong to another table
                unsound += parts[head[1]] + part
            parts[head[1]] = part
        is_about = wanted.words.search(_COMMENT.sub("", unsound))
        if is_about or any(each in unsound for each in _OVER_LINES):
            raise ValueError(f"{wanted.table} may be in what is no TOML")
        if wanted.table in said and wanted.table in found:
            raise ValueError(f"{wanted.table} is there twice")
        found |= said
    return found


def _read(part: str) -> tuple[Mapping[str, object], str]:
    """Return what a part says, and the part itself if it cannot be read."""
    try:
        return tomllib.loads(part), ""
    except (ValueError, RecursionError):
        return {}, part
