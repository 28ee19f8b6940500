"""One mail transaction as MAIL and RCPT build it up, and who may be in it.

Asks `relayd.policy.admit` for the rules of relaying, and the history about addresses; the session
owns the dialogue.
"""

from dataclasses import dataclass, field

from relayd.errors import StoreError
from relayd.mail.address import Address
from relayd.mail.parameters import MailParameters, RcptParameters
from relayd.mail.reply import Reply
from relayd.policy import admit
from relayd.receiver.intake import Intake
from relayd.settings import LimitSettings

NO_HISTORY = Reply(451, "4.3.0", ("4.3.0 Cannot check the recipient now, try again later",))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientRules:
    """What decides about a recipient, besides the recipient."""

    may_relay: bool
    limits: LimitSettings
    refuse_suppressed: bool
    intake: Intake


@dataclass(slots=True)
class Transaction:
    """What MAIL and RCPT have said so far."""

    reverse_path: Address | None
    parameters: MailParameters
    recipients: list[tuple[Address, RcptParameters]] = field(default_factory=list)

    @property
    def smtputf8(self) -> bool:
        return self.parameters.smtputf8

    @property
    def named_in_trace(self) -> str | None:
        """Return the one recipient, if there is one (S-50).

        Not one that goes out as A-labels: its message must not need SMTPUTF8 because of us (S-36).
        """
        path, _ = self.recipients[0]
        fits = path.is_ascii or path.needs_smtputf8
        return str(path) if len(self.recipients) == 1 and fits else None

    def refusal_of(self, path: Address, rules: RecipientRules) -> Reply | None:
        """Judge one more recipient; None: it may come in."""
        if rules.intake.owns(path):
            return self._refusal_of_return_path(path, rules)
        if not rules.may_relay:
            return admit.NO_RELAYING
        if self.recipients and rules.intake.owns(self.recipients[0][0]):
            return admit.RETURN_PATH_ALONE
        refusal = admit.admit_recipient(
            path,
            smtputf8=self.smtputf8,
            accepted=len(self.recipients),
            limits=rules.limits,
        )
        if refusal is None and rules.refuse_suppressed:
            return self._suppression_of(path, rules)
        return refusal

    def _refusal_of_return_path(self, path: Address, rules: RecipientRules) -> Reply | None:
        """Judge a return path: it is anybody's to write to, in a message of its own."""
        if self.recipients:
            return admit.RETURN_PATH_ALONE
        try:
            return rules.intake.refusal_of_return_path(path)
        except StoreError:
            return NO_HISTORY

    def _suppression_of(self, path: Address, rules: RecipientRules) -> Reply | None:
        try:
            is_suppressed = rules.intake.is_suppressed(path, sender=self.reverse_path)
        except StoreError:
            return NO_HISTORY
        return admit.SUPPRESSED if is_suppressed else None
