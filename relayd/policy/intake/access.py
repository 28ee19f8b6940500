"""Which addresses the mail of a client may have: as its sender, and in From.

Owns what the lists of a listener, a login and a network mean together: each that has something to say must
agree. The patterns are those of `[senders]`. The null reverse-path is everybody's: without it an
application could not report a failure (RFC 5321 §4.5.5).

Source: RFC 5322 §3.6.2 (From).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from relayd.mail.address import Address
from relayd.mail.header import header_end
from relayd.mail.reply import Reply
from relayd.policy.delivery.senders import SenderPatterns
from relayd.policy.intake.admit import Network
from relayd.policy.intake.origin import Origin
from relayd.policy.rewriting import author, fields

SENDER_NOT_ALLOWED = Reply(553, "5.7.1", ("5.7.1 This sender is not allowed for you here",))
FROM_NOT_ALLOWED = Reply(550, "5.7.1", ("5.7.1 The address in From is not allowed for you here",))
NO_FROM = Reply(550, "5.7.1", ("5.7.1 From is missing or cannot be read, so it is not allowed",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What one list of each kind allows; without patterns it allows all."""

    senders: SenderPatterns = field(default_factory=SenderPatterns)
    header_from: SenderPatterns = field(default_factory=SenderPatterns)


ANYTHING = Allowed()


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks with their names; of those that a client is in, the smallest counts, alone."""

    named: tuple[tuple[str, Network], ...] = ()

    def name_for(self, origin: Origin) -> str | None:
        """Return the name of the smallest network that the client is in; None: it is in none."""
        around = [each for each in self.named if origin.is_among((each[1],))]
        return max(around, key=lambda each: each[1].prefixlen)[0] if around else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """The lists of logins and networks."""

    logins: Mapping[str, Allowed] = field(default_factory=dict)
    networks: Networks = field(default_factory=Networks)
    in_network: Mapping[str, Allowed] = field(default_factory=dict)

    def for_client(
        self, listener: Allowed, origin: Origin, user: str | None
    ) -> Collection[Allowed]:
        """Return the lists that all have to agree."""
        if listener is ANYTHING and user is None and not self.in_network:
            return []  # most clients
        lists = [listener]
        if user is not None:
            lists.append(self.logins.get(user, ANYTHING))
        if self.in_network:
            lists.append(self.in_network.get(self.networks.name_for(origin) or "", ANYTHING))
        return [each for each in lists if each is not ANYTHING]


def refusal_of_sender(lists: Collection[Allowed], reverse_path: Address | None) -> Reply | None:
    """Judge MAIL; None: every list has this reverse-path."""
    if reverse_path is None or not lists:
        return None
    is_allowed = all(_has(each.senders, reverse_path) for each in lists)
    return None if is_allowed else SENDER_NOT_ALLOWED


def refusal_of_from(lists: Collection[Allowed], head: bytes) -> Reply | None:
    """Judge content by its header section; None: every list has every address of every From field.

    Where a list is there at all, From has to be there too, and to be readable: what another program reads in it
    must not be more than what was judged here.
    """
    if not lists:
        return None
    wanted = [each.header_from for each in lists if each.header_from.patterns]
    if not wanted:
        return None
    found: list[Address] = []
    for value in fields.values(head[: header_end(head)], "From"):
        addresses = author.addresses(value)
        if not addresses:
            return NO_FROM
        found += addresses
    if not found:
        return NO_FROM
    is_allowed = all(_has(patterns, each) for patterns in wanted for each in found)
    return None if is_allowed else FROM_NOT_ALLOWED


def may_be_author(lists: Collection[Allowed], address: Address) -> bool:
    """Tell whether every list lets a client be an author whose mail is signed: as a sender, and in From."""
    return all(_has(each.senders, address) and _has(each.header_from, address) for each in lists)


def _has(allowed: SenderPatterns, address: Address) -> bool:
    return not allowed.patterns or allowed.first_for(str(address)) is not None
