"""What the sessions of one listener share."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime

from relayd.policy.places import Whose
from relayd.ports.outward import ContentChecker
from relayd.receiver.intake import Intake
from relayd.receiver.tls import ServerTls
from relayd.receiver.users import Users
from relayd.receiver.wire import Wire
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
    loop: asyncio.AbstractEventLoop
    spawn: Callable[[Coroutine[None, None, None]], object]  # for what cannot be done at once
    on_changed: Callable[[Wire, Whose], bool]  # its client is another now; False: no place for it
    may_send: Callable[[Whose], bool]  # a stranger, a message
    on_close: Callable[[Wire], None]
