"""Mail that comes back to a return path: read it, record what it says, hand it to the sender.

One transaction stores both the change of status and the copy for the original sender. A return
path that was made up, or whose message is forgotten, is refused at RCPT and changes nothing.
"""

import asyncio
from dataclasses import dataclass, replace

from relayd.mail.address import Address, parse_address
from relayd.mail.envelope import NewMessage, NewRecipient
from relayd.mail.event import Event, EventKind, JsonValue
from relayd.mail.outcome import Bounced
from relayd.policy import late, route, verp
from relayd.policy.inbound_bounce import parse_bounce
from relayd.policy.plan import ReturnPaths
from relayd.policy.ruleset import Rules
from relayd.ports import Clock, LateNotice, Query, QueueStore, QueueView, RecipientRow


@dataclass(frozen=True, slots=True, kw_only=True)
class LateBounces:
    """Recognizes return paths, and takes what arrives there."""

    paths: ReturnPaths
    store: QueueStore
    view: QueueView
    rules: Rules
    routes: route.RouteRules
    clock: Clock

    def owns(self, address: Address) -> bool:
        """Tell whether an address lies in the domain of the return paths."""
        return address.domain.lower() == self.paths.domain.lower()

    def row_of(self, address: Address) -> RecipientRow | None:
        """Return the recipient that a return path stands for; None if it is forged or forgotten."""
        token = verp.decode(address, key=self.paths.key, domain=self.paths.domain)
        if token is None:
            return None
        rows = self.view.find(Query(message_id=token.message_id), limit=1_000_000)
        return next((row for row in rows if row.recipient == token.recipient), None)

    def take(self, message: NewMessage) -> "asyncio.Future[LateNotice | None]":
        """Store what came back; the future has what was recorded."""
        row = self.row_of(message.recipients[0].address)
        assert row is not None, "checked at RCPT, and history is kept for days"
        parsed = parse_bounce(message.content, rules=self.rules)
        kind = late.event_of(parsed)
        notice = None if kind is None else self._notice(row, kind, late.outcome_of(parsed))
        return self.store.note_late(notice, self._copy(message, row.reverse_path))

    def _notice(self, row: RecipientRow, kind: EventKind, outcome: Bounced | None) -> LateNotice:
        detail: dict[str, JsonValue] = {"from": row.reverse_path, "rcpt": row.address}
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
        return replace(message, reverse_path=None, recipients=(recipient,))
