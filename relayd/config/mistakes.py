"""Tell people what is wrong in their settings file.

Owns reading a TOML mapping into a Document while gathering every mistake, and how a key and a
value are printed. A value is shortened, kept to one line, and hidden wherever it might be a
secret, also a misplaced one: under an unknown key, in a URL, or in front of an "@".
"""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from relayd.config.model import (
    DEFAULTS,
    LISTS_OF_TABLES,
    PLACEHOLDER_FQDN,
    TABLES_OF_NAMES,
    TABLES_OF_TABLES,
    Document,
    Key,
    dotted,
)
from relayd.config.nearest import nearest
from relayd.errors import Mistake
from relayd.mail.text import replaced

ENVIRONMENT = "environment"
"""In the place of a file's name."""
_SHOWN = 60  # characters of a value
_BEHIND_SCHEME = re.compile(r"(?s)(://|^postgres(?:ql)?:).*")
_BEFORE_AT = re.compile(r"(?s)^.*@")
_BARE = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Somebody may have written the secret itself where its file's name belongs.
_SECRETS = {
    **dict.fromkeys(
        ("smarthost", "smarthosts"),
        (
            "password_file",
            "token_file",
            "key_file",
            "oauth2_client_secret_file",
            "oauth2_key_file",
        ),
    ),
    "tls": ("key",),
    "store": ("password_file",),
    "dkim": ("key_file",),
    "console": ("secret_file",),
}
# What limits one way out says nothing of the other: no hint leads from here to there.
_OTHER_WAY = {"smarthost": "direct.", "direct": "smarthost."}
_EXPECTED = {
    "bool_type": "expected true or false",
    "string_type": "expected text in quotes",
    "list_type": "expected a list in square brackets",
    "model_type": "expected a table of keys",
    "dict_type": "expected a table of keys",
}


def show_key(key: Key) -> str:
    """`listen[0].address`; a part that is no bare key of TOML is quoted and shortened."""
    shown = ""
    for part in key:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            name = part if _BARE.fullmatch(part) else json.dumps(part[:_SHOWN])
            shown += f".{name}" if shown else name
    return shown


def _is_secret(key: Key) -> bool:
    """Whether the value may be a secret: that of a key, or of what is written in the place of its table."""
    names = _SECRETS.get(str(key[0]), ())
    is_table = len(key) == 1 + (key[0] in TABLES_OF_TABLES) or key == ("smarthosts",)
    return key[-1] in names or (is_table and key[0] in ("smarthost", "smarthosts"))


def show_value(value: object) -> str:
    """One printable line without secrets."""
    match value:
        case str():
            open_part = _BEFORE_AT.sub("…@", _BEHIND_SCHEME.sub(r"\1…", value))
            shown = json.dumps(open_part[: _SHOWN + 1], ensure_ascii=False)
            shown = replaced(shown)
            return shown if len(shown) <= _SHOWN else f'{shown[: _SHOWN - 2]}…"'
        case bool():
            return str(value).lower()
        case int() if abs(value) >= 1 << 63:  # str() refuses numbers that are long enough
            return "a huge number"
        case list():
            return "a list" if value else "[]"
        case dict():
            return "a table"
        case _:
            return str(value)


@dataclass(slots=True)
class Report:
    """The mistakes found so far in one file, and in the variables that are laid over it."""

    file: str
    data: Mapping[str, object]
    mistakes: list[Mistake] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # about what is no mistake
    broken: set[Key] = field(default_factory=set)  # keys and tables that may not mean what they say
    variables: Mapping[Key, str] = field(default_factory=dict)  # of the environment, by their keys
    elsewhere: Mapping[Key, str] = field(default_factory=dict)  # files that other keys come from

    def add(self, key: Key, expected: str) -> None:
        """Note one mistake; the value is looked up in the data."""
        value = lookup(self.data, key)
        shown = "" if value is None or _is_secret(key) else show_value(value)
        self._append(key, shown, expected)

    def warn(self, key: Key, warning: str) -> None:
        """Note what is to be said about a key, if anything is."""
        if warning:
            self.warnings.append(f"{show_key(key)}: {warning}")

    def add_unknown(self, key: Key) -> None:
        """Note a key that does not exist; its value may be a secret, and meant for its table."""
        if len(key) > 1:
            self.broken.add(key[:-1])
        self._append(key, "", f"unknown key{_nearest(key)}")

    def add_expected(self, key: Key, expected: str) -> None:
        """Note a key that was asked for wrongly; the file has no part in it."""
        self._append(key, "", expected)

    def add_table(self, key: Key) -> None:
        """Note a table that was taken for a key."""
        self._append(key, "", f"expected one key of this table; {_keys_of(dotted(key))}")

    def _append(self, key: Key, shown: str, expected: str) -> None:
        variable = variable_at(self.variables, key)
        self.mistakes.append(
            Mistake(
                file=ENVIRONMENT if variable else self.elsewhere.get(key, self.file),
                key=show_key(key),
                value=shown,
                expected=expected,
                variable=variable,
            )
        )

    def is_sound(self, *keys: Key) -> bool:
        """None of these values is a default in the place of a mistake."""
        return not any(key[: len(bad)] == bad for key in keys for bad in self.broken)


