"""What a settings file says that is no TOML as a whole: of its tables those that are.

Who asks what became of mail needs to know one table, and the mistake is likely in another. A table that cannot be read
is passed over only if nothing in it can be about what is asked for: nothing is guessed.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

_HEADER = re.compile(r"(?m)^(?=[ \t]*\[)")
_COMMENT = re.compile(r"(?m)^[ \t]*#.*$")
_OVER_LINES = ('"""', "'''")  # text that may have lines like the head of a table


@dataclass(frozen=True, slots=True)
class Wanted:
    table: str
    words: re.Pattern[str]  # in whatever is about it, also where its name is mistyped


def sound_tables(text: str, wanted: Wanted) -> Mapping[str, object]:
    """Return the tables that can be read. Raises ValueError where what is wanted may be in another, or twice."""
    found: dict[str, object] = {}
    for part in _HEADER.split(text):
        try:
            said = tomllib.loads(part)
        except (ValueError, RecursionError) as error:
            is_about = wanted.words.search(_COMMENT.sub("", part))
            if is_about or any(each in part for each in _OVER_LINES):
                raise ValueError(f"{wanted.table} may be in what is no TOML") from error
            continue
        if wanted.table in said and wanted.table in found:
            raise ValueError(f"{wanted.table} is there twice")
        found |= said
    return found
