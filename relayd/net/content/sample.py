"""A message as a content checker is shown it."""

from dataclasses import dataclass
from typing import Self

from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import format_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The octets, and of the envelope what is known: None or empty is unknown."""

    content: Content
    reverse_path: str | None = None  # empty: the null reverse-path
    recipients: tuple[str, ...] = ()
    client_ip: str = ""
    helo: str = ""
    auth_user: str | None = None
    queue_id: str = ""

    @classmethod
    def of(cls, message: NewMessage) -> Self:
        return cls(
            content=message.content,
            reverse_path=str(message.reverse_path or ""),
            recipients=tuple(str(each.address) for each in message.recipients),
            client_ip=message.client.ip.partition("%")[0],
            helo=message.client.helo,
            auth_user=message.client.auth_user,
            queue_id=format_id(message.id),
        )
