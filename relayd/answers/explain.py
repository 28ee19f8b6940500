"""Why each event of a recipient's history is as it is: which host, which class, which time, and by what.

Pure. The history holds what was seen and decided, and seldom the rule behind it. Where it does not, the
same functions that judged then judge again, with the rules and settings of now, and the answer says
that it was judged anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from relayd.mail.address import parse_address
from relayd.mail.reply import Reply, Stage, make_reply
from relayd.mail.words import Category, EventKind, Fault
from relayd.policy.delivery import route
from relayd.policy.delivery.explain import Deferral, in_words, rule_used, why_wait
from relayd.policy.delivery.retry import RetrySettings
from relayd.policy.delivery.verdict import REFUSED_FOR_NOW
from relayd.policy.replies.ruleset import Rules
from relayd.ports.view import HistoryEntry, RecipientRow

_OUTCOMES = {
    kind.value
    for kind in (EventKind.SENT, EventKind.RELAYED, EventKind.DEFERRED, EventKind.BOUNCED)
}
_BY_SOMEBODY = {
    kind.value
    for kind in (EventKind.HELD, EventKind.RELEASED, EventKind.EXPEDITED, EventKind.DROPPED)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One answer."""

    about: str  # route, host, class, time, end, suppression, operator
    says: str  # one line for people
    judged_anew: bool = False  # the history does not hold it


@dataclass(frozen=True, slots=True, kw_only=True)
class Judges:
    """What judges, as it is now."""

    rules: Rules
    retry: RetrySettings
    routes: route.RouteRules


def explain(
    row: RecipientRow, history: Sequence[HistoryEntry], judges: Judges
) -> list[list[Reason]]:
    """Return for each event of `history`, the recipient's own and oldest first, why it is so."""
    return [_reasons(row, entry, history[:number], judges) for number, entry in enumerate(history)]


def _reasons(
    row: RecipientRow, entry: HistoryEntry, before: Sequence[HistoryEntry], judges: Judges
) -> list[Reason]:
    kind = entry.kind
    if kind == EventKind.RECEIVED.value:
        return [_route(row, entry, judges)]
    if kind in _BY_SOMEBODY or entry.detail.get("by"):
        return [_operator(entry)]
    if kind == EventKind.ATTEMPTED.value:
        says = "it did not do, so the next host is asked in the same attempt, or the mail waits"
        return [Reason(about="host", says=says)]
    if kind == EventKind.LATE_BOUNCED.value:
        says = f"{entry.detail.get('category')}: mail to its VERP address says so"
        return [Reason(about="class", says=says), _suppression(entry)]
    if kind not in _OUTCOMES:
        return []
    found = [_host(entry, before)]
    if kind in (EventKind.DEFERRED.value, EventKind.BOUNCED.value):
        found.append(_class(entry, judges))
    if kind == EventKind.DEFERRED.value and (time := _time(entry, before, judges)) is not None:
        found.append(time)
    if kind == EventKind.BOUNCED.value:
        found += [_end(entry, before, judges), _suppression(entry)]
    return found


def _route(row: RecipientRow, entry: HistoryEntry, judges: Judges) -> Reason:
    address = route.forwarded(parse_address(row.address), judges.routes)
    facts = route.RouteFacts(
        sender=row.reverse_path,
        user=row.auth_user,
        listener=str(entry.detail.get("listener", "")),
        asks=route.asked_of(row.destination),
    )
    decision = route.decide(address, facts, judges.routes)
    key = route.key_of(decision.route)
    says = f"to {row.destination}: {decision.reason}"
    if key != row.destination:
        says = f"to {row.destination}; the settings of now say {key}: {decision.reason}"
    return Reason(about="route", says=says, judged_anew=True)


def _operator(entry: HistoryEntry) -> Reason:
    by, why = entry.detail.get("by") or "somebody", entry.detail.get("reason")
    says = f"{entry.kind} by {by}" + (f": {why}" if why else "")
    return Reason(about="operator", says=says)


