"""What a report is made of, what there is to report, and whether anybody wants it.

Source: RFC 3461 §4.1 (NOTIFY), §4.3 (RET), §5.2 (who reports a success); RFC 3464 §2.3.3 (actions).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from relayd.mail.outcome import Bounced, Deferred, Outcome, Relayed, Sent
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import Category

Action = Literal["failed", "delayed", "relayed", "delivered"]
Occasion = Literal["failure", "delay", "success"]

DELAYED_AFTER = timedelta(hours=4)
"""Age of a message at which those are told who asked to be told of a delay."""

_NOTIFY_WORDS = frozenset({"NEVER", "SUCCESS", "FAILURE", "DELAY"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRecipient:
    """One recipient that a report speaks of."""

    address: str
    orig_rcpt: str | None  # ORCPT as received: type and xtext
    action: Action
    status: str  # enhanced status code, such as 5.1.1
    remote_host: str | None  # who gave `reply`
    reply: Reply | None  # None when no server said anything
    reason: str  # one line for people
    stage: Stage | None  # where the attempt ended; None: there was none
    category: Category | None  # why it failed; None: it did not
    is_direct: bool  # the recipient's own servers were asked, not a smarthost
    possible_duplicate: bool  # an attempt may have delivered it
    last_attempt_at: datetime
    will_retry_until: datetime | None  # of a delayed one


@dataclass(frozen=True, slots=True, kw_only=True)
class DsnFacts:
    """What a report says about the message as a whole."""

    reporting_mta: str  # our fqdn
    queue_id: str
    reverse_path: str  # whom the report goes to
    envelope_id: str | None  # ENVID as received, xtext
    received_at: datetime
    received_from: str | None  # the name the client gave
    ret: Literal["FULL", "HDRS"] | None
    needs_utf8: bool  # send it with SMTPUTF8; a reverse-path beyond ASCII implies it
    now: datetime
    token: str  # unique; becomes the local part of the Message-ID
    lifts_tls: bool = (
        False  # the message said TLS-Required: No, and so does the report (RFC 8689 §5)
    )
    unmailed: int = 0  # reports that this sender should have got, and did not: too many at once

    @property
    def is_utf8(self) -> bool:
        """The report itself is internationalized. UTF-8 recipients alone do not ask for that."""
        return self.needs_utf8 or not self.reverse_path.isascii()


def occasion_of(
    outcome: Outcome, *, taken_over: bool, received_at: datetime, now: datetime
) -> Occasion | None:
    """Return what an attempt at `now` that ended in `outcome` is an occasion for; None: nothing.

    `taken_over`: the next hop was told what the sender asked for, and reports a success itself. A
    delay is reported once, with nothing remembered: after the last attempt before it becomes one.
    """
    match outcome:
        case Bounced():
            return "failure"
        case Relayed() | Sent():
            return None if taken_over else "success"
        case Deferred():
            delayed = received_at + DELAYED_AFTER
            return "delay" if now < delayed <= outcome.retry_at else None
        case _:
            return None


def wants_report(reverse_path: str, notify: str | None, *, event: Occasion) -> bool:
    """Tell whether the sender is told of `event`; `notify` is what was said at RCPT.

    Never for the null reverse-path, so that no report causes another (S-12). Without NOTIFY only
    failures are told: RFC 3461 leaves delays to us, and senders take them for failures. NEVER
    counts only where it is alone, as it must; in doubt a failure is told (S-11).
    """
    if reverse_path in ("", "<>"):
        return False
    if notify is None:
        return event == "failure"
    given = {word.strip().upper() for word in notify.split(",")}
    asked = given & _NOTIFY_WORDS
    return event.upper() in asked if asked else event == "failure"
