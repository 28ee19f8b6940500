"""The switchboard: off costs nothing, and each follower gets what it wants."""

import asyncio
from collections.abc import Iterator
from ipaddress import ip_network

import orjson
import pytest
from structlog.testing import capture_logs

from relayd.mail.ids import MessageId
from relayd.policy import verp
from relayd.ports.queue import Lease
from relayd.trace import Subject, Wanted, tracing
from relayd.trace.followers import Buffer, DebugLog
from relayd.trace.mask import Mask
from relayd.trace.switch import CONTENT_SHOWN, LONGEST_TOKEN, Trace, TraceLine
from tests.support.builders import a_message


class Follower:
    def __init__(self, wanted: Wanted | None) -> None:
        self.wanted = wanted
        self.lines: list[TraceLine] = []

    def take(self, line: TraceLine) -> None:
        self.lines.append(line)


@pytest.fixture(autouse=True)
def _nobody_is_left() -> Iterator[None]:
    yield
    for one in tracing.followers:
        tracing.remove(one)
    assert not tracing.is_on


def test_each_follower_gets_its_own() -> None:
    one = Follower(Wanted(clients=(ip_network("192.0.2.1/32"),)))
    other = Follower(Wanted(clients=(ip_network("192.0.2.2/32"),), content=True))
    everything = Follower(None)
    for follower in (one, other, everything):
        tracing.add(follower)
    for number in (1, 2):
        trace = Trace(Subject(client_ip=f"192.0.2.{number}"), Mask(), session=number)
        trace.command("smtp_received", b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n")
        trace.content("smtp_received", b"x" * (2 * CONTENT_SHOWN))
    assert [line["session"] for line in one.lines] == [1, 1, 1]
    assert [line["session"] for line in other.lines] == [2, 2, 2]
    assert len(everything.lines) == 6
    assert not [line for line in (*one.lines, *everything.lines) if "content" in line]
    assert other.lines[-1]["content"] == "x" * CONTENT_SHOWN
    assert other.lines[-1]["line"] == f"({2 * CONTENT_SHOWN} octets of content)"


@pytest.mark.parametrize("seen", range(1, 46, 4))
def test_a_token_that_is_cut_is_not_shown_in_part(seen: int) -> None:
    """Lines so short that what is read beyond the end of what is shown comes to be shown."""
    token = str(verp.encode(MessageId(1 << 40), 7, key=b"k" * 32, domain="back.test"))
    follower = Follower(Wanted(queue_id="q", content=True))
    tracing.add(follower)
    read = CONTENT_SHOWN + LONGEST_TOKEN
    before = (b"x\r\n" * read)[: read - len("b+") - seen]
    trace = Trace(Subject(queue_id="q"), Mask())
    trace.content("smtp_sent", before + token.encode() + b"\r\n" + b"y\r\n" * read)
    shown = str(follower.lines[0]["content"])
    assert "b+" not in shown
    assert len(shown) > CONTENT_SHOWN // 2


def test_nothing_is_current_when_nobody_looks() -> None:
    tracing.begin(Subject(queue_id="x"))
    assert tracing.current() is None
    follower = Follower(None)
    tracing.add(follower)
    assert tracing.current() is None, "that was before"
    tracing.tell("judged")
    assert not follower.lines
    trace = tracing.begin(Subject(queue_id="y"))
    assert tracing.current() is trace
    tracing.tell("judged")
    assert [line["queue_id"] for line in follower.lines] == ["y"]


def test_a_new_era_begins_when_somebody_looks_again() -> None:
    one, other = Follower(None), Follower(None)
    era = tracing.era
    tracing.add(one)
    tracing.add(other)
    tracing.remove(one)
    assert tracing.is_on
    assert tracing.era == era + 1
    tracing.remove(other)
    tracing.add(one)
    assert tracing.era == era + 2


def test_who_handed_a_message_in_is_known_on_its_way_out() -> None:
    follower = Follower(Wanted(clients=(ip_network("192.0.2.0/24"),)))
    tracing.add(follower)
    message = a_message(client_ip="192.0.2.9")
    tracing.taken(message, leased=True)
    events = [line["event"] for line in follower.lines]
    assert events == ["message_taken", "route_chosen", "delivery_planned"]


def test_a_lease_is_told_to_who_follows_its_destination() -> None:
    follower = Follower(Wanted(destinations=frozenset(["x.test"])))
    tracing.add(follower)
    lease = Lease(destination="mx:x.test", slot=0, epoch=4)
    tracing.about_destination("lease_taken", lease)
    tracing.about_destination("lease_taken", Lease(destination="mx:y.test", slot=0, epoch=4))
    [line] = follower.lines
    assert {"destination": "mx:x.test", "slot": 0, "epoch": 4}.items() <= line.items()


def test_the_debug_log_has_all_but_content() -> None:
    with capture_logs() as logs:
        tracing.add(DebugLog())
        Trace(Subject(client_ip="192.0.2.1"), Mask(), client_ip="192.0.2.1").tell(
            "judged", code=250
        )
    [line] = logs
    assert line == {"event": "judged", "log_level": "debug", "client_ip": "192.0.2.1", "code": 250}


async def test_a_slow_reader_loses_lines_and_is_told_how_many() -> None:
    buffer = Buffer(Wanted(destinations=frozenset(["x"])), worker="7")
    for number in range(5000):
        buffer.take({"event": "judged", "code": number})
    buffer.put(b"x" * 2_000_000 + b"\n")
    lines = [orjson.loads(line) for line in (await buffer.read()).splitlines()]
    *told, last = lines
    assert [line["code"] for line in told] == list(range(2000))
    assert told[0]["worker"] == "7"
    assert last == {"event": "trace_dropped", "lines": 3001}
    buffer.take({"event": "judged"})
    assert (await buffer.read()).count(b"\n") == 1
    waiting = asyncio.ensure_future(buffer.read())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
