"""The one side of a dialogue that is ours: its state, the replies that are owed, what was refused.

What each command means is in `hello`, `login` and `transfer`, as functions of a dialogue.

Source: RFC 5321 §4.2; RFC 2034 (enhanced codes).
"""

from collections.abc import Collection

from relayd.mail.address import Address
from relayd.mail.lenient import Leniency
from relayd.mail.reply import Reply
from relayd.mail.words import Detail
from relayd.policy.intake.admit import for_now
from relayd.receiver.client import ClientState
from relayd.receiver.context import SessionContext
from relayd.receiver.login_dialogue import LoginDialogue
from relayd.receiver.reader import DataReader
from relayd.receiver.states import TRANSITIONS, Event, State

JUNK_LIMIT = 100  # commands in a row that bring no mail along
ERROR_LIMIT = 100  # refused commands in a session


class Dialogue:
    """Replies are collected in `owed`; who sends them empties it."""

    def __init__(self, context: SessionContext, client: ClientState) -> None:
        self.context = context
        self.client = client
        self.state = State.CONNECTED
        self.owed: list[bytes] = []
        self.content: DataReader | None = None  # while it is being read
        self.login: LoginDialogue | None = None  # while an answer is awaited
        self.ends_in_lf = False  # its lines do, on both sides of DATA
        self.junk = 0
        self.errors = 0
        self.failed_logins = 0
        self._counted_at: float | None = None  # the message that is not answered yet, by a quota

    def move(self, event: Event) -> None:
        """Go on to the state that follows."""
        following = TRANSITIONS[self.state][event]
        assert isinstance(following, State)
        self.state = following

    def fail(self, line: bytes) -> None:
        """Refuse a command for what it is."""
        self.errors += 1
        self.owed.append(line)

    def refuse(
        self,
        reply: Reply,
        *,
        sender: Address | None = None,
        recipient: Address | None = None,
        is_error: bool = True,
        more: Detail | None = None,
    ) -> None:
        """Give a reply of policy's, and note it in the status log."""
        client, fault = self.client, "policy" if reply.is_permanent else "local"
        if self.context.soft_bounce:
            reply = for_now(reply)
        self.context.intake.refused(
            {
                "from": str(sender or ""),
                "rcpt": str(recipient or ""),
                "client_ip": client.origin.ip,
                "helo": client.helo,
                "code": reply.code,
                "enhanced": reply.enhanced,
                "reply": str(reply),
                "fault": fault,
                **(more or {}),
            },
            stranger="" if client.may_relay else client.origin.site,
        )
        self.errors += is_error
        self.owed.append(f"{reply}\r\n".encode())

    def serve_leniently(self, kinds: Collection[Leniency]) -> None:
        """Note that the client is served though it breaks the rules."""
        context, client = self.context, self.client
        context.lenient_log.served(
            client.account_name,
            client.origin.ip,
            client.listener.address,
            kinds,
            context.monotonic(),
        )

    def quota_before(self) -> Reply | None:
        """Judge whether a message of the client would be too many. A stranger's is none of ours."""
        quotas, client = self.context.quotas, self.client
        if quotas is None or not client.may_relay:
            return None
        return quotas.refusal(client.origin, client.auth_user)

    def count(self) -> Reply | None:
        """Count a message that is taken, unless it is too many: others may have come since MAIL."""
        quotas, client = self.context.quotas, self.client
        self._counted_at = None
        if quotas is None or not client.may_relay:
            return None
        counted = quotas.take(client.origin, client.auth_user)
        if isinstance(counted, Reply):
            return counted
        self._counted_at = counted
        return None

    def uncount(self) -> None:
        """Give the message back that was counted last: it is not taken after all."""
        quotas, client, at = self.context.quotas, self.client, self._counted_at
        if quotas is not None and at is not None:
            quotas.give_back(client.origin, client.auth_user, counted_at=at)
            self._counted_at = None

    def close(self, line: bytes) -> None:
        """Let `line` be the last reply. A message whose end has not come is nothing (E-24)."""
        if self.state is not State.CLOSING:
            self.state = State.CLOSING
            self.drop_content()
            self.owed.append(line)

    def drop_content(self) -> None:
        if self.content is not None:
            self.content.discard()
            self.content = None

    def tire(self) -> None:
        """End a session that brings no mail."""
        if self.junk > JUNK_LIMIT or self.errors > ERROR_LIMIT:
            self.close(b"421 4.7.0 Too many commands without mail\r\n")
