"""Accept or refuse what a client asks for: facts in, None or the reply out.

Owns the rules of intake; every intake path calls these (S-51). The wording is fixed text: nothing
that the client sent is echoed (S-48).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from relayd.mail.address import Address
from relayd.mail.envelope import MessageFacts
from relayd.mail.reply import Reply

HOP_LIMIT = 100  # Received fields a message may come with, RFC 5321 §6.3
# Of memory, that one of the recipients of a message may take on the average, with its ORCPT. Names have 25 octets, seldom 60;
# a thousand that are as long as they may be would be 4 MB for each connection.
OCTETS_EACH = 256
_LEAST_RECIPIENTS = 100  # that a message may have, whatever their length (RFC 5321 §4.5.3.1.8)
# Mails to one VERP address. What comes there is a warning of a delay, a bounce, an automatic answer, of
# an alias a few of each. Everybody who got the mail may write there, and all of it is handed on to the sender.
RETURNED_A_DAY = 3
RETURNED_IN_ALL = 20

TOO_BIG = Reply(552, "5.3.4", ("5.3.4 Message too big for this relay",))
NO_ROOM = Reply(452, "4.3.1", ("4.3.1 No room for the message, try again later",))
TOO_MANY_MESSAGES = Reply(451, "4.3.2", ("4.3.2 Too many messages at once, try again later",))
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", ("4.5.3 Too many recipients, send the rest separately",))
NO_RELAYING = Reply(550, "5.7.1", ("5.7.1 Relaying denied for your address",))
NEEDS_SMTPUTF8_SENDER = Reply(550, "5.6.7", ("5.6.7 Address needs the SMTPUTF8 parameter",))
NEEDS_SMTPUTF8_RECIPIENT = Reply(553, "5.6.7", ("5.6.7 Address needs the SMTPUTF8 parameter",))
NO_RETURN_PATH = Reply(550, "5.1.1", ("5.1.1 No such return path",))
RETURN_PATH_BUSY = Reply(
    450, "4.7.1", ("4.7.1 Too much mail to this return path today, try again later",)
)
RETURN_PATH_SPENT = Reply(550, "5.7.1", ("5.7.1 Too much mail to this return path",))
COMPLAINT_UNKNOWN = Reply(
    550, "5.7.1", ("5.7.1 Not a complaint about a message of this relay, or it is forgotten",)
)
RETURN_PATH_ALONE = Reply(
    452, "4.5.3", ("4.5.3 A return path takes mail of its own, send it apart",)
)
NO_LITERAL = Reply(553, "5.1.3", ("5.1.3 Address literals are not relayed",))
SUPPRESSED = Reply(550, "5.7.1", ("5.7.1 Recipient is suppressed",))
NOT_YOUR_SENDER = Reply(553, "5.7.1", ("5.7.1 Your account may not use this sender",))
NEEDS_LOGIN = Reply(530, "5.7.0", ("5.7.0 Authentication required",))
NEEDS_TLS = Reply(530, "5.7.0", ("5.7.0 Must issue a STARTTLS command first",))
LOOP = Reply(554, "5.4.6", ("5.4.6 Too many hops, this message is looping",))


def for_now(refusal: Reply) -> Reply:
    """Return a refusal of mail as one for now, for `soft_bounce`: a client tries again then.

    Another refusal stays as it is: a wrong command (50z), a login (53z), one for now. Of a reply code the second
    digit says what it is about, 5 being mail (RFC 5321 §4.2.1).
    """
    if not 550 <= refusal.code <= 559:
        return refusal
    return Reply(
        refusal.code - 100,
        None if refusal.enhanced is None else f"4{refusal.enhanced[1:]}",
        tuple(f"4{line[1:]}" if line.startswith("5.") else line for line in refusal.lines),
    )


Network = IPv4Network | IPv6Network
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    message_size: int  # octets
    recipients: int  # per message
    connections: int  # per worker
    connections_per_client: int  # per worker
    stop_within: timedelta  # for clients; `relayd.policy.stopping` has what follows from it


class FixUps(StrEnum):
    """Whose mail gets what a submission service adds, or loses what it takes out."""

    AUTO = "auto"  # that of clients who submit it
    ALWAYS = "always"
    NEVER = "never"


def may_relay(client_ip: str, networks: Sequence[Network]) -> bool:
    """Tell whether a client may relay without authentication (S-28).

    The empty string is a unix socket: who may open it may relay.
    """
    return not client_ip or is_among(client_ip, networks)


def is_among(client_ip: str, networks: Sequence[Network]) -> bool:
    """Tell whether a client's address is in one of the networks; a unix socket is in none."""
    if not client_ip or not networks:
        return False
    address = address_of(client_ip)
    return any(address in network for network in networks)


