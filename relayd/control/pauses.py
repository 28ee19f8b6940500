"""Pause rules in the messages of the control socket, and what the verbs `pause` and `resume` do.

    {"verb": "pause", "rules": [["sender", "a@example.org"]], "sides": ["delivery"], "for": 7200, "reason": "..."}
    {"verb": "resume", "rules": [1, ["tag", "news"]], "sides": ["intake", "delivery"]}; "rules": "all" for all

Both answer with `pauses`: the rules that are there now, or what was ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from relayd.answers.pauses import fields
from relayd.control.protocol import BadMessage, Message
from relayd.mail.pause import Named, PauseRule, Scope, Side

_MOST = 1000  # rules of one request: each is looked at for each message
_LONGEST = timedelta(weeks=520)


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequest:
    """Let the mail of some names wait."""

    names: Sequence[Named]
    sides: frozenset[Side]
    last: timedelta | None = None  # None: until somebody ends it
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequest:
    """End rules, or a side of them."""

    rules: Sequence[int | Named] | None  # by number, or by name; None: all of them
    sides: frozenset[Side]


def pause_to_json(request: PauseRequest) -> Message:
    return {
        "verb": "pause",
        "rules": [_name_of(each) for each in request.names],
        "sides": sorted(request.sides),
        "for": None if request.last is None else request.last.total_seconds(),
        "reason": request.reason,
    }


def rules_from_json(message: Message, *, by: str, at: datetime) -> list[PauseRule]:
    """Read a `pause` request as rules that begin at that instant. Raises BadMessage."""
    _check_keys(message, {"verb", "rules", "sides", "for", "reason"})
    names, seconds, reason = message.get("rules"), message.get("for"), message.get("reason", "")
    if not isinstance(names, list) or not 0 < len(names) <= _MOST:
        raise BadMessage(f"'rules' is no list of 1 to {_MOST} names")
    if not isinstance(reason, str):
        raise BadMessage("'reason' is not a text")
    until = None
    if seconds is not None:
        if not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST.total_seconds():
            raise BadMessage("'for' is no number of seconds")
        until = at + timedelta(seconds=seconds)
    sides = _sides(message)
    return [
        PauseRule(named=_named(each), sides=sides, since=at, until=until, by=by, reason=reason)
        for each in names
    ]


def resume_to_json(request: ResumeRequest) -> Message:
    rules = request.rules
    return {
        "verb": "resume",
        "rules": "all" if rules is None else [_name_of(each) for each in rules],
        "sides": sorted(request.sides),
    }


def resume_from_json(message: Message) -> ResumeRequest:
    """Read a `resume` request. Raises BadMessage."""
    _check_keys(message, {"verb", "rules", "sides"})
    rules = message.get("rules")
    if rules == "all":
        return ResumeRequest(rules=None, sides=_sides(message))
    if not isinstance(rules, list):
        raise BadMessage("'rules' is no list of numbers and names")
    wanted = [each if isinstance(each, int) else _named(each) for each in rules]
    return ResumeRequest(rules=wanted, sides=_sides(message))


def pauses_to_json(rules: Sequence[PauseRule]) -> Message:
    return {"ok": True, "pauses": [fields(rule) for rule in rules]}


def pauses_from_json(message: Message) -> list[PauseRule]:
    """Read the answer to both. Raises BadMessage."""
    try:
        return [_from_json(each) for each in message["pauses"]]  # type: ignore[attr-defined]
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise BadMessage(f"no pause rules: {exc}") from exc


def _from_json(told: dict[str, Any]) -> PauseRule:
    until = told["until"]
    return PauseRule(
        named=_named([told["scope"], told["value"]]),
        sides=frozenset(map(Side, told["sides"])),
        since=datetime.fromisoformat(told["since"]),
        until=None if until is None else datetime.fromisoformat(until),
        by=str(told["by"]),
        reason=str(told["reason"]),
        number=int(told["pause"]),
    )


def _name_of(rule: int | Named) -> object:
    return rule if isinstance(rule, int) else [rule.scope.value, rule.value]


def _named(told: object) -> Named:
    match told:
        case [str(scope), str(value)] if scope in set(Scope):
            return Named(Scope(scope), value)
        case _:
            raise BadMessage(f"{told!r} is no scope and value")


def _sides(message: Message) -> frozenset[Side]:
    told = message.get("sides")
    if not isinstance(told, list) or not told or not set(told) <= set(Side):
        raise BadMessage("'sides' is no list of intake, delivery")
    return frozenset(map(Side, told))


def _check_keys(message: Message, known: set[str]) -> None:
    if unknown := message.keys() - known:
        raise BadMessage(f"unknown key {min(unknown)!r}")
