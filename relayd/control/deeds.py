"""What a request of the console wants done, as a row of the audit."""

from collections.abc import Iterator

from relayd.control.protocol import Message
from relayd.mail.text import blanked
from relayd.ports.people import DETAIL_LIMIT, Deed

_NOT_TOLD = frozenset({"verb", "action", "reason", "all", "dry_run", "limit"})
_BY_ITSELF = (
    "queue_id",
    "rcpt",
)  # such a target needs no word before it, and is found by its value


def deed_of(request: Message) -> Deed:
    """Return action, what it is done to, and the reason that was given."""
    told = {key: value for key, value in request.items() if key not in _NOT_TOLD}
    selector = told.pop("selector", None)
    told |= selector if isinstance(selector, dict) else {}
    words = {key: " ".join(_words(value)) for key, value in told.items() if value is not None}
    match list(words.items()):
        case [(key, target)] if key in _BY_ITSELF:
            pass
        case several:
            target = ", ".join(f"{key} {value}" for key, value in several)
    action, reason = request.get("action", request.get("verb")), request.get("reason", "")
    return Deed(_line(action), _line(target), _line(reason))


def _line(value: object) -> str:
    return blanked(str(value)[:DETAIL_LIMIT])


def _words(value: object) -> Iterator[str]:
    """Yield a JSON value as words, its nested values in their order."""
    match value:
        case dict():
            for key, below in value.items():
                yield str(key)
                yield from _words(below)
        case list():
            for each in value:
                yield from _words(each)
        case _:
            yield str(value)
