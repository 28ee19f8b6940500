"""The message that sets keys for the console.

    {"verb": "set", "settings": {"use_remote_smtp": {"to": true, "was": false}}}
    {"ok": true, "file": "...", "digest": "..."}

`was` is the value that was seen: if there is another one by now, nothing is changed.
"""

import json
from collections.abc import Iterator, Mapping

from relayd.control.protocol import BadMessage, Message, refuse_unknown
from relayd.mail.text import blanked
from relayd.ports.people import DETAIL_LIMIT, Deed

Value = bool | str
KeyChanges = Mapping[str, tuple[Value, Value]]
"""Keys, each with its new value and the one that was seen."""


def set_to_json(wanted: KeyChanges) -> Message:
    given = {name: {"to": to, "was": was} for name, (to, was) in wanted.items()}
    return {"verb": "set", "settings": given}


def set_from_json(message: Message) -> KeyChanges:
    """Read such a request. Raises BadMessage; keys and values are not judged."""
    refuse_unknown(message, {"verb", "settings"})
    given = message.get("settings")
    if not isinstance(given, dict) or not given:
        raise BadMessage("'settings' is not a JSON object with a key")
    return {str(name): _pair(name, each) for name, each in given.items()}


def deeds_of_set(wanted: KeyChanges) -> Iterator[Deed]:
    """Yield what is set as rows of the audit."""
    for name, (to, was) in wanted.items():
        yield Deed("set", _line(name), _line(f"{json.dumps(was)} → {json.dumps(to)}"))


def refused_deed(wanted: KeyChanges, reason: str) -> Deed:
    return Deed("set_refused", _line(", ".join(wanted)), _line(reason))


def _pair(name: str, given: object) -> tuple[Value, Value]:
    match given:
        case {"to": bool() | str() as to, "was": bool() | str() as was, **others} if not others:
            return to, was
        case _:
            raise BadMessage(f"{name!r} needs 'to' and 'was', each true, false or a text")


def _line(text: str) -> str:
    return blanked(text[:DETAIL_LIMIT])
