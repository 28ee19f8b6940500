"""Settings from the environment: `RELAYD_SMARTHOST__HOSTS`, laid over the settings file.

Owns how the text of a variable becomes the value of its key, and what is wrong with a variable by itself. A value
is judged later, by the models, as one of the file is; the mistake then names the variable.

Invariant: the same file under the same variables is the same settings, in every process of relayd.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from relayd.config.fields import Table
from relayd.config.mistakes import ENVIRONMENT, Report, lookup
from relayd.config.model import DEFAULTS, Document, Key, dotted
from relayd.config.nearest import nearest
from relayd.config.variables import BETWEEN, FROM_FILE, PREFIX, parts_of, settings_in, value_in
from relayd.errors import Mistake
from relayd.file_access import unreadable

NO_VARIABLES: Mapping[str, str] = {}
_ITEMS = re.compile(r"[\s,]+")
_LISTENER = "listen"
_ABOUT = 5  # characters that the name of a mistyped variable has more or less
# RELAYD_SMARTHOST_… can be meant for nothing else.
_FIRST_WORDS = frozenset(
    name.partition(".")[0].partition("_")[0] for name in DEFAULTS if "." in name
)
_MOST_DIGITS = 4  # of the number of a listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A key that a variable names, and the type of its value."""

    key: Key
    kind: Any


@dataclass(slots=True, kw_only=True)
class Applied:
    """What file and environment say together."""

    data: dict[str, object]
    variables: dict[Key, str] = field(default_factory=dict)  # by the key that each one gave
    mistakes: list[Mistake] = field(default_factory=list)

    def refuse(self, variable: str, expected: str) -> None:
        self.mistakes.append(
            Mistake(file=ENVIRONMENT, key="", value="", expected=expected, variable=variable)
        )


def applied(data: Mapping[str, object], environment: Mapping[str, str]) -> Applied:
    """Return `data`, which may be wrong, with every setting of the environment laid over it."""
    found = Applied(data=deepcopy(dict(data)))
    for name, text in settings_in(environment).items():
        _apply(name, text, found)
    return found


def report_on(file: str, both: Applied) -> Report:
    """Return a report for what file and environment say."""
    return Report(file, both.data, mistakes=[*both.mistakes], variables=both.variables)


def variable_of(key: Key) -> str:
    """Return the variable that sets a key."""
    return PREFIX + BETWEEN.join(str(part) for part in key).upper().replace("-", "_")


def _apply(name: str, text: str, found: Applied) -> None:
    place, text_or_none = _placed(name, text, found)
    if place is None or text_or_none is None:
        return
    if place.key in found.variables:
        found.refuse(name, f"{found.variables[place.key]} sets {dotted(place.key)} too; keep one")
    elif _is_table(place.kind):
        example = variable_of((*place.key, next(iter(place.kind.model_fields))))
        found.refuse(name, f"expected one key of this table, such as {example}")
    elif place.key == (_LISTENER,):
        found.refuse(name, f"expected one key of a listener, such as {PREFIX}LISTEN__0__ADDRESS")
    elif get_origin(place.kind) is dict and _json(text_or_none, dict) is None:
        found.refuse(
            name, 'expected JSON with a value for each name, such as {"*.example.org": "hold"}'
        )
    elif _put(found.data, place.key, _value(text_or_none, place.kind)):
        found.variables[place.key] = name


def _placed(name: str, text: str, found: Applied) -> tuple[Place | None, str | None]:
    """Return where the value of a variable belongs, and its text; None for what was refused."""
    if name != name.upper() and _looks_like_one(name):
        found.refuse(name, f"expected capital letters: {name.upper()}")
        return None, None
    whole = name.removesuffix(FROM_FILE)
    of_file = _place(parts_of(whole), found.data) if whole != name else None
    place = _place(parts_of(name), found.data)
    if of_file is not None and (place is None or _is_name(parts_of(name))):
        try:
            return of_file, value_in(text)
        except OSError as error:
            found.refuse(name, f"the file cannot be read: {unreadable(error, Path(text))}")
        except ValueError as error:
            found.refuse(name, str(error))
        return None, None
    if place is None and _looks_like_one(name):
        found.refuse(name, _unknown(name, found.data))
    return place, text


