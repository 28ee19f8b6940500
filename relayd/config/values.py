"""Every setting as it counts, by its name: what the file says, and the default where it is silent.

For those who ask: `relayd config`, and the daemon when it says what it runs with. A value is text
in JSON, which TOML reads too but for a table of `[routes]`, spelt in one way whatever the file's spelling was: equal settings
have equal texts. Names are those that `keys` reads. No secret is here, since the settings
name only the files of secrets; what a URL has in front of its "@" is left out.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping

from relayd.config.keys import name_of, parse_key
from relayd.config.model import (
    LISTS_OF_TABLES,
    PLACEHOLDER_FQDN,
    TABLES_OF_NAMES,
    TABLES_OF_TABLES,
    Document,
    Key,
)
from relayd.config.rewrite import VALUE_TABLES
from relayd.policy.replies.ruleset import RuleTexts

Values = Mapping[str, str]

_NAMED = {(table,) for table in TABLES_OF_NAMES}  # there a table is one value
_OF_TABLES = {(table,) for table in TABLES_OF_TABLES}  # but here it has keys
RULES = "rules.d/"  # how the names of rule files begin, which are no keys
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")


def values_of(document: Document) -> Values:
    """Return the text of every key, in the order of the reference; `routes` and `aliases` by their names."""
    return {
        name_of(key): json.dumps(_without_user(value), ensure_ascii=False)
        for key, value in _leaves(document.model_dump(mode="json"))
    }


def value_of(name: str, values: Values) -> str | None:
    """Return the text of one key, also of one in a table of a list; None: there is none."""
    key = parse_key(name)
    if key[0] not in LISTS_OF_TABLES or len(key) != 3:
        return values.get(name)
    tables = json.loads(values.get(str(key[0]), "[]"))
    place = key[1]
    there = isinstance(place, int) and place < len(tables)
    return json.dumps(tables[place][key[2]], ensure_ascii=False) if there else None


def names_in(data: Mapping[str, object]) -> list[str]:
    """Return the names of all keys that are written in a settings file, which may be wrong."""
    return [name_of(key) for key, _ in _leaves(data)]


def values_of_rules(rules: RuleTexts) -> Values:
    """Return a digest for every rule file, to see that one was changed."""
    return {
        f"{RULES}{name}": json.dumps(f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}")
        for name, text in rules
    }


def default_of(name: str) -> str | None:
    """Return the default of a key; None if it has none, and for what is in `[routes]` or `[aliases]`."""
    if name == "fqdn":
        return None
    match parse_key(name):
        case (str(table), _, str(leaf)) if table in TABLES_OF_TABLES:
            return _DEFAULTS_OF_TABLES[table].get(leaf)
    return _DEFAULTS.get(re.sub(r"^listen\.\d+\.", "listen.0.", name))


def _leaves(table: Mapping[str, object], at: Key = ()) -> Iterator[tuple[Key, object]]:
    for name, value in table.items():
        is_one = name in (*VALUE_TABLES, "warm_up") or (at[:1] in _NAMED and at not in _OF_TABLES)
        if isinstance(value, dict) and not is_one:
            yield from _leaves(value, (*at, name))
        elif isinstance(value, list) and (*at, name) == ("listen",):
            for index, listener in enumerate(value):
                yield from _leaves(listener, (name, index))
        else:
            yield (*at, name), value


def _without_user(value: object) -> object:
    return _USER_INFO.sub("…@", value) if isinstance(value, str) else value


_DEFAULTS = values_of(Document(fqdn=PLACEHOLDER_FQDN))
_DEFAULTS_OF_TABLES = {
    name: {leaf: json.dumps(value) for leaf, value in table().model_dump(mode="json").items()}
    for name, table in TABLES_OF_TABLES.items()
}