@lru_cache(maxsize=4096)  # each client is asked about several times
def address_of(client_ip: str) -> IPv4Address | IPv6Address:
    """Return the address without its zone; of one in ::ffff:0:0/96 the IPv4 address inside."""
    address = ip_address(client_ip.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def network_of(address: IPv4Address | IPv6Address, bits: int) -> str:
    """Return the network of `bits` bits around an address, as text."""
    return str(ip_network((address.packed, bits), strict=False))


def is_this_machine(client_ip: str) -> bool:
    """Tell whether a client is on this machine: on a unix socket, or a loopback address."""
    return not client_ip or address_of(client_ip).is_loopback


def is_fixed_up(wanted: FixUps, *, is_own_client: bool, is_relayed: bool) -> bool:
    """Tell whether a message is to be fixed up (S-49).

    Those submit mail who are on this machine or have logged in (`is_own_client`); not what they hand
    on for others (`is_relayed`), since mail under way is nobody's to change (RFC 5321 §6.4).
    """
    if wanted is FixUps.AUTO:
        return is_own_client and not is_relayed
    return wanted is FixUps.ALWAYS


def admit_sender(
    reverse_path: Address | None,
    *,
    smtputf8: bool,
    declared_size: int,
    limits: LimitSettings,
    has_room: bool,
) -> Reply | None:
    """Judge MAIL. `declared_size` is 0 when the client did not say (RFC 1870 §6.1).

    Without room no message is begun: what is left is for what becomes of those we have (F-10).
    """
    if declared_size > limits.message_size:
        return TOO_BIG
    if reverse_path is not None and not smtputf8 and not reverse_path.is_ascii:
        return NEEDS_SMTPUTF8_SENDER
    return None if has_room else NO_ROOM


def admit_recipient(
    forward_path: Address, *, smtputf8: bool, accepted: int, octets: int, limits: LimitSettings
) -> Reply | None:
    """Judge RCPT; `accepted` counts the recipients of this message so far (S-27, S-37, S-41), `octets` what they take."""
    if not smtputf8 and not forward_path.is_ascii:
        return NEEDS_SMTPUTF8_RECIPIENT
    if forward_path.is_literal:
        return NO_LITERAL
    most_octets = OCTETS_EACH * max(limits.recipients, _LEAST_RECIPIENTS)
    if accepted >= limits.recipients or octets >= most_octets:
        return TOO_MANY_RECIPIENTS
    return None


def admit_returned(came_back: Sequence[datetime], *, now: datetime) -> Reply | None:
    """Judge one more mail to a VERP address, to which mail came at these instants.

    Those that lie ahead by less than a day count as of today: another worker commits in between, or the
    clock was set back a little. What lies further ahead counts in all only.
    """
    if len(came_back) >= RETURNED_IN_ALL:
        return RETURN_PATH_SPENT
    today = sum(abs(now - at) < _DAY for at in came_back)
    return RETURN_PATH_BUSY if today >= RETURNED_A_DAY else None


def admit_message(facts: MessageFacts) -> Reply | None:
    """Judge the message at its final dot (S-21)."""
    return LOOP if facts.hops > HOP_LIMIT else None
