"""The names of settings on a command line: `smarthost.tls`, `listen.0.address`, `aliases.root`, `routes."*.x.example"`.

Owns reading and writing them. `listen[0].address`, as messages have it, is read as well, and what
follows `routes.` or `aliases.` is one name with or without its quotes, since a shell takes them off. So is
what follows `smarthosts.`, `logins.`, `networks.` or `senders.`, up to the key of that table behind the last dot.
"""

import json
import re
from collections.abc import Mapping

from relayd.config.mistakes import Report
from relayd.config.model import (
    DEFAULTS,
    LISTS_OF_TABLES,
    TABLES_OF_NAMES,
    TABLES_OF_TABLES,
    Key,
    default_value,
    dotted,
)
from relayd.errors import ConfigError

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_INDEX = re.compile(r"\[(\d{1,4})\]")
_TABLES = {name.partition(".")[0] for name in DEFAULTS if "." in name} | TABLES_OF_NAMES.keys()


def parse_key(name: str) -> Key:
    """Return the way to a key or table, which may not exist."""
    table, dot, own = name.partition(".")
    if dot and table in TABLES_OF_TABLES:
        whose, dot, leaf = own.rpartition(".")
        return (table, _bare(whose), leaf) if dot and not _is_quoted(own) else (table, _bare(own))
    if dot and table in TABLES_OF_NAMES:
        return (table, _bare(own))
    first, *rest = _INDEX.sub(r".\1", name).split(".")
    is_list = first == "listen" or first in LISTS_OF_TABLES
    number_first = is_list and rest and rest[0].isdecimal() and len(rest[0]) < 5
    return (first, int(rest[0]), *rest[1:]) if number_first else (first, *rest)


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] and text[0] in "'\""


def _bare(text: str) -> str:
    return text[1:-1] if _is_quoted(text) else text


def name_of(key: Key) -> str:
    """Return the name that `parse_key` reads."""
    shown = [str(part) for part in key]
    if key[0] in TABLES_OF_NAMES and len(key) > 1 and not _BARE.fullmatch(shown[1]):
        shown[1] = json.dumps(shown[1], ensure_ascii=False)
    return ".".join(shown)


def is_listener(key: Key) -> bool:
    """Whether it stands for all keys of one listener."""
    return key[0] == "listen" and len(key) == 2 and isinstance(key[1], int)


def is_table(key: Key) -> bool:
    """Whether it stands for several keys: a table, or a listener."""
    is_named = len(key) == 2 and key[0] in TABLES_OF_TABLES
    return is_listener(key) or is_named or key in {(name,) for name in _TABLES}


def wants_list(key: Key) -> bool:
    """Whether the value of this key is a list."""
    return isinstance(default_value(key), list)


def check_key(key: Key, file: str, data: Mapping[str, object], *, one: bool) -> None:
    """Raise ConfigError, with the nearest right key, for one that does not exist.

    `one`: a table will not do, nor a listener beyond the first that is missing in `data`.
    """
    report = Report(file, data)
    if is_table(key):
        if one and key[0] in TABLES_OF_NAMES:
            report.add_expected(key, f"expected {TABLES_OF_NAMES[str(key[0])]}")
        elif one:
            report.add_table(key)
    elif key[0] == "listen" and not isinstance(key[1], int):
        report.add_expected(key, "expected the number of a listener, such as listen.0.address")
    elif not is_known(key):
        whole = key[:-1]
        if str(key[-1]).isdecimal() and isinstance(DEFAULTS.get(dotted(whole)), list | tuple):
            report.add_expected(whole, 'is one list: set all of it, such as \'["a", "b"]\'')
        else:
            report.add_unknown(key)
    elif one and len(key) > 1 and isinstance(key[1], int):
        _check_number(key[1], key, report)
    if report.mistakes:
        raise ConfigError(tuple(report.mistakes))


def is_known(key: Key) -> bool:
    """Tell whether settings may have such a key."""
    return is_table(key) or _is_named(key) or _is_in_list(key) or dotted(key) in DEFAULTS


def _is_named(key: Key) -> bool:
    """Whether it is a key that exists below a name of the operator's."""
    if key[0] in TABLES_OF_TABLES:
        return len(key) == 3 and key[2] in TABLES_OF_TABLES[str(key[0])].model_fields
    return key[0] in TABLES_OF_NAMES


def _is_in_list(key: Key) -> bool:
    """Whether it is a key of one table of a list, such as dkim.0.selector."""
    table = LISTS_OF_TABLES.get(str(key[0]))
    is_one = len(key) == 3 and isinstance(key[1], int)
    return table is not None and is_one and key[2] in table.model_fields


def _check_number(number: int, key: Key, report: Report) -> None:
    name = str(key[0])
    written = report.data.get(name)
    least = 1 if name == "listen" else 0  # there without being written
    count = max(least, len(written)) if isinstance(written, list) else least
    if number > count:
        report.add_expected(key, f"expected {name}.0 to {name}.{count}, which would be a new one")
