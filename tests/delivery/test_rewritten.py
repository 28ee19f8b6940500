"""Rewriting in the deliverer: what goes wrong in it concerns its message alone."""

import pytest
from structlog.testing import capture_logs

from relayd.errors import ContentLost, Shortage
from relayd.mail.address import parse_address
from relayd.mail.content import Content
from relayd.mail.words import Fault
from relayd.policy.delivery.senders import SenderPatterns
from relayd.policy.rewriting.choice import Rewriting
from relayd.policy.rewriting.rules import Rewrite
from relayd.ports.view import Status
from relayd.store.memory.queue import MemoryStore
from tests.support.builders import a_message
from tests.support.clock import FakeClock
from tests.support.post import a_post, eventually
from tests.support.scripted_server import ScriptedServer

APP = parse_address("app@example.com")
RULES = Rewriting(
    patterns=SenderPatterns(("*",)),
    senders={"*": Rewrite(envelope_from=APP, add_headers={"X-A": "1"})},
    smarthosts={},
    key=bytes(32),
)


class Unreadable:
    """Content that lies on a file that cannot be read."""

    def __init__(self, error: Exception, *, times: int = 1000) -> None:
        self._error = error
        self._left = times

    def __len__(self) -> int:
        return len(b"Subject: x\r\n\r\n")

    def __getitem__(self, part: "slice[int | None, int | None, None]", /) -> bytes:
        if self._left:
            self._left -= 1
            raise self._error
        return b"Subject: x\r\n\r\n"[part]


class Lying(MemoryStore):
    """Gives `broken` as the content of what is for `poison@x.test`."""

    def __init__(self, clock: FakeClock, broken: Content) -> None:
        super().__init__(clock)
        self.broken = broken

    async def content(self, message_id):  # type: ignore[no-untyped-def]  # as the port has it
        recipients = self._tables.messages[message_id].recipients
        if any(str(each.new.address) == "poison@x.test" for each in recipients):
            return self.broken
        return await super().content(message_id)


@pytest.mark.parametrize(
    ("error", "event"),
    [(ValueError("a bug"), "attempt_failed"), (ContentLost("it is gone"), "content_lost")],
)
async def test_what_one_message_trips_over_stops_no_other(error: Exception, event: str) -> None:
    store = Lying(FakeClock(), Unreadable(error))
    async with (
        ScriptedServer() as server,
        a_post(server.port, store=store, rewriting=RULES) as post,
    ):
        with capture_logs() as logs:
            poison = await post.submit(a_message("poison@x.test"))
            good = await post.submit(a_message("a@x.test"))
            await post.settled()
        assert post.row(good).status is Status.RELAYED
        assert post.row(poison).status is Status.DEFERRED
        [(kind, detail)] = post.events(poison)
        assert (kind, detail["fault"]) == ("deferred", Fault.LOCAL.value)
        assert event in {line["event"] for line in logs}
        [message] = server.messages
        assert message.mail.startswith("FROM:<app@example.com>")
        assert b"X-A: 1" in message.content


async def test_content_that_cannot_be_read_now_is_read_later() -> None:
    """This machine lacks descriptors: the rest goes back uncounted, nobody is to blame."""
    store = Lying(FakeClock(), Unreadable(Shortage("too many open files"), times=1))
    async with (
        ScriptedServer() as server,
        a_post(server.port, store=store, rewriting=RULES) as post,
    ):
        poison = await post.submit(a_message("poison@x.test"))
        await eventually(lambda: "smarthost" in store._tables.paused, "it rests")
        assert not post.kinds(poison)
        await store.resume("smarthost")
        post.scheduler.wake()
        await post.settled(poison)
        assert post.row(poison).status is Status.RELAYED
