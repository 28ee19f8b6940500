"""What a request of the console wants done, as a row of the audit."""

from collections.abc import Iterator

from relayd.control.protocol import Message
from relayd.mail.text import blanked
from relayd.ports.people import Deed

_NOT_TOLD = frozenset({"verb", "action", "reason", "all", "dry_run", "limit"})


def deed_of(request: Message) -> Deed:
    """Return action, what it is done to, and the reason that was given."""
    action = request.get("action", request.get("verb"))
    told = (
        f"{key} {' '.join(_words(value))}".rstrip()
        for key, value in request.items()
        if key not in _NOT_TOLD
    )
    reason = request.get("reason", "")
    return Deed(_text(action), blanked(", ".join(told)), blanked(_text(reason)))


def _words(value: object) -> Iterator[str]:
    """Yield a JSON value as words, its nested values in their order."""
    match value:
        case dict():
            for key, below in value.items():
                yield _text(key)
                yield from _words(below)
        case list():
            for each in value:
                yield from _words(each)
        case None:
            pass
        case _:
            yield _text(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)
