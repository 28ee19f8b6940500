"""What the sessions of one listener share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from relayd.policy.places import Whose
from relayd.ports.outward import ContentChecker
from relayd.receiver.intake import Intake
from relayd.receiver.tls import ServerTls
from relayd.receiver.users import Users
from relayd.settings import LimitSettings, ListenerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionContext:
    fqdn: str
    listener: ListenerSettings
    limits: LimitSettings
    refuse_suppressed: bool = False
    tls: ServerTls | None = None  # set where the listener has TLS
    checker: ContentChecker | None = None  # of messages, if they are checked
    users: Users | None = None  # set where clients may log in
    intake: Intake
    now: Callable[[], datetime]
    may_send: Callable[[Whose], bool]  # a stranger, a message
