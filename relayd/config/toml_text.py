"""Values as a settings file: for files that relayd makes. Those of operators are changed by `relayd.config.edit`.

Invariant: `tomllib` reads from the text what was given, or ValueError is raised.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping

from relayd.config.model import TABLES_OF_TABLES

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_of(values: Mapping[str, object], about: str) -> str:
    """Return a file that begins with the comment `about`, one line or more. Raises ValueError."""
    text = "\n".join([*(f"# {line}" for line in about.splitlines()), *_lines(values)]) + "\n"
    if tomllib.loads(text) != values:
        raise ValueError("these settings cannot be written as TOML")
    return text


def _lines(values: Mapping[str, object]) -> Iterator[str]:
    """Give keys without a table first: after a header they would be in its table."""
    yield from (_pair(name, value) for name, value in values.items() if not _is_table(value))
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _table(name, value)
        elif isinstance(value, list) and _is_table(value):
            for each in value:
                yield from ("", f"[[{name}]]", *_pairs(each))


def _table(name: str, table: Mapping[str, object]) -> Iterator[str]:
    if name not in TABLES_OF_TABLES or not table:
        yield from ("", f"[{name}]", *_pairs(table))
        return
    for below, keys in table.items():
        assert isinstance(keys, Mapping)
        yield from ("", f"[{name}.{_key(below)}]", *_pairs(keys))


def _pairs(table: Mapping[str, object]) -> Iterator[str]:
    return (_pair(name, value) for name, value in table.items())


def _pair(name: str, value: object) -> str:
    return f"{_key(name)} = {_value(value)}"


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)
    )


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: object) -> str:
    match value:
        case Mapping():
            return f"{{ {', '.join(_pairs(value))} }}" if value else "{}"
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case _:
            return json.dumps(value)
