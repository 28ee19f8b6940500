"""One mail transaction as MAIL and RCPT build it up, and who may be in it.

Asks `relayd.policy.intake.admit` for the rules of relaying, and the history about addresses; `transfer` has
the commands.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace

from relayd.errors import StoreError
from relayd.mail.address import Address
from relayd.mail.envelope import MessageFacts
from relayd.mail.once import FirstMessage
from relayd.mail.parameters import MailParameters, RcptParameters, original_recipient
from relayd.mail.pause import Traits
from relayd.mail.reply import Reply
from relayd.policy.delivery.route import RouteFacts, asked_by
from relayd.policy.intake import admit
from relayd.receiver import console
from relayd.receiver.context import SessionContext
from relayd.receiver.intake import Intake

NO_HISTORY = Reply(451, "4.3.0", ("4.3.0 Cannot check the recipient now, try again later",))

_NO_CONTENT = MessageFacts(size=0, hops=0)  # none has come yet


@dataclass(slots=True)
class Transaction:
    """What MAIL and RCPT have said so far."""

    reverse_path: Address | None
    parameters: MailParameters
    recipients: list[tuple[Address, RcptParameters]] = field(default_factory=list)
    first: FirstMessage | None = None  # it came in before with the same key
    told: dict[str, str] = field(default_factory=dict)  # to each RCPT, where that is to be known
    octets: int = 0  # of memory that the recipients take
    for_alias: dict[Address, int] = field(default_factory=dict)
    """Where those of the recipients are, as they are compared, that no RCPT has named themselves."""

    @property
    def named_in_trace(self) -> str | None:
        """Return the one recipient, if there is one (S-50).

        Not one that goes out as A-labels: its message must not need SMTPUTF8 because of us (S-36).
        """
        path, _ = self.recipients[0]
        fits = path.is_ascii or path.needs_smtputf8
        return str(path) if len(self.recipients) == 1 and fits else None

    def take(self, path: Address, wanted: Sequence[tuple[Address, RcptParameters]]) -> None:
        """Take what RCPT names by `path`: that address, or those that an alias stands for."""
        if self.parameters.once is not None:
            self.told[str(path)] = console.ACCEPTED
        for address, parameters in wanted:
            if address is not path and address.compared != path.compared:
                self.for_alias[address.compared] = len(self.recipients)
            self.recipients.append((address, parameters))
            self.octets += _octets_of(address.local) + _octets_of(address.domain)
            self.octets += _octets_of(parameters.orcpt or "")

    def is_there_for_alias(self, path: Address, parameters: RcptParameters) -> bool:
        """Tell whether an alias has brought this address: it gets one copy, by the words of its own RCPT."""
        place = self.for_alias.pop(path.compared, None) if self.for_alias else None
        if place is None:
            return False
        self.recipients[place] = path, parameters
        if self.parameters.once is not None:
            self.told[str(path)] = console.ACCEPTED
        return True

    def refusal_of(
        self, path: Address, context: SessionContext, *, may_relay: bool
    ) -> Reply | Awaitable[Reply | None] | None:
        """Judge one more recipient; None: it may come in. An awaitable may raise StoreError."""
        if self.first is not None:
            return console.refusal_before(self.first, path)
        intake = context.intake
        if intake.owns(path):
            return self._refusal_of_return_path(path, intake)
        if not may_relay:
            return admit.NO_RELAYING
        if self.recipients and intake.owns(self.recipients[0][0]):
            return admit.RETURN_PATH_ALONE
        refusal = admit.admit_recipient(
            path,
            smtputf8=self.parameters.smtputf8,
            accepted=len(self.recipients),
            octets=self.octets,
            limits=context.limits,
        )
        if refusal is None and context.refuse_suppressed:
            return self._suppression_of(path, intake)
        return refusal

    def refusal_of_any(
        self,
        paths: Sequence[Address],
        context: SessionContext,
        *,
        may_relay: bool,
        user: str | None,
    ) -> Reply | Awaitable[Reply | None] | None:
        """Judge all that an alias stands for: it comes in as a whole. Raises as `refusal_of`."""
        found = [self.refusal_of(path, context, may_relay=may_relay) for path in paths]
        if context.pausing.intake:
            found += [self.pause_of(path, context, user=user) for path in paths]
        at_once = next((each for each in found if isinstance(each, Reply)), None)
        asked = [each for each in found if isinstance(each, Awaitable)]
        return _first_of(at_once, asked) if asked else at_once

    def pause_of(self, path: Address, context: SessionContext, *, user: str | None) -> Reply | None:
        """Return the refusal of one more recipient whose mail a pause rule stops."""
        seen = Traits(
            sender=str(self.reverse_path or ""),
            user=user,
            domain=path.domain,
            destination=context.intake.way_of(path, self.facts_of(context, user)).key,
        )
        return context.pausing.refusal([seen], context.now())

    def facts_of(
        self, context: SessionContext, user: str | None, content: MessageFacts = _NO_CONTENT
    ) -> RouteFacts:
        """Return what the ways of its recipients depend on; before its content has come, without what that tells."""
        return RouteFacts(
            sender=str(self.reverse_path or ""),
            user=user,
            listener=context.listener.address,
            is_test=content.is_test,
            test_via=content.test_via,
            asks=asked_by(requires=self.parameters.requiretls, lifts=content.lifts_tls),
        )

    def _refusal_of_return_path(
        self, path: Address, intake: Intake
    ) -> Reply | Awaitable[Reply | None] | None:
        """Judge a return path: it is anybody's to write to, in a message of its own."""
        if self.parameters.once is not None:  # nothing would remember that it came
            return admit.NO_RETURN_PATH
        if self.recipients:
            return admit.RETURN_PATH_ALONE
        try:
            return intake.refusal_of_return_path(path)
        except StoreError:
            return NO_HISTORY

    def _suppression_of(
        self, path: Address, intake: Intake
    ) -> Reply | Awaitable[Reply | None] | None:
        try:
            is_suppressed = intake.is_suppressed(path, sender=self.reverse_path)
        except StoreError:
            return NO_HISTORY
        if isinstance(is_suppressed, bool):
            return admit.SUPPRESSED if is_suppressed else None
        return _refusal_by(is_suppressed)


def _octets_of(text: str) -> int:
    """Return what a text takes in memory: one character beyond ASCII may make four octets of each."""
    return len(text) if text.isascii() else 4 * len(text)


def taken_for(
    path: Address, parameters: RcptParameters, targets: Sequence[Address]
) -> Sequence[tuple[Address, RcptParameters]]:
    """Return the recipients that an alias stands for, each with what was asked for the alias.

    Reports and the history name the original recipient (RFC 3461 §5.2.7: its ORCPT is kept, or made).
    """
    if targets == (path,):
        return [(path, parameters)]
    if parameters.orcpt is None:
        parameters = replace(parameters, orcpt=original_recipient(path))
    return [(target, parameters) for target in targets]


async def _first_of(
    refusal: Reply | None, asked: Sequence[Awaitable[Reply | None]]
) -> Reply | None:
    answers = [await each for each in asked]
    return refusal or next(filter(None, answers), None)


async def _refusal_by(is_suppressed: Awaitable[bool]) -> Reply | None:
    return admit.SUPPRESSED if await is_suppressed else None
