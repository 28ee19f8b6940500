"""The queue as the parts of a worker use it.

The store has a few large verbs. Each is one transaction; no caller combines two of them to stay
consistent. None changes a state but as `relayd.mail.outcome.TRANSITIONS` allows: a recipient of whom it does
not is passed over. All of them may raise StoreUnavailable and, where they write, StoreFull and CommitUnknown
(S-55). That one answers one request: nobody knows whether it was carried out. Every verb but `note_late`,
and `enqueue` of a message without `once`, may then be called again with the same arguments: what was done is not done twice. The exception is a
settlement with `NotTried`: its recipient may be leased again, as the same attempt. What the commit
leased to nobody's knowledge, the store hands back by itself. After a StoreBroken every verb raises
it: the process has to end, and the next one looks anew.

Leases end by a clock of the machine that nobody can set; all other instants are the wall clock's.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage, QueuedMessage, QueuedRecipient
from relayd.mail.event import Event
from relayd.mail.ids import MessageId, Registration, WorkerIdentity, WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import Bounced, NoAttempt, Outcome
from relayd.mail.pause import Named, PauseRule, Side
from relayd.mail.suppression import ToSuppress
from relayd.ports.upkeep import Upkeep
from relayd.ports.view import Place, Query, Target

if TYPE_CHECKING:  # the commands that only name an `Action` need none of it
    import asyncio

    from relayd.policy.delivery.retry import LastRetry
    from relayd.policy.verp import VerpToken
    from relayd.ports.outbox import Outbox
    from relayd.ports.people import People
    from relayd.ports.permits import Permits
    from relayd.ports.requeue import Requeue, Requeued
    from relayd.ports.samples import Samples
    from relayd.ports.shares import Shares
    from relayd.ports.sites import SiteStates
    from relayd.ports.trust import TrustStore


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's right to deliver to one slot of a destination, until another epoch begins."""

    destination: str
    slot: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One message with those of its recipients that are leased together."""

    lease: Lease
    message: QueuedMessage
    recipients: tuple[QueuedRecipient, ...]
    content: Content | None  # None: read it with `QueueStore.content` (large, after a claim)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became of one leased recipient in one attempt."""

    message_id: MessageId
    recipient: int
    outcome: Outcome | NoAttempt
    events: tuple[Event, ...]  # written in the same transaction, oldest first
    attempt: int | None = None  # its number; None: of whichever is leased
    code: int | None = None  # of the reply that decided
    enhanced: str | None = None
    reply: str | None = None  # the reply's text, cleaned
    remote_host: str | None = None
    redirected_to: str | None = None  # the address that the next hop was given for this one


