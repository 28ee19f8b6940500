"""Every command that draws keeps to the width of the screen, however narrow, and to what the terminal can."""

from datetime import timedelta

import pytest

from relayd.answers.notices import Notice
from relayd.answers.overview import Overview, Reading, Slow
from relayd.cli import screen as screens
from relayd.cli.doctor.words import show_findings
from relayd.cli.notices import show_notice
from relayd.cli.output import fitted, hanging
from relayd.cli.table import width_of
from relayd.cli.top import screen
from relayd.mail.ids import MessageId
from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.policy.console.roles import Scope as Right
from relayd.policy.doctor.finding import Check, Finding, Level
from relayd.ports.view import Counts, LatestEvent, Metric, Status
from tests.support.builders import a_bounce, a_message, settlements_of
from tests.support.cli_world import World, enqueue, with_users
from tests.support.clock import START
from tests.support.people import ROOT, a_key, an_account
from tests.support.screens import a_screen
from tests.support.tls_counts import a_tls_session

WIDTHS = (40, 80, 100, 140)
REPLY = (
    "550 5.1.1 <gone@shop.example>: 日本語 no such user here, and there never was one of that name"
)
FINDINGS = [
    Finding(check=Check.SPF, subject="example.org", level=level, reason=REPLY, remedy=REPLY)
    for level in Level
]


def an_overview() -> Overview:
    return Overview(
        at=START,
        trouble="",
        reading=Reading(at=0, metrics=[Metric("relayd_workers", (), 2)]),
        counts=Counts(
            by_status={Status.QUEUED: 12},
            by_destination={"mx:a-very-long-destination.of-a-customer.example": 12},
            oldest={"mx:a-very-long-destination.of-a-customer.example": START},
        ),
        slowest=(Slow(destination="mx:another-destination.example", attempts=3, seconds=0.5),),
        errors=tuple(
            LatestEvent(
                message_id=MessageId(1),
                address="somebody@customer.example",
                destination="smarthost",
                kind="late_bounce_doubted",
                at=START - timedelta(minutes=number),
                detail={"remote_host": "127.0.0.1", "reply": REPLY},
            )
            for number in range(3)
        ),
    )


@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize("columns", WIDTHS)
def test_top_keeps_to_the_screen(
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    colours: bool,  # noqa: FBT001
) -> None:
    with a_screen(monkeypatch, columns=columns, lines=20, colours=colours) as shown:
        screen.watch(map(screen.drawing_of, [an_overview(), an_overview()]), rounds=2)
        screen.show(screen.drawing_of(an_overview()))
    text = shown.getvalue()
    assert ("\x1b" in text) == colours
    for drawn in text.split("\x1b[H") if colours else [text]:
        lines = drawn.replace("\x1b[K", "").replace("\x1b[J", "").splitlines()
        assert all(width_of(line) <= max(columns, 40) for line in lines if "\x1b[?" not in line)
    assert "DESTINATION" in text
    assert "12" in text


