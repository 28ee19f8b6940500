"""Which problems the overview shows, beside the notices that all commands show.

Pure: numbers come in, problems with a remedy go out, the gravest first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from relayd.policy.console.webhook import Off
from relayd.policy.doctor.finding import Finding, Level

_LEAST_BOUNCES = 10
_SHARE = 0.05  # of what was accepted or bounced in the last hour
_FAILS = 600  # seconds without an answer that a webhook took
_MOST_FINDINGS = 3  # of the doctor
_STALE = 7 * 86400  # seconds after which its result is told no more
_OLD = 4 * 3600  # seconds that mail waits, without being held


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that wants to be looked at."""

    text: str
    remedy: str
    filters: Mapping[str, str]  # of the messages that it is about; none: it is about no mail
    is_grave: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookFacts:
    """How a webhook is doing."""

    number: int
    off: Off
    failing_seconds: float | None = None  # None: it answers
    heard: str = ""  # the last time


@dataclass(frozen=True, slots=True, kw_only=True)
class HourFacts:
    """The outcomes of the last hour, and whose mail bounced most."""

    accepted: int
    bounced: int
    sender: str = ""
    sender_bounced: int = 0
    tag: str = ""


def problems(
    hour: HourFacts, *, oldest_seconds: float | None, oldest_destination: str
) -> Sequence[Problem]:
    """Return the problems that these numbers show."""
    found = []
    ended = hour.accepted + hour.bounced
    if hour.bounced >= _LEAST_BOUNCES and hour.bounced / ended >= _SHARE:
        found.append(_bounces(hour, hour.bounced / ended))
    if oldest_seconds is not None and oldest_seconds >= _OLD:
        hours = int(oldest_seconds // 3600)
        found.append(
            Problem(
                text=f"the oldest mail has waited for {hours} h, for {oldest_destination}",
                remedy="look at its last reply; relayd retries by itself until retry.give_up_after",
                filters={"destination": oldest_destination, "unfinished": "1"},
            )
        )
    return found


def webhook_problems(webhooks: Iterable[WebhookFacts]) -> Sequence[Problem]:
    """Return which webhooks want to be looked at: those that were disabled, then those that fail for long."""
    found = []
    for each in webhooks:
        if each.off not in (Off.NO, Off.BY_HAND):
            found.append(
                Problem(
                    text=f"webhook {each.number} is disabled: its receiver is {each.off}",
                    remedy=f"repair it, then: relayd console webhook set {each.number} --enable; nothing was lost",
                    filters={},
                    is_grave=True,
                )
            )
        elif each.failing_seconds is not None and each.failing_seconds >= _FAILS and not each.off:
            found.append(
                Problem(
                    text=f"webhook {each.number} fails: {each.heard}",
                    remedy=f"look at its receiver: relayd console webhook deliveries {each.number} --waiting",
                    filters={},
                )
            )
    return sorted(found, key=lambda problem: not problem.is_grave)


def doctor_problems(findings: Iterable[Finding], *, age_seconds: float) -> Sequence[Problem]:
    """Return what the last run of the doctor found wrong, unless that was long ago."""
    if age_seconds > _STALE:
        return []
    failed = [each for each in findings if each.level is Level.FAIL]
    found = [
        Problem(
            text=f"doctor, {each.check} of {each.subject}: {each.reason}",
            remedy=each.remedy or "relayd doctor looks again",
            filters={},
        )
        for each in failed[:_MOST_FINDINGS]
    ]
    if len(failed) > _MOST_FINDINGS:
        more = len(failed) - _MOST_FINDINGS
        text, remedy = f"doctor: {more} findings more", "its page has all of them"
        found.append(Problem(text=text, remedy=remedy, filters={}))
    return found


def _bounces(hour: HourFacts, share: float) -> Problem:
    whose = ""
    filters = {"status": "bounced", "since": "1h"}
    if hour.sender:
        whose = f", most of it from {hour.sender} ({hour.sender_bounced})"
        filters["sender"] = hour.sender
    if hour.tag:
        whose += f" with the tag {hour.tag}"
        filters["tag"] = hour.tag
    return Problem(
        text=f"{share:.0%} of the last hour bounced: {hour.bounced} of {hour.accepted + hour.bounced}{whose}",
        remedy="look at the replies; hold what is still queued of that sender until the cause is known",
        filters=filters,
        is_grave=True,
    )
