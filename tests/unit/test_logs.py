"""The logs: every line gets there in the end, and no log call ever stops the relay."""

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from relayd import logs
from relayd.logs import LineWriter, StatusLog, dump
from relayd.mail.attempt import AttemptFacts, Peer, RouteKind, TlsFacts
from relayd.mail.event import Event, attempt_detail, kind_of
from relayd.mail.ids import format_id
from relayd.mail.outcome import Outcome, Relayed
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import EventKind
from relayd.settings import LogSettings
from tests.support.builders import a_bounce, a_deferral, a_message, a_queued_message
from tests.support.clock import START
from tests.support.shortage import no_descriptors

# interface.md section 4, and what an outcome adds in words.
_FIELDS = """
    ts event node queue_id message_id envelope_id from rcpt orig_rcpt tag size attempt route
    remote_host remote_ip remote_port local_ip helo tls tls_problem stage code enhanced reply
    status bounce_class category suppress possible_duplicate next_attempt_at delay_queue
    delay_connect delay_transaction client_ip auth_user fault schema reason by
"""
FIELDS = set(_FIELDS.split())


def eventually(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.005)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "status.log"


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def numbered(count: int) -> list[bytes]:
    return [b"line %d" % number for number in range(count)]


def test_lines_are_appended_in_their_order(path: Path) -> None:
    path.write_bytes(b"what was there\n")
    with closing(LineWriter(str(path))) as writer:
        for line in numbered(5000):
            writer.write(line + b"\n")
    assert lines_of(path) == [b"what was there", *numbered(5000)]
    assert writer.lost == 0


def test_lines_arrive_without_a_close(path: Path) -> None:
    with closing(LineWriter(str(path))) as writer:
        writer.write(b"one\n")
        eventually(lambda: lines_of(path) == [b"one"])


def test_lines_of_many_threads_stay_whole(path: Path) -> None:
    with closing(LineWriter(str(path))) as writer:

        def write() -> None:
            for _ in range(500):
                writer.write(b"a" * 300 + b"\n")

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert lines_of(path) == [b"a" * 300] * 2000


def test_a_rotated_log_is_opened_anew(path: Path) -> None:
    """Without a signal: the file is another one by now (HL-01)."""
    old = path.with_suffix(".1")
    with closing(LineWriter(str(path))) as writer:
        writer.write(b"before\n")
        eventually(lambda: lines_of(path))
        path.rename(old)
        writer.write(b"after\n")
        eventually(lambda: lines_of(path))
    assert (lines_of(old), lines_of(path)) == ([b"before"], [b"after"])


def test_reopen_makes_the_file_before_the_next_line(path: Path) -> None:
    with closing(LineWriter(str(path))) as writer:
        path.rename(path.with_suffix(".1"))
        writer.reopen()
        eventually(path.exists)
        writer.write(b"after\n")
    assert lines_of(path) == [b"after"]


def test_a_folder_that_is_gone_for_a_while_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    path = folder / "status.log"
    with closing(LineWriter(str(path))) as writer:
        writer.write(b"one\n")
        eventually(lambda: lines_of(path))
        folder.rename(tmp_path / "away")
        for line in numbered(10):
            writer.write(line + b"\n")
        time.sleep(0.2)  # it has tried in vain
        folder.mkdir()
        eventually(lambda: len(lines_of(path)) == 10)
    assert lines_of(path) == numbered(10)


@contextmanager
def file_limit(octets: int) -> Iterator[None]:
    """Let writes beyond a size fail as on a full disk, after the part that fits."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_tears_and_repeats_no_line(path: Path) -> None:
    """F-26: what did not fit in the middle of a batch is written when there is room again."""
    with closing(LineWriter(str(path))) as writer:
        with file_limit(1003):
            for line in numbered(500):
                writer.write(line + b"\n")
            eventually(lambda: path.stat().st_size == 1003)
        eventually(lambda: len(lines_of(path)) == 500)
    assert lines_of(path) == numbered(500)


def test_a_device_without_room_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full: lines are kept up to a bound, and counted beyond; nothing raises or hangs."""
    monkeypatch.setattr(logs, "_KEPT", 100)
    before = Path("/dev/full").stat().st_mode
    try:
        writer = LineWriter("/dev/full")
        for _ in range(5000):
            writer.write(b"into the void\n")
        eventually(lambda: writer.lost > 0)
        writer.close()
        assert Path("/dev/full").stat().st_mode == before, "a device's mode is not ours to change"
    finally:
        if os.geteuid() == 0:
            Path("/dev/full").chmod(stat.S_IMODE(before))


