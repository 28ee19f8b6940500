"""Whether what is known of an address speaks against using it again, and for whose mail.

Owns the rule and its numbers. A store keeps what speaks against an address for ever, whatever becomes of its
history, and asks here what is worth keeping and what follows. Lifting a suppression forgets all of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from relayd.mail.ids import MessageId
from relayd.mail.words import Category

if TYPE_CHECKING:  # a question for status only needs none of it
    from relayd.mail.outcome import Bounced

INACTIVE_BOUNCES = 2
"""Of different messages: then an inactive mailbox counts as given up."""
NAMED_SENDERS = 20
"""Of those for whom alone an address is suppressed, so many are named."""
EVERYBODY = ""
"""The scope of what holds for all mail."""
REASON_LIMIT = 500
"""Characters that are kept of a reply or a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSuppress:
    """What a person wants to be suppressed, and why."""

    address: str
    scope: str = EVERYBODY
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """What speaks against an address: the bounce of a message, or a person."""

    address: str
    scope: str = EVERYBODY  # the reverse-path, in lower case, for whose mail alone it does
    is_proof: bool = True  # it is enough by itself; else it says that the mailbox is inactive
    message_id: MessageId | None = None  # whose bounce it is; None: a person's word
    by: str = ""  # that person
    at: datetime
    reason: str  # the server's reply, or the person's


def speaks(bounce: "Bounced") -> bool:
    """Tell whether a bounce says something about its address."""
    return bounce.suppress or bounce.category is Category.INACTIVE_MAILBOX


def of_bounce(
    bounce: "Bounced",
    address: str,
    message_id: MessageId,
    *,
    reply: str | None = None,
    scope: str = EVERYBODY,
    at: datetime,
) -> Suppression:
    """Return what a bounce says about its address, by `speaks`."""
    return Suppression(
        address=address,
        scope=scope.lower(),
        is_proof=bounce.suppress,
        message_id=message_id,
        at=at,
        reason=cut(reply or bounce.reason),
    )


def of_complaint(
    address: str, message_id: MessageId, *, kind: str, scope: str, at: datetime
) -> Suppression:
    """Return what a complaint about a message says: its recipient wants no more of its sender."""
    return Suppression(
        address=address,
        scope=scope.lower(),
        message_id=message_id,
        at=at,
        reason=cut(f"complained: {kind}"),
    )


def of_person(wanted: ToSuppress, *, by: str, at: datetime) -> Suppression:
    return Suppression(
        address=wanted.address,
        scope=wanted.scope.lower(),
        by=by,
        at=at,
        reason=cut(wanted.reason),
    )


def cut(reason: str) -> str:
    return reason if len(reason) <= REASON_LIMIT else f"{reason[: REASON_LIMIT - 1]}…"


def is_worth_keeping(new: Suppression, known: Iterable[Suppression]) -> bool:
    """Tell whether it changes what can follow for its scope, beside what is known of its address.

    The first proof is enough, and two messages that found an inactive mailbox: so little is kept of an
    address, however often it bounces.
    """
    alike = [each for each in known if (each.scope, each.is_proof) == (new.scope, new.is_proof)]
    if new.is_proof:
        return not alike
    return len(alike) < INACTIVE_BOUNCES and all(
        each.message_id != new.message_id for each in alike
    )


def is_suppressed(known: Iterable[Suppression], sender: str) -> bool:
    """Tell whether it speaks against the address, for mail of `sender` in lower case."""
    return _deciding([each for each in known if each.scope in (EVERYBODY, sender)]) is not None


def in_force(known: Sequence[Suppression]) -> list[Suppression]:
    """Return what decided for each scope that is suppressed: `EVERYBODY` alone, if it is all mail.

    Else the senders in their order, at most `NAMED_SENDERS`. Empty: the address is not suppressed.
    """
    of_scope: dict[str, list[Suppression]] = {EVERYBODY: []}
    for each in known:
        of_scope.setdefault(each.scope, []).append(each)
    for_all = of_scope[EVERYBODY]
    found: list[Suppression] = []
    for scope in sorted(of_scope):
        decided = _deciding(for_all if scope == EVERYBODY else [*for_all, *of_scope[scope]])
        if decided is not None:
            found.append(replace(decided, scope=scope))
        if found and (scope == EVERYBODY or len(found) == NAMED_SENDERS):
            break
    return found


def _deciding(counted: Iterable[Suppression]) -> Suppression | None:
    """Return what made the address suppressed: a proof, or the second message with an inactive mailbox."""
    inactive: dict[MessageId | None, Suppression] = {}
    for each in sorted(counted, key=_since):
        if each.is_proof:
            return each
        inactive.setdefault(each.message_id, each)
        if len(inactive) == INACTIVE_BOUNCES:
            return each
    return None


def _since(each: Suppression) -> tuple[datetime, bool, int]:
    return (each.at, not each.is_proof, each.message_id or 0)
