"""The screens of `docs/terminal.md`: commands over a fixed store and clock, in this process.

`.ci/terminal` writes them into the page, and a test compares them with it.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

from relayd.answers.notices import notices_of
from relayd.answers.overview import Overview, Reading, Slow, overview_of
from relayd.answers.status_line import status_line
from relayd.cli.ask import log, stats
from relayd.cli.ask.delays import list_delays
from relayd.cli.ask.show import show_in_words
from relayd.cli.doctor.words import show_findings, summary
from relayd.cli.listing import list_recipients
from relayd.cli.notices import show_notice
from relayd.cli.output import Form
from relayd.cli.pause.command import show_rules
from relayd.cli.table import TableOptions
from relayd.cli.top import machines, screen
from relayd.mail.operator import Action
from relayd.mail.outcome import Outcome, Relayed
from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.mail.tally import Dimension
from relayd.mail.words import BounceClass, Category, EventKind, JsonValue, format_instant
from relayd.policy.doctor.finding import Check, Finding, Level
from relayd.ports.tally import TallyQuery
from relayd.ports.view import Metric, Query, Status
from tests.support.builders import a_bounce, a_deferral, a_message, a_settlement
from tests.support.machines import a_machine, the_machines
from tests.support.screens import Screen
from tests.support.stores import Box, open_memory
from tests.support.workers import registered

PAGE = Path(__file__).parent.parent.parent / "docs/terminal.md"
WIDTHS = (80, 140)
_MAILS: Sequence[tuple[str, str, int, str | Action]] = (
    ("gone@shop.example", "shop@app.example", 3900, "550 5.1.1 no such user here"),
    ("ann.of.accounts@customer.example", "invoices@app.example", 840, "250 2.0.0 queued"),
    ("news@club.example", "news@app.example", 610, "554 5.7.1 message looks like bulk mail"),
    ("full@mail.example", "shop@app.example", 480, "452 4.2.2 mailbox full, try again later"),
    ("bob@customer.example", "shop@app.example", 75, "250 2.0.0 queued"),
    ("vip@customer.example", "news@app.example", 40, Action.HOLD),
    ("日本語@例え.example", "shop@app.example", 12, "250 2.0.0 queued"),
)
FINDINGS = (
    Finding(check=Check.FQDN, subject="relay.example.org", level=Level.OK, reason="a full name"),
    Finding(
        check=Check.SMARTHOST,
        subject="mail.example.org:587",
        level=Level.OK,
        reason="takes our login over TLS 1.3, and mail of up to 35 MB",
    ),
    Finding(
        check=Check.CERTIFICATE,
        subject="relay.example.org",
        level=Level.WARN,
        reason="the certificate of the listeners ends in 9 days, on 2026-03-10",
        remedy="Renew it; a new pair is taken into use within a minute, and no session ends for it.",
    ),
    Finding(
        check=Check.DISK,
        subject="/var/lib/relayd",
        level=Level.FAIL,
        reason="97 % of the disk is used, 1.2 GB are left: soon mail is refused with 452",
        remedy="Make room, shorten store.history, or move it to a larger disk.",
    ),
)


async def screens(folder: Path) -> Mapping[tuple[str, int], str]:
    """Return what each command shows, by its name and the width of the terminal."""
    box = await _filled(folder)
    at = TableOptions(at=box.clock.now())
    show: Mapping[str, Callable[[int], object]] = {
        "relayd status": lambda _: _list(box, Query()),
        "relayd status --delays": lambda _: list_delays(
            box.view, Query(), limit=None, form=Form.TABLE
        ),
        "relayd status ID": lambda _: _message(box),
        "relayd queue list": lambda _: _list(box, Query(unfinished=True)),
        "relayd pauses": lambda _: show_rules(box.view.pause_rules(), at),
        "relayd stats --by sender": lambda _: _stats(box),
        "relayd log --status bounced": lambda _: _log(box),
        "relayd top": lambda width: _top(box, width),
        "relayd top --all": lambda width: _top_all(box, width),
        "relayd doctor": lambda _: _doctor(),
    }
    shown = {}
    for name, draw in show.items():
        for width in WIDTHS:
            with _terminal(width) as terminal:
                draw(width)
            shown[name, width] = terminal.getvalue()
    await box.close()
    return shown


def page_with(shown: Mapping[tuple[str, int], str]) -> str:
    """Return the page with these screens in their places."""
    page = PAGE.read_text(encoding="utf-8")
    for (name, width), text in shown.items():
        place = re.compile(rf"(?ms)(^```\n\$ {re.escape(name)}  # {width} columns\n).*?(?=^```)")
        found = place.search(page)
        assert found is not None, (name, width)
        page = page[: found.start()] + found[1] + text + page[found.end() :]
    return page


@contextmanager
def _terminal(width: int) -> Iterator[Screen]:
    terminal = Screen()
    environment = {"COLUMNS": str(width), "LINES": "24", "TERM": "dumb", "TZ": "UTC"}
    with patch.dict(os.environ, environment), redirect_stdout(terminal), redirect_stderr(terminal):
        yield terminal


async def _filled(folder: Path) -> Box:
    box = open_memory(folder)
    worker = await registered(box.store, "worker")
    now = box.clock.now() + timedelta(seconds=3900)
    for count, (recipient, sender, ago, fate) in enumerate(_MAILS, 1):
        at = now - timedelta(seconds=ago)
        box.advance((at - box.clock.now()).total_seconds())
        message = a_message(recipient, at=at, count=count, reverse_path=sender)
        await box.put(message, worker=worker)
        if isinstance(fate, Action):
            await box.store.act(Query(message_id=message.id), fate, by="ann", reason="asks first")
            continue
        code, enhanced, _ = fate.split(" ", 2)
        retry = at + timedelta(minutes=15)
        outcomes: Mapping[str, Outcome] = {
            "2": Relayed(),
            "4": a_deferral(retry),
            "5": a_bounce()
            if enhanced == "5.1.1"
            else a_bounce(BounceClass.BLOCK, category=Category.SPAM_CONTENT),
        }
        for work in await box.claim(worker):
            settlement = a_settlement(
                message.id,
                0,
                outcomes[code[0]],
                at=at + timedelta(seconds=1 + ago % 7),
                code=int(code),
                enhanced=enhanced,
                reply=fate,
                remote_host="mail.example.org",
            )
            said: Mapping[str, JsonValue] = {
                "attempt": 1,
                "route": "smarthost",
                "remote_host": "mail.example.org",
                "remote_ip": "192.0.2.25",
                "remote_port": 587,
                "tls": "TLSv1.3 TLS_AES_256_GCM_SHA384 verified",
                "stage": "dot" if code == "554" else "rcpt",
                "reply": fate,
                "delay_queue": 0.957 + ago % 7,
                "delay_connect": 0.012,
                "delay_transaction": 0.031,
            }
            if code == "452":
                said = {
                    **said,
                    "reason": "refused for now",
                    "next_attempt_at": format_instant(retry),
                }
            events = tuple(
                replace(each, detail={**each.detail, **said}) for each in settlement.events
            )
            await box.store.settle(work.lease, [replace(settlement, events=events)])
    box.advance((now - box.clock.now()).total_seconds())
    await box.store.pause(
        [
            PauseRule(
                named=named,
                sides=sides,
                since=now - timedelta(minutes=ago),
                until=until,
                by="ann",
                reason=reason,
            )
            for named, sides, ago, until, reason in (
                (
                    Named(Scope.USER, "newsletter"),
                    frozenset(Side),
                    50,
                    None,
                    "prices in the mailing of today are wrong",
                ),
                (
                    Named(Scope.DOMAIN, "partner.example"),
                    frozenset({Side.DELIVERY}),
                    5,
                    now + timedelta(hours=3),
                    "their servers are moved",
                ),
            )
        ]
    )
    return box


def _list(box: Box, query: Query) -> None:
    table = TableOptions(at=box.clock.now())
    for notice in notices_of(box.view, at=box.clock.now()):
        show_notice(notice)
    list_recipients(box.view, [query], limit=None, form=Form.TABLE, table=table)


def _message(box: Box) -> None:
    """What waits for its second attempt."""
    [row] = box.view.find(Query(status=(Status.DEFERRED,)), limit=1)
    history = box.view.history(row.message_id)
    show_in_words([row], history, None, TableOptions(at=box.clock.now()))


def _log(box: Box) -> None:
    lines = [
        json.dumps(status_line(entry, row.message_id, row, row.address))
        for row in reversed(box.view.find(Query(status=(Status.BOUNCED,)), limit=9))
        for entry in box.view.history(row.message_id)
        if entry.kind == EventKind.BOUNCED
    ]
    log.show(iter(lines), None, Form.TABLE)


def _top(box: Box, width: int) -> None:
    print("\n".join(screen.screen(_overview(box), width)))


def _top_all(box: Box, width: int) -> None:
    found = overview_of(box.view, at=box.clock.now(), reading=None)
    seen = the_machines(
        found,
        a_machine(found, "relay1", destinations=1, rates={"received": 15.0, "relayed": 22.0}),
        a_machine(found, "relay2", rates={"received": 14.0, "bounced": 3.0}),
        a_machine(found, "relay3", workers=0, ago=timedelta(hours=2)),
        holders={"smarthost": ("relay1",)},
    )
    print("\n".join(machines.screen(seen, width)))


def _doctor() -> None:
    show_findings(FINDINGS)
    print(summary(FINDINGS))


def _stats(box: Box) -> None:
    answer = box.view.tally(TallyQuery(by=Dimension.SENDER, limit=100))
    stats._show(answer, Dimension.SENDER, TableOptions(at=box.clock.now()))


def _overview(box: Box) -> Overview:
    now = box.clock.now()
    before, after = (
        Reading(
            at=at,
            metrics=[
                Metric("relayd_workers", (), 2),
                Metric("relayd_connections", (("direction", "out"),), 6),
                Metric("relayd_received_total", (), 514.0 + 29 * at),
                Metric("relayd_attempts_total", (), 485.0 + 28 * at),
                Metric("relayd_outcomes_total", (("status", "relayed"),), 403.0 + 22 * at),
                Metric("relayd_outcomes_total", (("status", "bounced"),), 54.0 + 3 * at),
            ],
        )
        for at in (0.0, 2.0)
    )
    found = overview_of(box.view, at=now, reading=after, before=before)
    return replace(found, slowest=(Slow(destination="smarthost", attempts=482, seconds=0.041),))