def test_a_reader_that_sleeps_does_not_block_writers_nor_the_end(tmp_path: Path) -> None:
    """A full pipe: the caller goes on, and so does the end of the process."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writer = LineWriter(str(fifo))
    began = time.monotonic()
    for _ in range(300):
        writer.write(b"x" * 1000 + b"\n")
    assert time.monotonic() - began < 1
    end = threading.Thread(target=writer.close, daemon=True)
    end.start()
    end.join(timeout=10)
    assert not end.is_alive()
    while writer._thread.is_alive():  # let it go before the descriptors are closed
        with suppress(BlockingIOError):
            os.read(reader, 65536)
    os.close(reader)


def test_the_file_can_be_read_by_its_group_only(path: Path) -> None:
    before = os.umask(0o077)
    try:
        LineWriter(str(path)).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_symbolic_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    """A-96."""
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        LineWriter(str(path))


# The status log


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines_of(path)]


def the_detail(outcome: Outcome) -> Any:
    facts = AttemptFacts(
        peer=Peer(
            route=RouteKind.SMARTHOST,
            host="mx.test",
            ip="192.0.2.1",
            port=25,
            local_ip="192.0.2.9",
            helo="relay.test",
            tls=TlsFacts(version="TLSv1.3", cipher="TLS_AES", verified=False, problem="expired"),
        ),
        stage=Stage.DOT,
        reply=Reply(250, "2.0.0", ("2.0.0 ok",)),
        breakdown=None,
        dot_sent=True,
        started_at=START,
        connect_for=timedelta(seconds=0.25),
        transaction_for=timedelta(seconds=1.5),
    )
    return attempt_detail(facts, outcome, attempt=2, queued_for=timedelta(seconds=3))


@pytest.mark.parametrize(
    ("outcome", "status", "more"),
    [
        pytest.param(Relayed(), "relayed", set(), id="relayed"),
        pytest.param(
            a_deferral(possible_duplicate=True),
            "deferred",
            {"category", "fault", "reason", "next_attempt_at", "possible_duplicate"},
            id="deferred",
        ),
        pytest.param(
            a_bounce(),
            "bounced",
            {"bounce_class", "category", "fault", "suppress", "reason"},
            id="bounced",
        ),
    ],
)
def test_an_event_has_the_fields_of_the_interface(
    path: Path, outcome: Outcome, status: str, more: set[str]
) -> None:
    message = a_queued_message()
    event = Event(
        kind=kind_of(outcome),
        at=START,
        message_id=message.id,
        recipient=0,
        detail=the_detail(outcome),
    )
    with closing(StatusLog(str(path), node="node1")) as log:
        log.record(event, message, "a@x.test")
    [line] = read(path)
    assert line["ts"] == "2026-03-01T12:00:00.000Z"
    assert (line["event"], line["status"], line["node"]) == (status, status, "node1")
    assert line["queue_id"] == format_id(message.id)
    assert (line["from"], line["rcpt"]) == ("app@app.test", "a@x.test")
    assert (line["attempt"], line["route"], line["stage"]) == (2, "smarthost", "dot")
    assert (line["code"], line["enhanced"], line["reply"]) == (250, "2.0.0", "250 2.0.0 ok")
    assert line["tls"] == "TLSv1.3 TLS_AES unverified"
    assert (line["delay_queue"], line["delay_connect"], line["delay_transaction"]) == (3, 0.25, 1.5)
    assert line["schema"] == 1
    assert set(line) <= FIELDS
    assert more <= set(line)


def test_reception_gives_a_line_for_each_recipient(path: Path) -> None:
    message = a_message(
        "a@x.test", "b@x.test", message_id_header="<1@app.test>", tag="news", reverse_path=""
    )
    with closing(StatusLog(str(path), node="node1")) as log:
        log.received(message)
    lines = read(path)
    assert [line["rcpt"] for line in lines] == ["a@x.test", "b@x.test"]
    assert {line["event"] for line in lines} == {"received"}
    first = lines[0]
    assert set(first) <= FIELDS
    assert (first["from"], first["message_id"], first["tag"]) == ("", "<1@app.test>", "news")
    assert (first["client_ip"], first["status"], first["size"]) == (
        "127.0.0.1",
        "queued",
        len(message.content),
    )
    assert "auth_user" not in first, "what is not known is left out"


def test_refusals_and_operators_acts_are_lines_too(path: Path) -> None:
    message = a_message()
    dropped = Event(
        kind=EventKind.DROPPED,
        at=START,
        message_id=message.id,
        recipient=0,
        detail={"by": "me", "reason": "spam", "from": "", "rcpt": "a@x.test"},
    )
    with closing(StatusLog(str(path), node="node1")) as log:
        log.refused(START, {"rcpt": "a@x.test", "code": 550, "enhanced": None})
        log.acted(dropped)
    refused, acted = read(path)
    assert (refused["event"], refused["code"]) == ("refused", 550)
    assert "enhanced" not in refused
    assert (acted["event"], acted["status"], acted["by"]) == ("dropped", "dropped", "me")
    assert set(refused) | set(acted) <= FIELDS


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("not with me")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("\ud800 lone surrogate", id="surrogate"),
        pytest.param(2**70, id="large-number"),
        pytest.param(b"\xff octets", id="octets"),
        pytest.param(float("nan"), id="nan"),
        pytest.param(START, id="instant"),
        pytest.param({"inner": ["\udfff", {1: 2**64}]}, id="nested"),
        pytest.param(object(), id="object"),
        pytest.param(Unprintable(), id="unprintable"),
    ],
)
def test_any_value_becomes_one_line_that_is_an_object(value: object) -> None:
    """HL-02: what cannot be written as it is must not take the other fields with it."""
    line = dump({"event": "relayed", "reply": value, "code": 250})
    assert b"\n" not in line
    assert json.loads(line)["code"] == 250
    assert json.loads(line)["event"] == "relayed"


def test_a_value_that_contains_itself_is_written_somehow() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert json.loads(dump({"code": 250, "endless": endless}))["code"] == 250


# The operational log


@pytest.fixture
def _restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def set_up(form: str, level: str = "info") -> None:
    logs.configure(LogSettings(status_log="-", level=level, format=form))


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_log_call_never_raises(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(form)
    log = structlog.get_logger()
    log.warning("fine", one="\ud800", two=2**70, three=b"\xff\n", four={"a": "\udfff"})
    log.info("also fine", odd=Unprintable())
    try:
        int("\ud800")
    except ValueError:
        log.exception("with a traceback")
    assert capsys.readouterr().err.count("fine") == 2

    class Gone:
        def write(self, _: str) -> None:
            raise BrokenPipeError

        def flush(self) -> None:
            raise ValueError("closed")

    monkeypatch.setattr(sys, "stderr", Gone())
    log.error("nobody listens")


@pytest.mark.usefixtures("_restored")
def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", level="warning")
    log = structlog.get_logger()
    log.info("too low")
    log.warning("high enough", queue_id="7")
    [line] = capsys.readouterr().err.splitlines()
    read = json.loads(line)
    assert (read["event"], read["level"], read["queue_id"]) == ("high enough", "warning", "7")
    assert read["ts"].endswith("Z")


def test_standard_output_can_be_the_status_log() -> None:
    code = (
        "from relayd.logs import LineWriter\n"
        "writer = LineWriter('-')\n"
        "writer.write(b'one line\\n')\n"
        "writer.reopen()\n"
        "writer.write(b'another\\n')\n"
        "writer.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"one line\nanother\n"


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("configured", [True, False])
def test_silence_ends(capsys: pytest.CaptureFixture[str], *, configured: bool) -> None:
    structlog.reset_defaults()
    if configured:
        set_up("json")
    log = structlog.get_logger()
    with logs.silenced():
        log.error("unheard")
    log.error("heard")
    printed = capsys.readouterr()
    assert "unheard" not in printed.err + printed.out
    assert "heard" in (printed.err if configured else printed.out)
    assert structlog.is_configured() is configured


def test_a_log_that_cannot_be_opened_anew_for_now_loses_nothing(path: Path) -> None:
    old = path.with_suffix(".1")
    with closing(LineWriter(str(path))) as writer:
        path.rename(old)
        with no_descriptors():
            writer.reopen()
            writer.write(b"after\n")
            time.sleep(0.2)  # it has tried in vain
        eventually(lambda: path.exists() and lines_of(path) == [b"after"])
    assert lines_of(old) == []