def variable_at(variables: Mapping[Key, str], key: Key) -> str:
    """Return the variable that gave a value, or what the value is in; empty: none did."""
    ways = (key[:length] for length in range(len(key), 0, -1))
    return next((variables[way] for way in ways if way in variables), "")


def read_document(report: Report) -> Document:
    """Read `report.data`; what is wrong goes into the report and is replaced by its default."""
    try:
        return Document.model_validate(report.data)
    except ValidationError as wrong:
        errors = wrong.errors(include_url=False, include_input=False)
    repaired = deepcopy(dict(report.data))
    for error in errors:
        key = _key_of(error)
        if error["type"] == "extra_forbidden":
            report.add_unknown(key)
            _remove(repaired, key)
        else:
            report.add(key, _expected(error, lookup(report.data, key)))
            setting = _setting_of(key)
            report.broken.add(setting)
            _remove(repaired, setting)
    repaired.setdefault("fqdn", PLACEHOLDER_FQDN)
    return Document.model_validate(repaired)


def _key_of(error: ErrorDetails) -> Key:
    """Where the mistake is; a key that the operator named and that is wrong itself, like its value."""
    key: Key = error["loc"]
    if key[-1] == "[key]":
        return key[:-1]
    if key[0] in TABLES_OF_TABLES:
        return key
    return key[:2] if key[0] in TABLES_OF_NAMES else key


def _expected(error: ErrorDetails, value: object) -> str:
    match error["type"], error["loc"]:
        case "missing", (*_, int(), str(name)):
            return f"is missing: each table of this list needs {name}"
        case "missing", _:
            return (
                "is missing; write the full name of this machine in DNS,"
                f' such as fqdn = "{PLACEHOLDER_FQDN}"'
            )
        case "value_error", _:
            return str(error["ctx"]["error"])
        case "list_type", key if key == ("listen",) or dotted(key) in LISTS_OF_TABLES:
            name = dotted(key)
            return f"expected a list of tables: write [[{name}]] with two brackets on each side"
        case "list_type", _ if isinstance(value, str | int):
            return f"{_EXPECTED['list_type']}: [{show_value(value)}]"
        case kind, _:
            return _EXPECTED.get(kind, error["msg"])


def _setting_of(key: Key) -> Key:
    """The setting that a wrong value belongs to: the list, if it is an entry of one."""
    if key[0] == "listen":
        return key[:3] if len(key) > 2 else key[:1]
    if key[0] in LISTS_OF_TABLES:
        return key[:1]
    return key[:3] if key[0] in TABLES_OF_TABLES else key[:2]


def lookup(data: object, key: Key) -> object:
    """Return what is at `key`, None if nothing does."""
    for part in key:
        match data, part:
            case dict(), str():
                data = data.get(part)
            case list(), int() if part < len(data):
                data = data[part]
            case _:
                return None
    return data


def _remove(data: dict[str, object], key: Key) -> None:
    holder = lookup(data, key[:-1])
    if isinstance(holder, dict):
        holder.pop(key[-1], None)


def _nearest(key: Key) -> str:
    """What the writer may have meant: a key of the same table, else any key or table."""
    own = LISTS_OF_TABLES.get(dotted(key[:-1]))
    if len(key) == 3 and key[0] in TABLES_OF_TABLES:
        own = TABLES_OF_TABLES[str(key[0])]
    if own is not None:
        keys = list(own.model_fields)
        close = nearest(str(key[-1]), keys)
        return (
            f'; did you mean "{close[0]}"?' if close else f"; the keys here are {', '.join(keys)}"
        )
    path, table = dotted(key), dotted(key[:-1])
    prefix = f"{table}." if table else ""
    here = _names_in(table)
    leaf = path.removeprefix(prefix)
    if close := nearest(leaf, here):
        return f'; did you mean "{close[0]}"?'
    others = [name for name in DEFAULTS if not name.startswith(_OTHER_WAY.get(table, "-"))]
    elsewhere = [name for name in others if name.rpartition(".")[2] == leaf]
    if len(elsewhere) == 1:
        return f'; there is "{elsewhere[0]}"'
    if not table and (close := nearest(path, others)):
        return f'; did you mean "{close[0]}"?'
    if not any(name.startswith(prefix) for name in DEFAULTS):
        return f"; {_in_no_table(table, leaf)}"
    return f"; {_keys_of(table)}"


def _in_no_table(table: str, leaf: str) -> str:
    """What may be meant by a key in a table that there is not."""
    tables = sorted({name.partition(".")[0] for name in DEFAULTS if "." in name})
    close = nearest(table.partition(".")[0], tables)
    if not close:
        return f"the tables are {', '.join(tables)}"
    keys = nearest(leaf, _names_in(close[0]))
    return f'did you mean "{close[0]}{"." + keys[0] if keys else ""}"?'


def _keys_of(table: str) -> str:
    return f"the keys here are {', '.join(dict.fromkeys(_names_in(table)))}"


def _names_in(table: str) -> list[str]:
    """The keys of a table, by its dotted name, and at the top the tables too."""
    prefix = f"{table}." if table else ""
    tables = {name.partition(".")[0] for name in DEFAULTS}
    known = [*DEFAULTS, *sorted(tables)]
    here = [name.removeprefix(prefix) for name in known if name.startswith(prefix)]
    return [name for name in here if "." not in name]
