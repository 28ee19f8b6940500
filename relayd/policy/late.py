"""What a mail that came back to a VERP address says about the recipient it stands for.

The recipient is known from the VERP address; the mail is only asked what happened. Everybody who got the
mail can write to its VERP address, so a bounce counts only if it is what a bounce has to be: from the
null reverse-path, about the recipient, and in the time in which mail systems give up. In doubt
nothing: any other mail leaves the status as it is, and suppresses nobody.

Source: RFC 5321 §4.5.5, RFC 3464 §2 (the null reverse-path); RFC 5321 §4.5.4.1 (4-5 days of retries).
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from relayd.mail.address import PATH_LIMIT
from relayd.mail.mailbox import as_written, writings_of
from relayd.mail.outcome import Bounced
from relayd.mail.words import BounceClass, Category, EventKind, Fault
from relayd.policy.inbound_bounce import BouncedRecipient, Kind, ParsedBounce

FRESH_FOR = timedelta(
    days=14
)  # two mail systems in a row that give up after five days, and a weekend
_NO_COMPLAINTS = ("not-spam", "auth-failure")
_AHEAD = timedelta(days=1)  # of our clock: it was set back since the message came in

_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_TYPE = re.compile(r"\A\s*[A-Za-z][A-Za-z0-9-]{0,30}\s*;\s*")


class Doubt(StrEnum):
    """Why a bounce does not count; the spelling is stable."""

    SENDER = "sender"  # it has a reverse-path
    RECIPIENT = "recipient"  # it does not name the recipient
    AGE = "age"  # the message is too old, or newer than the clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is recorded."""

    kind: EventKind
    outcome: Bounced | None = None  # with a bounce
    doubt: Doubt | None = None  # then nothing but the history changes


def conclude(
    parsed: ParsedBounce, *, is_null: bool, meant: Collection[str], age: timedelta
) -> Finding | None:
    """Return what to record; None when the mail says nothing final.

    `is_null`: it came from the null reverse-path. `meant` are the recipient's address and what the
    next hop was told instead, `age` is that of the message.
    """
    match parsed.kind:
        case Kind.ARF if is_complaint(parsed):
            return Finding(kind=EventKind.COMPLAINED)
        case Kind.DELIVERED:
            return Finding(kind=EventKind.DELIVERED_DSN)
        case Kind.BOUNCE:
            return _bounce(parsed, is_null=is_null, meant=meant, age=age)
        case _:
            return None


def is_complaint(parsed: ParsedBounce) -> bool:
    """Tell whether somebody did not want the mail. ARF reports other things too (RFC 5965 §7.3; RFC 6591)."""
    return parsed.kind is Kind.ARF and parsed.feedback_type not in _NO_COMPLAINTS


def _bounce(
    parsed: ParsedBounce, *, is_null: bool, meant: Collection[str], age: timedelta
) -> Finding:
    failed = [each for each in parsed.recipients if each.action == "failed"]
    boxes = _boxes(meant)
    named = next((each for each in failed if _names(each, boxes)), None)
    doubt = None
    if not is_null:
        doubt = Doubt.SENDER
    elif named is None:
        doubt = Doubt.RECIPIENT
    elif not -_AHEAD < age < FRESH_FOR:
        doubt = Doubt.AGE
    said = named or next(iter(failed), None)
    outcome = None if said is None else _outcome(said, is_alone=len(parsed.recipients) == 1)
    kind = EventKind.LATE_BOUNCED if doubt is None else EventKind.LATE_BOUNCE_DOUBTED
    return Finding(kind=kind, outcome=outcome, doubt=doubt)


def _outcome(said: BouncedRecipient, *, is_alone: bool) -> Bounced:
    """Return the bounce that the mail reports.

    A mail that tells of several is about an alias or a list, and proves nothing of the address itself.
    """
    suppress = said.suppress and is_alone
    bounce_class = said.bounce_class or BounceClass.BLOCK
    if bounce_class is BounceClass.HARD and not suppress:
        bounce_class = BounceClass.BLOCK
    return Bounced(
        bounce_class=bounce_class,
        category=said.category or Category.UNKNOWN,
        fault=Fault.PEER,
        suppress=suppress,
        reason=said.diagnostic or "returned",
        status=said.status or "5.0.0",
    )


def _boxes(meant: Collection[str]) -> frozenset[str]:
    """Return what a report may call the recipient; some name the local part alone."""
    boxes = frozenset(box for address in meant for box in writings_of(address))
    return boxes | {local for box in boxes if (local := box.rpartition("@")[0])}


def _names(said: BouncedRecipient, boxes: frozenset[str]) -> bool:
    """Tell whether a report means the recipient, as where it failed or as what was written."""
    return any(
        as_written(reading) in boxes
        for address in (said.address, said.original or "")
        for reading in _readings(address)
    )


def _readings(address: str) -> Iterator[str]:
    """What an address in a report may mean: reporters are careless about types and encodings."""
    bare = _TYPE.sub("", address).strip(" <>")
    decoded = _XTEXT.sub(lambda found: chr(int(found[1], 16)), bare)
    for reading in dict.fromkeys((bare, decoded)):
        if (
            len(reading.encode("utf-8", "surrogatepass")) <= PATH_LIMIT
        ):  # no address of ours is longer
            yield reading
