"""Mail that comes back to a return path: have it read, and say what is to be recorded and handed on.

The change of status and the copy for the original sender are stored in one transaction. A return path
that was made up, or whose message is forgotten, or to which too much mail came, is refused at RCPT and
changes nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from relayd.bounces.reader import Unreadable
from relayd.deliverer.own_message import recipients_of
from relayd.errors import ComplaintUnknown, ReturnPathSpent, StoreUnavailable
from relayd.mail.address import Address, parse_address
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage
from relayd.mail.event import Event, Subject
from relayd.mail.finish import finish_own
from relayd.mail.header import header_end
from relayd.mail.ids import format_id
from relayd.mail.reply import Reply
from relayd.mail.submission import values_of
from relayd.mail.words import EventKind, JsonValue
from relayd.policy import late, verp
from relayd.policy.delivery import route
from relayd.policy.delivery.plan import ReturnPaths
from relayd.policy.inbound_bounce import Kind, ParsedBounce
from relayd.policy.intake import admit
from relayd.policy.intake.aliases import Aliases, receivers_of
from relayd.policy.seldom import Seldom
from relayd.policy.verp import VerpToken
from relayd.ports.outward import Clock
from relayd.ports.queue import LateNotice
from relayd.ports.view import Query, QueueView, RecipientRow
from relayd.worker.asking import Asking

_LOOKED_AT = 1 << 20  # octets of what comes back; a report is in front of the message it is about

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Returned:
    """What came back."""

    path: VerpToken
    notice: LateNotice | None  # None: it says nothing final
    copy: NewMessage  # for the original sender


@dataclass(frozen=True, slots=True, kw_only=True)
class LateBounces:
    """Recognizes return paths, and reads what arrives there."""

    paths: ReturnPaths
    view: QueueView
    parse: Callable[[bytes], Awaitable[ParsedBounce | Unreadable]]  # not on the event loop
    routes: route.RouteRules
    clock: Clock
    complaints: frozenset[str] = frozenset()  # addresses, in lower case
    refuses_complained: bool = False
    aliases: Aliases | None = None  # where mail to names of this machine goes
    asking: Asking = field(default_factory=Asking)
    too_many: Seldom = field(default_factory=Seldom)

    def owns(self, address: Address) -> bool:
        """Tell whether an address lies in the domain of the return paths, or takes complaints."""
        return address.domain.lower() == self.paths.domain.lower() or self._is_for_all(address)

    def _is_for_all(self, address: Address) -> bool:
        return bool(self.complaints) and str(address).lower() in self.complaints

    def row_of(self, address: Address) -> RecipientRow | None:
        """Return the recipient that a return path stands for; None if it is forged or forgotten.

        May raise StoreError. Reads one row of the message, however many recipients it has.
        """
        token = verp.decode(address, key=self.paths.key, domain=self.paths.domain)
        return None if token is None else self._row_of(token)

    def _row_of(self, token: VerpToken) -> RecipientRow | None:
        before = (token.message_id, token.recipient - 1)
        rows = self.view.find(Query(message_id=token.message_id), limit=1, before=before)
        return next((row for row in rows if row.recipient == token.recipient), None)

    def refusal_of(self, address: Address) -> Reply | None:
        """Judge RCPT of an address that `owns` tells. May raise StoreError."""
        if self._is_for_all(address):
            return None  # what it is about only its content tells
        row = self.row_of(address)
        return admit.NO_RETURN_PATH if row is None else self._refusal_of(row)

    def _refusal_of(self, row: RecipientRow) -> Reply | None:
        came_back = self.view.came_back(row.message_id, row.recipient)
        refusal = admit.admit_returned(came_back, now=self.clock.now())
        if refusal is not None and self.too_many.is_due(self.clock.monotonic()):
            log.warning(
                "return_path_spent",
                fault="peer",
                queue_id=format_id(row.message_id),
                rcpt=row.address,
                mails=len(came_back),
            )
        return refusal

    async def read(self, message: NewMessage) -> Returned:
        """Read mail to a return path. Raises StoreError, also when that was forgotten since RCPT.

        Raises ReturnPathSpent when too much mail came there since, ReaderUnavailable where nobody can
        read it now. What cannot be read at all says nothing.
        """
        address, content = message.recipients[0].address, message.content[:_LOOKED_AT]
        is_for_all = self._is_for_all(address)
        find = partial(self._row_in, content) if is_for_all else partial(self.row_of, address)
        row = await self.asking.ask(find)
        if row is None and is_for_all:
            raise ComplaintUnknown("a complaint that names no message of ours")
        if row is None:
            raise StoreUnavailable("the message of this return path is forgotten by now")
        if await self.asking.ask(partial(self._refusal_of, row)) is not None:
            raise ReturnPathSpent("as much mail came to this return path as may")
        parsed = await self.parse(content)
        if isinstance(parsed, Unreadable):
            _tell(message, row, parsed.reason)
            parsed = ParsedBounce(kind=Kind.NOTBOUNCE)
        if is_for_all and not late.is_complaint(parsed):
            raise ComplaintUnknown("what came to the address for complaints is none")
        told = row.redirected_to or str(route.forwarded(parse_address(row.address), self.routes))
        found = late.conclude(
            parsed,
            is_null=message.reverse_path is None,
            meant=(row.address, told),
            age=self.clock.now() - row.received_at,
        )
        path = VerpToken(message_id=row.message_id, recipient=row.recipient)
        notice = None if found is None else self._notice(row, found, parsed.feedback_type)
        return Returned(path, notice, self._copy(message, row.reverse_path))

    def _row_in(self, content: bytes) -> RecipientRow | None:
        """Return the recipient whose return path a mail encloses."""
        tokens = verp.tokens_in(content, key=self.paths.key, domain=self.paths.domain)
        return next(filter(None, map(self._row_of, tokens)), None)

    def _notice(
        self, row: RecipientRow, found: late.Finding, feedback_type: str | None
    ) -> LateNotice:
        outcome = found.outcome
        detail: dict[str, JsonValue] = {}
        if outcome is not None:
            proves = outcome.suppress and row.redirected_to is None
            outcome = replace(outcome, suppress=proves, reason=verp.masked(outcome.reason))
            detail |= {
                "bounce_class": outcome.bounce_class.value,
                "category": outcome.category.value,
                "suppress": outcome.suppress and found.doubt is None,
                "enhanced": outcome.status,
                "reason": outcome.reason,
                "fault": outcome.fault.value,
            }
        if found.doubt is not None:
            detail["not_counted"] = found.doubt.value
        complaint = ""
        if found.kind is EventKind.COMPLAINED:
            detail["feedback_type"] = feedback_type or "abuse"
            complaint = str(detail["feedback_type"]) if self.refuses_complained else ""
        event = Event(
            kind=found.kind,
            at=self.clock.now(),
            message_id=row.message_id,
            recipient=row.recipient,
            detail=detail,
            subject=Subject(
                message_id_header=row.message_id_header,
                reverse_path=row.reverse_path,
                tag=row.tag,
                size=row.size,
                address=row.address,
            ),
        )
        outcome = None if found.doubt else outcome
        return LateNotice(event=event, outcome=outcome, complaint=complaint)

    def _copy(self, message: NewMessage, sender: str) -> NewMessage:
        """Return the mail on its way to the original sender, who cannot bounce it to us."""
        facts, content = finish_own(_without_tokens(message.content), message.facts)
        address, client = parse_address(sender), message.client
        known = route.RouteFacts(
            sender="",
            user=client.auth_user,
            listener=client.listener,
            is_test=facts.is_test,
            asks=route.asked_by(requires=message.parameters.requiretls, lifts=facts.lifts_tls),
        )
        return replace(
            message,
            reverse_path=None,
            recipients=recipients_of(receivers_of(address, self.aliases), known, self.routes),
            content=content,
            facts=facts,
        )


def _without_tokens(content: Content) -> Content:
    """Return what the sender may read: the token is the next hops' affair.

    What is signed stays as it is, or its signature would no longer hold; so does what is too large to
    be held, of which a report quotes no more than the header section.
    """
    if not isinstance(content, bytes):
        return content
    header = content[: header_end(content)]
    if any(values_of(header, "DKIM-Signature", "ARC-Message-Signature")):
        return content
    return verp.masked_octets(content)


def _tell(message: NewMessage, row: RecipientRow, reason: str) -> None:
    log.warning(
        "bounce_unreadable",
        fault="peer",
        queue_id=format_id(message.id),
        client_ip=message.client.ip,
        rcpt=row.address,
        reason=reason,
    )