def _host(entry: HistoryEntry, before: Sequence[HistoryEntry]) -> Reason:
    detail = entry.detail
    host = detail.get("remote_host")
    if detail.get("fault") == Fault.LOCAL.value:
        says = f"none is to blame, but this machine: {detail.get('reason', 'no reason')}"
        return Reason(about="host", says=says)
    if host is None:
        return Reason(about="host", says=f"none was asked: {detail.get('reason', 'no reason')}")
    failed = [
        str(one.detail.get("remote_host"))
        for one in before
        if one.kind == EventKind.ATTEMPTED.value
        and one.detail.get("attempt") == detail.get("attempt")
        and one.detail.get("remote_host")
    ]
    if failed:
        return Reason(about="host", says=f"{host}, after {', '.join(failed)} failed")
    if detail.get("delay_connect") == 0 and detail.get("stage") not in ("connect", "greeting"):
        return Reason(about="host", says=f"{host}: a connection to it was open already")
    return Reason(about="host", says=f"{host} was the first in the order of hosts")


def _class(entry: HistoryEntry, judges: Judges) -> Reason:
    detail, reply = entry.detail, _reply(entry)
    category = str(detail.get("category"))
    if reply is None:
        return Reason(about="class", says=f"{category}: there is no reply, but what went wrong")
    used = rule_used(reply, _stage(entry), judges.rules)
    says = f"{category}: {used}"
    if category not in (used.category, Category.EXPIRED.value):
        says = f"{category}; the rules of now say {used.category}: {used}"
    return Reason(about="class", says=says, judged_anew=True)


def _time(entry: HistoryEntry, before: Sequence[HistoryEntry], judges: Judges) -> Reason | None:
    """Say why the next attempt is when it is; None where the event does not say when that is."""
    detail = entry.detail
    due = detail.get("next_attempt_at")
    if not isinstance(due, str):
        return None
    reply, told = _reply(entry), [*before, entry]
    deferral = Deferral(
        wait=datetime.fromisoformat(due) - entry.at,
        attempt=_number(detail.get("attempt")),
        soft_failures=sum(one.detail.get("reason") == REFUSED_FOR_NOW for one in told),
        unknown_outcomes=sum(one.detail.get("possible_duplicate") is True for one in told),
        reason=str(detail.get("reason", "")),
        reply="" if reply is None else reply.text,
        possible_duplicate=detail.get("possible_duplicate") is True,
    )
    return Reason(about="time", says=why_wait(deferral, judges.retry), judged_anew=True)


def _end(entry: HistoryEntry, before: Sequence[HistoryEntry], judges: Judges) -> Reason:
    """Say why it is not tried again."""
    detail, reply = entry.detail, _reply(entry)
    if detail.get("category") == Category.EXPIRED.value:
        limit = in_words(judges.retry.give_up_after)
        says = f"{detail.get('reason')}; retry.give_up_after = {limit}, and a day for a report"
    elif reply is not None and reply.is_permanent:
        says = f"{reply.code} is a permanent reply, which is never retried"
    elif reply is not None and reply.is_transient:
        waits = ", ".join(map(in_words, judges.retry.soft_bounce)) or "none"
        says = f"refused for now once more, after all waits of retry.soft_bounce: {waits}"
    elif detail.get("possible_duplicate") is True:
        waits = ", ".join(map(in_words, judges.retry.unknown_outcome)) or "none"
        says = f"no answer to the whole message, after all waits of retry.unknown_outcome: {waits}"
    else:
        looks = sum(one.kind == EventKind.DEFERRED.value for one in before)
        proof = "a second look found the same" if looks else "one look is proof"
        says = f"it is proven that no mail can be delivered there, and {proof}"
    return Reason(about="end", says=says)


def _suppression(entry: HistoryEntry) -> Reason:
    if entry.detail.get("suppress") is True:
        says = "suppressed: this proves that the address is invalid"
    else:
        says = "not suppressed: this does not prove that the address is invalid"
    return Reason(about="suppression", says=says)


def _reply(entry: HistoryEntry) -> Reply | None:
    code, text = entry.detail.get("code"), entry.detail.get("reply")
    if not isinstance(code, int) or not isinstance(text, str):
        return None
    return make_reply(code, (text.removeprefix(str(code)).lstrip(),))


def _stage(entry: HistoryEntry) -> Stage | None:
    stage = entry.detail.get("stage")
    return Stage(stage) if stage in set(Stage) else None


def _number(value: object) -> int:
    return value if isinstance(value, int) else 1
