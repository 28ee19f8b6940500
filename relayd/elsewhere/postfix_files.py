"""The files of Postfix: main.cf with its `$name`s, and lookup tables by their sources.

Where the program `postconf` is there, it reads main.cf, and so what counts for Postfix counts here. Tables are read as the
text that `postmap` makes them of, never as databases.

Source: postconf(5), postconf(1), DATABASE_README.
"""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from relayd.elsewhere.found import Found
from relayd.elsewhere.lines import logical_lines, main_text, text_of

_DEEPEST = 20  # `$name`s in each other
_LONGEST = 1 << 16  # characters of a value
_PATIENCE = 10.0  # seconds for postconf
_TEXTS = {"hash", "btree", "texthash", "lmdb", "cdb", "dbm", "sdbm"}
_NAME = r"[A-Za-z0-9_]+"
_REFERENCE = re.compile(
    rf"\$(?:(\$)|({_NAME})|\{{({_NAME})\}}|\(({_NAME})\)|\{{({_NAME})([?:])((?:[^{{}}]|\{{[^{{}}]*\}})*)\}})"
)
_BRACED = re.compile(r"\s*\{([^{}]*)\}\s*(?::\s*\{?([^{}]*)\}?)?\s*")


def parameters(path: Path, found: Found) -> Mapping[str, str]:
    """Return what main.cf sets, with the values of `$name`s in their places. `path` is that file."""
    written = written_parameters(path, found)
    if (told := _by_postconf(path)) is not None:
        return told
    base = {
        "myhostname": socket.getfqdn(),
        "myorigin": "$myhostname",
        "config_directory": str(path.parent),
    }
    base["mydomain"] = (
        written.get("myhostname", base["myhostname"]).partition(".")[2] or "localdomain"
    )
    base["mydestination"] = "$myhostname, localhost.$mydomain, localhost"
    return {name: expanded(value, {**base, **written}) for name, value in written.items()}


def written_parameters(path: Path, found: Found) -> dict[str, str]:
    """Return the parameters as they are written; the last one of a name counts."""
    pairs = (line.partition("=") for line in logical_lines(main_text(path, found)))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _by_postconf(path: Path) -> dict[str, str] | None:
    """Return what postconf says; None where there is no such program, or it does not read this folder."""
    program = shutil.which("postconf", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None or path.name != "main.cf":
        return None
    try:
        done = subprocess.run(  # noqa: S603 -- found in a folder of the system
            [program, "-c", str(path.parent), "-xn"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def expanded(
    value: str,
    parameters: Mapping[str, str],
    depth: int = 0,
    known: dict[str, str] | None = None,
) -> str:
    """Put values in the places of `$name`, `${name}`, `${name?text}`, `${name:text}`; an unknown one is empty.

    So is one that has itself in it, or would be longer than any that is meant. Each name is looked up once.
    """
    known = {} if known is None else known
    if depth > _DEEPEST:
        return ""

    def of(name: str) -> str:
        if name not in known:
            known[name] = ""  # if it comes up in itself
            known[name] = expanded(parameters.get(name, ""), parameters, depth + 1, known)
        return known[name]

    def put(found: re.Match[str]) -> str:
        if found[1]:
            return "$"
        text = of(found[2] or found[3] or found[4] or found[5])
        if not found[6]:
            return text
        chosen = _chosen(found[7], is_set=bool(text) == (found[6] == "?"))
        return expanded(chosen, parameters, depth + 1, known)

    parts, length, end = [], 0, 0
    for reference in _REFERENCE.finditer(value):
        parts += [value[end : reference.start()], put(reference)]
        end = reference.end()
        length += len(parts[-1]) + len(parts[-2])
        if length > _LONGEST:
            return ""
    return "".join([*parts, value[end:]])


def _chosen(text: str, *, is_set: bool) -> str:
    """Return the text that holds, of `text`, `{text}` or `{text}:{other}`."""
    braced = _BRACED.fullmatch(text)
    if braced is None:
        return text if is_set else ""
    return braced[1].strip() if is_set else (braced[2] or "").strip()


def words(value: str) -> list[str]:
    """Return the items of a list; commas and blanks are between them, but not inside braces."""
    return [each for each in re.findall(r"(?:[^\s,{}]|\{[^{}]*\})+", value) if each]


class Tables:
    """Lookup tables, by the parameters that name them."""

    def __init__(self, found: Found, values: Mapping[str, str]) -> None:
        self._found = found
        self._default = values.get("default_database_type", "hash")
        self._values = values

    def named_by(self, parameter: str) -> dict[str, str]:
        """Return the entries of all tables of a parameter; the first one of a key counts."""
        entries: dict[str, str] = {}
        for table in words(self._values.get(parameter, "")):
            for key, value in self._entries(table.removeprefix("proxy:"), parameter):
                entries.setdefault(key, value)
        return entries

    def texts_of(self, parameter: str) -> Iterator[tuple[Path, str]]:
        """Give the sources of tables in other forms than `key value`, such as aliases."""
        for table in words(self._values.get(parameter, "")):
            kind, colon, name = table.removeprefix("proxy:").partition(":")
            if not colon:
                kind, name = self._default, table
            if kind in _TEXTS:
                yield (
                    Path(name),
                    text_of(Path(name), self._found, is_needed=not name.endswith("/aliases")),
                )
            elif kind in {"regexp", "pcre"} and parameter.endswith("header_checks"):
                yield Path(name), text_of(Path(name), self._found)
            else:
                self._cannot_read(parameter, kind)

    def _entries(self, table: str, parameter: str) -> Iterator[tuple[str, str]]:
        kind, colon, name = table.partition(":")
        if not colon:
            kind, name = self._default, table
        if kind in _TEXTS:
            for line in logical_lines(text_of(Path(name), self._found)):
                key, *rest = line.split(None, 1)
                yield key.lower(), rest[0].strip() if rest else ""
        elif kind == "inline":
            for each in re.findall(r"([^\s,{}=]+)\s*=\s*([^,{}]*)", name):
                yield each[0].lower(), each[1].strip()
        elif kind == "static":
            yield "*", name
        else:
            self._cannot_read(parameter, kind)

    def _cannot_read(self, parameter: str, kind: str) -> None:
        self._found.note(
            f"main.cf: {parameter}",
            f"a table of the type {kind} cannot be read here: write what it says into the settings by hand",
        )
