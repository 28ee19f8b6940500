"""Mail that comes back to a return path: have it read, and say what is to be recorded and handed on.

The change of status and the copy for the original sender are stored in one transaction. A return path
that was made up, or whose message is forgotten, is refused at RCPT and changes nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog

from relayd.bounces.reader import Unreadable
from relayd.errors import StoreUnavailable
from relayd.mail.address import Address, parse_address
from relayd.mail.envelope import NewMessage, NewRecipient
from relayd.mail.event import Event
from relayd.mail.ids import format_id
from relayd.mail.outcome import Bounced
from relayd.mail.words import EventKind, JsonValue
from relayd.policy import late, route, verp
from relayd.policy.inbound_bounce import Kind, ParsedBounce
from relayd.policy.plan import ReturnPaths
from relayd.ports.outward import Clock
from relayd.ports.queue import LateNotice
from relayd.ports.view import Query, QueueView, RecipientRow

_LOOKED_AT = 1 << 20  # octets of what comes back; a report is in front of the message it is about

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Returned:
    """What came back."""

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

    def owns(self, address: Address) -> bool:
        """Tell whether an address lies in the domain of the return paths."""
        return address.domain.lower() == self.paths.domain.lower()

    def row_of(self, address: Address) -> RecipientRow | None:
        """Return the recipient that a return path stands for; None if it is forged or forgotten.

        May raise StoreError. Reads one row of the message, however many recipients it has.
        """
        token = verp.decode(address, key=self.paths.key, domain=self.paths.domain)
        if token is None:
            return None
        before = (token.message_id, token.recipient - 1)
        rows = self.view.find(Query(message_id=token.message_id), limit=1, before=before)
        return next((row for row in rows if row.recipient == token.recipient), None)

    async def read(self, message: NewMessage) -> Returned:
        """Read mail to a return path. Raises StoreError, also when that was forgotten since RCPT.

        Raises ReaderUnavailable where nobody can read it now. What cannot be read at all says nothing.
        """
        row = self.row_of(message.recipients[0].address)
        if row is None:
            raise StoreUnavailable("the message of this return path is forgotten by now")
        parsed = await self.parse(message.content[:_LOOKED_AT])
        if isinstance(parsed, Unreadable):
            _tell(message, row, parsed.reason)
            parsed = ParsedBounce(kind=Kind.NOTBOUNCE)
        kind = late.event_of(parsed)
        notice = None if kind is None else self._notice(row, kind, late.outcome_of(parsed))
        return Returned(notice, self._copy(message, row.reverse_path))

    def _notice(self, row: RecipientRow, kind: EventKind, outcome: Bounced | None) -> LateNotice:
        detail: dict[str, JsonValue] = {
            "message_id": row.message_id_header,
            "from": row.reverse_path,
            "rcpt": row.address,
            "tag": row.tag,
        }
        if outcome is not None:
            detail |= {
                "bounce_class": outcome.bounce_class.value,
                "category": outcome.category.value,
                "suppress": outcome.suppress,
                "enhanced": outcome.status,
                "reason": outcome.reason,
                "fault": outcome.fault.value,
            }
        event = Event(
            kind=kind,
            at=self.clock.now(),
            message_id=row.message_id,
            recipient=row.recipient,
            detail=detail,
        )
        return LateNotice(event=event, outcome=outcome)

    def _copy(self, message: NewMessage, sender: str) -> NewMessage:
        """Return the mail on its way to the original sender, who cannot bounce it to us."""
        recipient = NewRecipient(
            address=parse_address(sender),
            destination=route.key_for(sender, is_test=False, rules=self.routes),
            parameters={},
        )
        facts = replace(message.facts, is_test=False, tag=None)  # those are for applications to say
        return replace(message, reverse_path=None, recipients=(recipient,), facts=facts)


def _tell(message: NewMessage, row: RecipientRow, reason: str) -> None:
    log.warning(
        "bounce_unreadable",
        fault="peer",
        queue_id=format_id(message.id),
        client_ip=message.client.ip,
        rcpt=row.address,
        reason=reason,
    )