@pytest.mark.parametrize("columns", WIDTHS)
def test_doctor_loses_nothing_of_what_is_to_be_done(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    with a_screen(monkeypatch, columns=columns) as shown:
        show_findings(FINDINGS)
    lines = shown.getvalue().splitlines()
    assert all(width_of(line) <= columns for line in lines)
    said = "".join(shown.getvalue().split())
    assert said.count("".join(REPLY.split())) >= len(FINDINGS) + 2  # remedies; reasons that matter


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_text_below_its_start(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    with a_screen(monkeypatch, columns=columns):
        lines = hanging("  verdict         ", REPLY).split("\n")
        cut = fitted(f"2026-11-26T13:42:40.058Z  bounced  {REPLY}")
    assert all(width_of(line) <= columns for line in lines)
    assert "".join("".join(lines).split()) == "verdict" + "".join(REPLY.split())
    assert width_of(cut) <= columns
    assert hanging("a ", REPLY) == f"a {REPLY}"
    assert fitted(REPLY) == REPLY


LISTS = (
    "status",
    "status --delays",
    "queue list",
    "queue list --by domain",
    "addresses",
    "log",
    "stats",
    "stats --by sender",
    "pauses",
    "sites",
    "tlsrpt show",
    "user list",
    "console user list",
    "console key list",
    "console audit",
    "console webhook list",
    "console webhook deliveries",
    "config get",
    "config diff",
)
LONG = "someone-with-a-long-name@a-customer.of-ours-with-a-long-name-too.example"


@pytest.fixture
async def filled(world: World) -> None:
    """Long names in every list, and a notice that is as long."""
    store = world.open_store()
    worker = await enqueue(store, a_message(LONG, reverse_path=LONG, tag="t" * 90))
    for work in await store.claim(worker, limit=9, lease_for=timedelta(minutes=5)):
        await store.settle(work.lease, settlements_of(work, a_bounce()))
    await enqueue(store, a_message(LONG, reverse_path=LONG))
    await store.trust.add_tls_results({a_tls_session(LONG.partition("@")[2]): 1})
    rule = PauseRule(
        named=Named(Scope.SENDER, LONG),
        sides=frozenset(Side),
        since=START,
        until=None,
        by="ann",
        reason="why " * 30,
    )
    await store.pause([rule])
    await store.people.add_account(an_account("u" * 60), author=ROOT)
    await store.people.add_key(
        a_key(senders=(LONG, "@y.test"), scopes=frozenset(Right)), author=ROOT
    )
    await store.close()
    world.log.write_text(
        '{"ts":"2026-11-26T13:42:40.058Z","event":"bounced","queue_id":"0CNSP4MA20400",'
        f'"from":"shop@app.example","rcpt":"{LONG}","reply":"550 no such user here"}}\n'
    )
    with_users(world, f"{'u' * 60} {LONG} @y.test")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("command", LISTS)
@pytest.mark.parametrize("columns", [40, 80, 100, 140])
def test_no_line_of_a_list_is_wider(
    world: World, monkeypatch: pytest.MonkeyPatch, command: str, columns: int
) -> None:
    with a_screen(monkeypatch, columns=columns) as shown:
        monkeypatch.setattr("sys.stderr", shown)
        assert world.run(*command.split()).status in (0, 69)
    lines = shown.getvalue().splitlines()
    assert lines
    tables = [line for line in lines if not line.startswith("daemon: ")]
    assert [line for line in tables if width_of(line) > columns] == []


NOTICES = {
    "a long reason": Notice(kind="destination", text=f"mx:x.test: {REPLY}", remedy="relayd top"),
    "a long remedy": Notice(kind="disk", text="the disk is full", remedy=REPLY),
    "both": Notice(kind="disk", text=REPLY, remedy=REPLY),
    "neither": Notice(kind="daemon", text="stopped", remedy="start it"),
}


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("notice", NOTICES.values(), ids=NOTICES)
def test_a_notice_is_one_line_that_keeps_its_remedy(
    monkeypatch: pytest.MonkeyPatch, columns: int, notice: Notice
) -> None:
    with a_screen(monkeypatch, columns=columns) as shown:
        monkeypatch.setattr("sys.stderr", shown)
        show_notice(notice)
    [line] = shown.getvalue().splitlines()
    assert width_of(line) <= columns
    if len(notice.remedy) < 20:
        assert line.endswith(f"({notice.remedy})")
    if notice.text != REPLY and len(notice.text) < 20:
        assert line.startswith(notice.text)


def test_nothing_of_a_notice_is_cut_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    show_notice(NOTICES["both"])
    assert capsys.readouterr().err == f"{NOTICES['both']}\n"


def test_a_dumb_terminal_gets_line_after_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_screen(monkeypatch) as shown:
        screens.repeat(lambda: print("x"), rounds=2, pause=lambda _: None)
    assert shown.getvalue() == "x\nx\n"
