"""Read delivery status notifications and their relatives in fields.

Owns RFC 3464 reports, wherever their fields are: in a proper part, in the text of a mail that
lost its MIME structure, or quoted in a forwarded one. Groups may lack the empty line between them,
and the per-message group may be missing.

Source: RFC 3464 §2, RFC 3461 §6.3, RFC 6533 §4.
"""

import re

from relayd.policy.inbound_bounce.address import read_typed
from relayd.policy.inbound_bounce.mime import Mail
from relayd.policy.inbound_bounce.result import STATUS, Found, Kind, Reading, clean

_RECIPIENTS_LIMIT = 200
_VALUE_LIMIT = 8192  # characters of one field value
_FIELD = re.compile(r"\A[ \t]*([A-Za-z][A-Za-z0-9-]{1,60})[ \t]*:[ \t]*(.*)")
_EMBEDDED = re.compile(
    r"^[ \t]*(?:Reporting-MTA|Final-Recipient|Original-Recipient)[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTES = re.compile(r"^(?:[ \t]{0,3}[>|])+[ \t]?", re.MULTILINE)
_TYPE_PREFIX = re.compile(
    r"^\s*(?:smtp|x-[\w-]{1,40}|dns|notes|x400|lmtp|local)\s*;\s*", re.IGNORECASE
)
_COMMENT = re.compile(r"\(([^()]{3,500})\)")
_ABOUT_RECIPIENT = frozenset({"final-recipient", "original-recipient", "x-actual-recipient"})
_ACTIONS = {
    "fail": "failed",
    "undeliver": "failed",
    "error": "failed",
    "reject": "failed",
    "delay": "delayed",
    "deliver": "delivered",
    "relay": "relayed",
    "expand": "expanded",
}
_BY_CLASS = {"5": "failed", "4": "delayed", "2": "delivered"}


def read_dsn(mail: Mail) -> Reading | None:
    """Read the report part of a mail; None if there is none that names a recipient."""
    texts = [part.text() for part in mail.parts if part.content_type.endswith("delivery-status")]
    if not texts and mail.content_type == "multipart/report":  # a part under a wrong name
        others = [
            part.text()
            for part in mail.parts
            if part.content_type.startswith(("text/", "application/")) and not part.is_original
        ]
        texts = [text for text in others if _EMBEDDED.match(text.lstrip())]
    return _report("\n\n".join(texts)) if texts else None


def read_embedded(text: str, *, forwarded: bool) -> Reading | None:
    """Read report fields out of plain text; out of quoted text only if `forwarded`."""
    if forwarded:
        text = _QUOTES.sub("", text)
    start = _EMBEDDED.search(text)
    if start is None:
        return None
    reading = _report(text[start.start() :])
    named = reading is not None and all(found.status for found in reading.found)
    return reading if named else None


def _report(text: str) -> Reading | None:
    groups = groups_of(text)
    found = tuple(filter(None, map(_recipient, groups)))[:_RECIPIENTS_LIMIT]
    if not found:
        return None
    actions = {one.action for one in found}
    kept: tuple[str, ...]
    if "failed" in actions:
        kind, kept = Kind.BOUNCE, ("failed", "delayed")
    elif "delayed" in actions:
        kind, kept = Kind.DELAYED, ("delayed",)
    else:
        kind, kept = Kind.DELIVERED, ("delivered", "relayed", "expanded")
    envelope_id = next(
        (g["original-envelope-id"] for g in groups if "original-envelope-id" in g), ""
    )
    return Reading(
        kind=kind,
        found=tuple({one.address.lower(): one for one in found if one.action in kept}.values()),
        envelope_id=clean(envelope_id) or None,
    )


def groups_of(text: str) -> list[dict[str, str]]:
    """Cut a text into groups of fields; a second recipient starts a group of its own."""
    groups: list[dict[str, str]] = [{}]
    name, ended = "", False
    for line in text.split("\n"):
        field = _FIELD.match(line)
        if not line.strip():
            ended, name = True, ""
        elif (
            line[0] in " \t" and name and not (field and field.group(1).lower() in _ABOUT_RECIPIENT)
        ):
            _extend(groups[-1], name, line)
        elif field:
            name = field.group(1).lower()
            if _starts_group(name, groups[-1], ended=ended):
                groups.append({})
            ended = False
            groups[-1].setdefault(name, "")
            groups[-1][name] = groups[-1][name] or field.group(2).strip()
        elif name == "diagnostic-code":  # a fold that lost its blank
            _extend(groups[-1], name, line)
        else:
            name = ""
        if len(groups) > _RECIPIENTS_LIMIT:
            break
    return groups


def _extend(group: dict[str, str], name: str, line: str) -> None:
    if len(group[name]) < _VALUE_LIMIT:
        group[name] += " " + line.strip()


def _starts_group(name: str, group: dict[str, str], *, ended: bool) -> bool:
    if name == "final-recipient":
        return name in group or (ended and "action" in group)
    if name == "original-recipient":
        return name in group or (ended and "final-recipient" in group)
    return ended and name in group and bool(_ABOUT_RECIPIENT & group.keys())


def _recipient(group: dict[str, str]) -> Found | None:
    address, original = addresses_of(group)
    if address is None:
        return None
    status = STATUS.search(group.get("status", ""))
    code = status.group(1) if status else None
    return Found(
        address=address,
        original=original,
        action=_action(group.get("action", ""), code),
        status=code,
        diagnostic=_TYPE_PREFIX.sub("", group.get("diagnostic-code", "")) or _comment(group),
    )


def _comment(group: dict[str, str]) -> str:
    """What a comment after the status says; some mail systems have no other place for it."""
    comment = _COMMENT.search(group.get("status", ""))
    return comment.group(1) if comment else ""


def addresses_of(group: dict[str, str]) -> tuple[str | None, str | None]:
    """Where it failed, and what the sender wrote.

    A final address that means nothing outside, being without a proper domain or on an inner host
    of the domain that was written to, yields to the original one.
    """
    final = read_typed(group.get("final-recipient", ""))
    original = read_typed(group.get("original-recipient", ""))
    actual = read_typed(group.get("x-actual-recipient", ""))
    if original and "@" in original and _is_inner(final, original):
        return original, original
    named = [one for one in (final, original, actual) if one]
    return next((one for one in named if "@" in one), named[0] if named else None), original


def _is_inner(final: str | None, original: str) -> bool:
    domain = (final or "").rpartition("@")[2].lower()
    outer = original.rpartition("@")[2].lower()
    return "." not in domain or domain.endswith("." + outer)


def _action(given: str, status: str | None) -> str:
    word = given.strip().lower()
    for start, action in _ACTIONS.items():
        if word.startswith(start):
            return action
    return _BY_CLASS[status[0]] if status else "failed"