def _unknown(name: str, data: Mapping[str, object]) -> str:
    parts = parts_of(name)
    if _place((*parts[:-1], f"{parts[-1]}_file"), data) is not None:
        return (
            "a secret is not taken from the environment, where other programs see it:"
            f" write it to a file, and the path of the file into {name}{FROM_FILE}"
        )
    if parts[:1] == (_LISTENER,) and len(parts) > 1:
        count = _count(data)
        if not parts[1].isdecimal() or int(parts[1][:_MOST_DIGITS]) > count:
            return f"the next new listener has the number {count}: {variable_of((_LISTENER, count, 'address'))}"
    close = _nearest(name)
    return f"no such setting; did you mean {close[0]}?" if close else "no such setting"


def _looks_like_one(name: str) -> bool:
    """Tell a mistyped setting from a variable that others have for themselves, such as RELAYD_VERSION."""
    first = name.upper().removeprefix(PREFIX).partition("_")[0].lower()
    near = any(abs(len(each) - len(name)) <= _ABOUT for each in _nearest(name))
    return BETWEEN in name or near or first in _FIRST_WORDS


def _nearest(name: str) -> Sequence[str]:
    """Return the variables that a name may be meant for, whatever joins its words."""
    words = {_words(variable): variable for variable in map(_usual_variable, DEFAULTS)}
    return [words[each] for each in nearest(_words(name), words)]


def _words(name: str) -> str:
    return name.upper().removeprefix(PREFIX).replace("_", "")


def _usual_variable(name: str) -> str:
    """Return the variable of a dotted name, of the first listener."""
    first, *rest = name.split(".")
    return variable_of((first, 0, *rest) if first == _LISTENER else (first, *rest))


def _place(parts: Sequence[str], data: Mapping[str, object]) -> Place | None:
    """Follow the names through the models; names that operators give are those of `data`, if it has them."""
    key: Key = ()
    kind: Any = Document
    for part in parts:
        origin = get_origin(kind)
        if _is_table(kind) and part in kind.model_fields:
            key, kind = (*key, part), kind.model_fields[part].annotation
        elif origin is dict and part:
            key, kind = (*key, _own_name(part, lookup(data, key))), _bare(get_args(kind)[1])
        elif key == (_LISTENER,) and _is_number(part, _count(data)):
            key, kind = (*key, int(part)), _item(kind)
        else:
            return None
    return Place(key=key, kind=kind)


def _own_name(part: str, there: object) -> str:
    """Return the name of the file that a variable can mean by `part`; one that it does not have has hyphens."""
    hyphens = part.replace("_", "-")
    names: Iterator[str] = iter(there if isinstance(there, dict) else ())
    return next((each for each in names if each.lower().replace("_", "-") == hyphens), hyphens)


def _is_name(parts: Sequence[str]) -> bool:
    """Whether the last part is a name that an operator gives: it may end in anything."""
    *way, _ = parts
    place = _place(way, {})
    return place is not None and get_origin(place.kind) is dict


def _is_number(part: str, count: int) -> bool:
    return part.isdecimal() and len(part) <= _MOST_DIGITS and int(part) <= count


def _count(data: Mapping[str, object]) -> int:
    """How many listeners are written: the next one may be added."""
    written = data.get(_LISTENER)
    return len(written) if isinstance(written, list) else 0


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Table)


def _item(kind: Any) -> Any:
    return _bare(get_args(kind)[0])


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _value(text: str, kind: Any) -> object:
    """Read a text for a key of that type; what cannot be one stays a text, for the models to refuse."""
    if get_origin(kind) is list:
        read = _json(text, list)
        items = [each for each in _ITEMS.split(text) if each]
        return [_value(each, _item(kind)) for each in items] if read is None else read
    choices = get_args(kind) or (kind,)
    if any(each in {bool, int, float} for each in choices):
        read = _json(text, bool | int | float)
        return text if read is None else read
    if kind is str:
        return text
    read = _json(text, dict)  # a whole table of names, or a route with more than its host
    return text if read is None else read


def _json(text: str, wanted: Any) -> object:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, wanted) else None


def _put(data: dict[str, object], key: Key, value: object) -> bool:
    """Write a value; False where the file has something else than a table, which is a mistake of its own."""
    at: object = data
    for part, following in pairwise(key):
        match at, part:
            case dict(), str():
                at = at.setdefault(part, [] if isinstance(following, int) else {})
            case list(), int():
                if part == len(at):
                    at.append({})
                at = at[part]
            case _:
                return False
    if not isinstance(at, dict):
        return False
    at[key[-1]] = value
    return True
