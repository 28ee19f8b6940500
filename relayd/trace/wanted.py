"""Whom a trace is about, and who wants to see it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from relayd.errors import RelaydError
from relayd.mail.ids import MessageId, format_id, parse_id
from relayd.policy.delivery.route import names_of
from relayd.policy.intake import admit

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a dialogue or a decision is about; empty is what it does not concern."""

    queue_id: str = ""
    client_ip: str = ""
    destinations: frozenset[str] = frozenset()  # route keys, hosts and domains, in lower case


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a follower wants to see: of one message, of any of some clients, or of some destinations."""

    queue_id: str = ""
    clients: tuple[Network, ...] = ()
    destinations: frozenset[str] = frozenset()  # domains, hosts or route keys, in lower case
    content: bool = False

    def fits(self, subject: Subject) -> bool:
        if self.queue_id:
            return subject.queue_id == self.queue_id
        if self.clients:
            return bool(subject.client_ip) and admit.is_among(subject.client_ip, self.clients)
        return not self.destinations.isdisjoint(subject.destinations)


def wanted_to_json(wanted: Wanted) -> dict[str, object]:
    """Return the request for what is wanted."""
    given: dict[str, object] = {
        "queue_id": wanted.queue_id,
        "client": _shortest([str(each) for each in wanted.clients]),
        "destination": _shortest(sorted(wanted.destinations)),
        "content": wanted.content,
    }
    return {"verb": "trace", **{key: value for key, value in given.items() if value}}


def _shortest(values: Sequence[str]) -> object:
    """Several values as a list, a single one as itself, as older daemons know it."""
    return values[0] if len(values) == 1 else values


def wanted_from_json(request: Mapping[str, object]) -> Wanted:
    """Read that request. Raises RelaydError."""
    selectors = request.keys() & {"queue_id", "client", "destination"}
    unknown = request.keys() - selectors - {"verb", "content"}
    if unknown:
        raise RelaydError(f"unknown key {min(unknown)!r}")
    if len(selectors) != 1:
        raise RelaydError("a trace is of a queue id, of clients or of destinations")
    content = request.get("content", False)
    if not isinstance(content, bool):
        raise RelaydError("'content' is not true or false")
    [key] = selectors
    value = request[key]
    texts = value if isinstance(value, list) and key != "queue_id" else [value]
    given = [each for each in texts if isinstance(each, str) and each]
    if not texts or len(given) < len(texts):
        raise RelaydError(f"{key!r} is not a text")
    try:
        match key:
            case "queue_id":
                return Wanted(queue_id=format_id(parse_id(given[0])), content=content)
            case "client":
                networks = tuple(ip_network(each, strict=False) for each in given)
                return Wanted(clients=networks, content=content)
            case _:
                names = frozenset(each.lower() for each in given)
                return Wanted(destinations=names, content=content)
    except ValueError as error:
        raise RelaydError(str(error)) from error


def subject_of(
    message_id: MessageId, destination: str, addresses: Iterable[str], *, client_ip: str
) -> Subject:
    """Return whom the delivery of a message to these recipients is about."""
    domains = {address.rpartition("@")[2].lower() for address in addresses}
    names = names_of(destination) | domains
    return Subject(queue_id=format_id(message_id), client_ip=client_ip, destinations=names)
