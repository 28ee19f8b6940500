"""`kill -9` while clients wait for the next hop: nothing is lost, and no refusal is told to nobody (F-01, S-11).

`benchmarks/kills` is the same for as long as one likes. Each broken promise turns the judgement red.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relayd.mail import dkim
from relayd.mail.dkim import Algorithm
from relayd.net.dkim_keys import load_key
from relayd.ports.view import Status
from tests.crash.test_judge import a_row
from tests.support.dkim import ed25519_pem
from tests.support.kills import Run, judge, kill_often
from tests.support.ledger import Entry, Fate, Ledger
from tests.support.scripted_server import Message


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("kills", "seed"),
    [(4, 1), *(pytest.param(12, seed, marks=pytest.mark.slow) for seed in (2, 3))],
)
def test_it_is_killed_while_clients_wait(tmp_path: Path, kills: int, seed: int) -> None:
    run = kill_often(tmp_path, kills, seed)
    found = judge(run)
    assert run.kills == kills
    for what in ("acknowledged", "refused in the session", "without a reply", "reported"):
        assert found[what], f"the kills hit something: {what}"


HEADER = b"From: <app@app.test>\r\nSubject: x\r\n"


def signed(content: bytes) -> bytes:
    """Return it as the relay sends it."""
    key, end = load_key(ed25519_pem()), content.index(b"\r\n\r\n") + 2
    header = dkim.signed_header(content[:end])
    assert header is not None
    field = dkim.unsigned_field(
        Algorithm.ED25519,
        domain="app.test",
        selector="e",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        names=header.names,
        body=dkim.body_hash(content[end + 2 :]),
    )
    signature = key.sign(dkim.signing_input(header.canonical, field))
    return b"Received: us\r\n" + dkim.signed_field(field, signature) + content


def came(content: bytes, rcpt: str) -> Message:
    return Message(
        mail="FROM:<app@app.test>",
        rcpts=(f"TO:<{rcpt}>",),
        content=signed(content),
        connection=1,
        tls=False,
    )


def a_report(rcpt: str) -> Message:
    body = f"Final-Recipient: rfc822; {rcpt}\r\nAction: failed\r\n"
    return came(HEADER + b"\r\n" + body.encode(), "app@app.test")


@pytest.fixture
def run() -> Run:
    """Return a good one: what arrived, what was told in the session, and what by a report."""

    def entry(name: str, fate: Fate, reply: bytes = b"") -> Entry:
        content = HEADER + b"\r\n" + name.encode() + b"\r\n"
        return Entry(name, (f"{name}@x.test",), content, fate, reply)

    good = entry("good", Fate.ACKED, b"250 2.0.0 sent as 1\r\n")
    told = entry("told", Fate.REFUSED, b"550 5.1.1 no such user\r\n")
    reported = entry("reported", Fate.UNKNOWN)
    bounced = entry("bounced", Fate.ACKED, b"250 2.0.0 OK queued as 2\r\n")
    rows = [a_row(each.recipients[0]) for each in (good, told, reported, bounced)]
    rows[1:] = [replace(row, status=Status.BOUNCED) for row in rows[1:]]
    return Run(
        ledger=Ledger([good, told, reported, bounced]),
        arrived=[came(good.content, "good@x.test")],
        refused={"told@x.test": 1, "reported@x.test": 2},
        reports=[a_report("reported@x.test"), a_report("bounced@x.test")],
        rows=rows,
    )


def test_a_good_run_is_green(run: Run) -> None:
    assert judge(run)["reported"] == 2


def lose_one(run: Run) -> None:
    run.arrived = []


def lose_the_report_on_what_was_acknowledged(run: Run) -> None:
    run.reports = run.reports[:1]


def tell_nobody(run: Run) -> None:
    run.reports = run.reports[1:]


def say_later_instead_of_no(run: Run) -> None:
    run.ledger.entries[1].reply = b"451 4.0.0 later\r\n"


def deliver_what_was_refused(run: Run) -> None:
    run.arrived = [*run.arrived, came(run.ledger.entries[1].content, "told@x.test")]
    run.rows = [replace(run.rows[0]), replace(run.rows[1], status=Status.SENT), *run.rows[2:]]


def leave_something(run: Run) -> None:
    run.rows = [*run.rows, replace(a_row("app@app.test"), status=Status.QUEUED)]


def change_an_octet(run: Run) -> None:
    [one] = run.arrived
    run.arrived = [replace(one, content=one.content[:-3] + b"x\r\n")]


def spoil_a_signature(run: Run) -> None:
    [one] = run.arrived
    run.arrived = [replace(one, content=one.content.replace(b"From: <app@", b"From: <me@", 1))]
    run.ledger.entries[0].content = b"good\r\n"


def sign_nothing(run: Run) -> None:
    [one] = run.arrived
    run.arrived = [replace(one, content=run.ledger.entries[0].content)]


def send_twice(run: Run) -> None:
    run.arrived = [*run.arrived, *run.arrived]


def claim_what_never_arrived(run: Run) -> None:
    run.rows = [*run.rows, replace(a_row("reported@x.test"), status=Status.SENT)]


BROKEN: dict[Callable[[Run], None], str] = {
    lose_one: "acknowledged and lost",
    lose_the_report_on_what_was_acknowledged: "acknowledged and lost",
    tell_nobody: "told to nobody",
    say_later_instead_of_no: "told to nobody",
    deliver_what_was_refused: "refused and delivered",
    leave_something: "not over",
    change_an_octet: "other octets",
    spoil_a_signature: "a signature is wrong",
    sign_nothing: "not signed",
    send_twice: "came twice",
    claim_what_never_arrived: "said to have arrived",
}


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda break_it: break_it.__name__)
def test_a_broken_promise_is_seen(run: Run, break_it: Callable[[Run], None]) -> None:
    break_it(run)
    with pytest.raises(AssertionError, match=BROKEN[break_it]):
        judge(run)