class QueueStore(Upkeep, Protocol):
    """The queue as a worker uses it."""

    @property
    def people(self) -> "People":
        """Who may use the console, and the audit."""
        ...

    @property
    def outbox(self) -> "Outbox":
        """What applications are told of its events."""
        ...

    @property
    def permits(self) -> "Permits":
        """Limits of accounts at smarthosts."""
        ...

    @property
    def shares(self) -> "Shares":
        """Shares of limits that are smaller than the number of workers."""
        ...

    @property
    def sites(self) -> "SiteStates":
        """How the sites that mail goes to directly are treated."""
        ...

    @property
    def trust(self) -> "TrustStore":
        """What is kept about TLS of mail hosts."""
        ...

    @property
    def samples(self) -> "Samples | None":
        """What machines tell each other; None where one machine has the queue alone."""
        ...

    async def register(self, worker: WorkerIdentity) -> Registration:
        """Give `worker` a number for its leases and its ids, as `relayd.mail.ids` says.

        What an earlier worker of the same boot and name, or any worker of an earlier boot, had
        leased is free at once: the caller promises that they are dead, since one daemon at a time
        has a queue (F-20). Their open attempts are marked as possible duplicates. All pauses end:
        the settings may have changed that they were for (S-53). No stored id with the bits of the
        new number is of a later millisecond than `ids_after`, also after the clock was set back
        (F-31). Raises StoreUnavailable, too, when 512 workers are alive.
        """
        ...

    async def leave(self, worker: WorkerNumber) -> None:
        """Note that a worker ends in good order: it has no connection open, and begins nothing more.

        Its shares of limits are free at once. Who waits until all others count it does not wait for this
        one. Leases are handed back before.
        """
        ...

    def has_room(self) -> bool:
        """Tell whether new messages may be taken; without waiting for the disk.

        Not when it is all but full: the rest is kept for outcomes and reports (F-10, F-12). Raises StoreUnavailable
        while a store behind a network is away: what comes in then could not be stored at its end.
        """
        ...

    def spool(self) -> "Spool":
        """Return a place for content that is too large to be held. May raise StoreError."""
        ...

    def enqueue(
        self, message: NewMessage, *, worker: WorkerNumber, lease_for: timedelta | None
    ) -> "asyncio.Future[Sequence[Work]]":
        """Store one message; the future is done when it is durable (S-01, S-03).

        Content from `spool` is the store's from now on; if it cannot be stored it is discarded.

        Starts at once and cannot be cancelled. With `lease_for`, recipients whose destination has
        a slot that `worker` holds or can take, and is not paused, are leased at enqueue, unless a pause rule
        stops a recipient of the message: they come back
        as Work, with the content, as attempt 1, and nobody else will claim them. All others wait
        to be claimed. The recipients of a message that `is_held` are held and never leased; what
        `first_events` gives is recorded in the same transaction.

        The key of a message that is to be taken `once` is written in that transaction too, and kept for `KEPT_FOR`.
        When one came with the same key before, nothing is stored: AlreadyTaken with that message, once it is
        durable, or OtherBody. So such a message may be given again after CommitUnknown.
        """
        ...

    async def claim(
        self,
        worker: WorkerNumber,
        *,
        limit: int,
        lease_for: timedelta,
        each: int | None = None,
        but: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> Sequence[Work]:
        """Lease free slots of due destinations to `worker`, and up to `limit` due recipients in all.

        At most `each` of one destination.

        Due means queued, not leased, `next_attempt_at` reached, the destination not paused, and stopped by no
        pause rule. Where rules stop a great many it may be empty before all of them were looked at.
        Destinations are served as `relayd.policy.delivery.fairness` says: those of which the last claim left little or nothing due
        get three quarters of it, in the order in which they became due. Of one destination the oldest recipients come first. Each
        recipient's attempt count rises in the same transaction (S-07). A worker has one slot of a
        destination at most; the one it holds already keeps its epoch, and its lease is renewed. A
        slot whose lease ended is free: taking it frees what its owner had, as `reap` does.
        Destinations in `but` are passed over, and all that are not in `only`, if given. Empty if nothing is due; never waits.
        """
        ...

    def next_due(self) -> float | None:
        """Return the seconds from now until something is due that the last claim saw; infinity: nothing waits.

        None where it does not say: a look is cheap, or that claim found something. What was put in since is not in it.
        """
        ...

    async def extend(
        self, leases: Sequence[Lease], *, worker: WorkerNumber, lease_for: timedelta
    ) -> Sequence[Lease]:
        """Renew leases; return those that were lost.

        A lease past its end is lost only once somebody took or freed the slot.
        """
        ...

    def settle(
        self,
        lease: Lease,
        settlements: Sequence[Settlement],
        reports: Sequence[NewMessage] = (),
    ) -> "asyncio.Future[Sequence[Settlement]]":
        """Write outcomes, events, and reports as new messages in one commit. LeaseLost, and nothing written, if the lease is stale.

        Stale means that the slot was freed or taken since. A recipient that is no longer leased
        under it for that attempt, because an operator acted on it or it was settled before, is
        passed over with its events: the future's result is what was written; without any, the reports are not. Where a call
        raised StoreUnavailable or CommitUnknown, the next one also tells what that one wrote. When nobody waits for a message any more, its content is deleted.
        """
        ...

    async def release(
        self, lease: Lease, *, paused_until: datetime | None = None, why: str = ""
    ) -> None:
        """Hand a slot back with everything still leased under it, uncounted.

        With `paused_until` nobody claims from the destination before that instant, which `why`
        explains to people; without, an earlier pause stays. A stale lease is no error and changes nothing.
        """
        ...

    async def remark(self, lease: Lease, why: str) -> None:
        """Tell people what the destination of `lease` waits for now; empty: nothing in particular.

        The next owner of the destination begins without such words, and a pause has its own. A
        stale lease is no error and changes nothing.
        """
        ...

    async def resume(self, destination: str) -> None:
        """End the pause of a destination; without one, nothing changes."""
        ...

    async def content(self, message_id: MessageId) -> Content | None:
        """Return the content as stored; None when it is gone with its last recipient.

        Raises ContentLost when it is missing though it is needed.
        """
        ...

    async def read(
        self, message_id: MessageId, *, by: str, reason: str, of: str | None = None
    ) -> "ContentRead | None":
        """Return the content for a person; None when it is gone.

        With `of` only what came with that login is there.

        An event of each recipient says who read it and why, in the same transaction: called again, it is
        recorded again. Raises ContentLost, and records nothing, when it is missing though it is needed.
        """
        ...

    async def reap(self) -> int:
        """Free slots whose lease ended; return how many recipients that freed.

        Those are due at once and marked as possible duplicates. Notices too, as `register` does,
        that the wall clock was set back: waits and pauses go on from where they were (F-31).
        """
        ...

    async def act(
        self,
        selector: "Query",
        action: "Action",
        *,
        by: str,
        reason: str,
        report: "ReportGivenUp | None" = None,
        batch: "Batch | None" = None,
    ) -> "Acted":
        """Carry out an operator's verb on all queued or held recipients that match, or on a batch of them.

        One event per recipient that changed, its detail with `by`, `reason` and the new `status`.
        `hold`, `bounce` and `drop` take a leased recipient out of its lease: its running attempt
        cannot be called back, so it is marked as a possible duplicate, and what becomes of that
        attempt is not recorded. `expedite` leaves leased ones alone, and ends the pause of the
        destinations of the others. `release` makes held ones due at once. With `bounce`, `report`
        is asked once for each message, and what it gives is queued in the same transaction.
        """
        ...

    async def requeue(
        self,
        selector: "Query",
        how: "Requeue",
        *,
        batch: "Batch | None" = None,
        dry_run: bool = False,
    ) -> "Requeued":
        """Make new messages of bounced ones, for those of their recipients that match; or count them.

        A dry run counts all of them; with a batch, that part, and it names whom it would requeue.
        A bounced recipient is left if it was requeued before, unless `how` says again; if its content is
        deleted; if its address is suppressed, where `how` spares such. Both messages have an event that
        names the other, in the same transaction. A batch may be smaller than asked for, as their contents are large.
        Without `again` it is done once, however often it is called. Raises StoreFull.
        """
        ...

    async def foresee(
        self,
        selector: "Query",
        action: "Action",
        *,
        last: "LastRetry",
        batch: "Batch | None" = None,
    ) -> "Foreseen":
        """Count what `act` would change, and change nothing; with a batch, of that part, and name them.

        `last` says who has used their last retry. A domain that seems to have no mail host is none of them: what the
        DNS proves ends mail in any attempt.
        """
        ...

    def note_late(
        self, path: "VerpToken", notice: "LateNotice | None", copy: NewMessage
    ) -> "asyncio.Future[LateNotice | None]":
        """Record what came back to `path`, and queue its copy for the sender, in one commit.

        A `late_bounced` notice applies to a recipient that is relayed or sent; another one only
        adds to the history. The result is the notice if it was recorded. What an asynchronous bounce says
        against the address holds for mail of the same sender only. Starts at once. Raises
        ReturnPathSpent, and nothing is written, when `relayd.policy.intake.admit.admit_returned` refuses.
        """
        ...

    async def secret(self) -> bytes:
        """Return the 32 random octets of this store, made when first asked for."""
        ...

    async def suppress(self, wanted: Sequence[ToSuppress], *, by: str) -> Sequence[bool]:
        """Suppress addresses on the word of a person; tell of each whether it was not suppressed before.

        One that was is left as it is. What the bounces of `settle` and `note_late` say about addresses is kept in
        the transaction that records them. All that stays until `unsuppress`; `purge` does not touch it.
        """
        ...

    async def unsuppress(self, address: str) -> bool:
        """Forget what spoke against an address; False when it was not suppressed, for any sender.

        From then on only later bounces count. The history itself stays.
        """
        ...

    async def pause(self, rules: Sequence[PauseRule]) -> Sequence[PauseRule]:
        """Add pause rules; return them with their numbers.

        One that names the same mail and sides as one that is there takes its place. Whom a rule stops is leased to
        nobody from then on, and the time until it ends is no part of their age. What is leased already is
        for its owner to look at. A rule ends by itself when its time is over.
        """
        ...

    async def unpause(
        self, wanted: Collection[int | Named] | None, sides: Collection[Side]
    ) -> Sequence[PauseRule]:
        """Take sides off rules, given by number or name, or all of them; return what was taken of each.

        A rule without a side has ended. Whom it stopped becomes due: of a great many, some with each claim.
        """
        ...

    async def close(self) -> None:
        """Finish what was begun, then let go of the store."""
        ...


class Spool(Protocol):
    """A place for one message that is being received: written once, front to back."""

    def write(self, octets: bytes, /) -> None:
        """Add octets. Raises StoreFull, StoreUnavailable."""
        ...

    def finish(self, head: bytes, /) -> Content:
        """Return what was written with `head` in front, for `QueueStore.enqueue`."""
        ...

    def discard(self) -> None: ...


class ReportGivenUp(Protocol):
    """Composes the report on recipients of one message whom an operator bounces."""

    def __call__(
        self,
        message: QueuedMessage,
        recipients: Sequence[QueuedRecipient],
        content: Content,
        reason: str,
        /,
    ) -> NewMessage | None:
        """Return the report; None when nobody wants one. May be called on a thread of the store."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A part of what matches: the newest messages first, from where the batch before ended.

    It ends with a message: what is done to one is one thing to its sender.
    """

    limit: int | None = (
        None  # recipients that match, and others of the last one's message; None: all
    )
    before: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What an operator's verb changed, and the reports that it queued."""

    events: tuple[Event, ...] = ()
    reports: tuple[NewMessage, ...] = ()
    matched: int = 0  # recipients that were looked at
    more: Place | None = None  # where the next batch begins; None: that was all


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRead:
    """The content of a message that somebody reads, and what is recorded of that."""

    content: Content  # it can be read to its end, also when the message is finished meanwhile
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What an operator's verb would change."""

    matched: int = 0
    changed: int = 0
    last_retry: int = 0  # of those: those that have used their last retry
    targets: tuple[Target, ...] = ()  # of a batch: whom
    more: Place | None = None  # where the next batch begins; None: that was all


@dataclass(frozen=True, slots=True, kw_only=True)
class LateNotice:
    """What became known of a recipient after its acceptance."""

    event: Event
    outcome: Bounced | None  # with an asynchronous bounce
    complaint: str = ""  # its kind, where it suppresses the address for mail of the same sender
