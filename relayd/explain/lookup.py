"""Finding a word in the pages: as it is written, a code in a reply, a key as an error names it."""

import re

from relayd.explain.pages import Entry, entries

_INDEX = re.compile(r"\[\d+\]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_CODE = re.compile(r"[2-5]\d\d|[245]\.\d{1,3}\.\d{1,3}")
_SETTING = "setting"
_IN_SMARTHOST = {"smarthosts", "senders"}  # tables of names that have keys of [smarthost]


def explain(word: str) -> list[Entry]:
    """Return what describes the word; empty: nothing does. Raises RelaydError."""
    wanted = word.strip().lower()
    plain = _INDEX.sub("", wanted).strip("[]")  # of a list, or a table as the file has it
    return _named(wanted) or _by_code(wanted) or _named(plain) or _setting(plain)


def _named(wanted: str) -> list[Entry]:
    """Return what has that name, or one below it."""
    found = [entry for entry in entries() if entry.name.lower() == wanted]
    return found + [entry for entry in entries() if entry.name.lower().startswith(f"{wanted}.")]


def names() -> list[str]:
    """Return every word that is explained, each once."""
    return list(dict.fromkeys(entry.name for entry in entries()))


def is_code(word: str) -> bool:
    """Tell whether a word may be the code of a reply, which other servers give too."""
    return _CODE.fullmatch(word.strip()) is not None


def _by_code(word: str) -> list[Entry]:
    """Return our replies that have the code."""
    if not is_code(word):
        return []
    return [entry for entry in entries() if word in entry.name.split() and "reply" in entry.kind]


def _setting(word: str) -> list[Entry]:
    """Return the description of a key, or that of the table that it is in, or all keys of a table."""
    known = [entry for entry in entries() if entry.kind == _SETTING]
    parts = _QUOTED.sub("x", word).split(".")
    if parts[0] in _IN_SMARTHOST and len(parts) > 2:
        beside = ".".join(["smarthost", *parts[2:]])
        if found := [entry for entry in known if entry.name == beside]:
            return found
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if found := [entry for entry in known if entry.name == name]:
            return found
    return []
