"""How the lines of a trace look: times, arrows, who is at the other end."""

from datetime import UTC, tzinfo

import pytest

from relayd.cli.ask.trace import _Printer
from relayd.cli.command import run

AT = "2026-11-28T21:48:09.{}Z"


def test_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    printer = _Printer()
    client = {"client_ip": "192.0.2.7", "session": 3, "worker": "1"}
    server = {"remote_host": "mx.test", "remote_ip": "192.0.2.9", "remote_port": 25}
    for fields in (
        {"ts": AT.format("746"), "event": "smtp_sent", "line": "250-a\n250 b", **client},
        {"ts": AT.format("750"), "event": "smtp_received", "line": "NOOP \x1b[2J", **client},
        {
            "ts": AT.format("750"),
            "event": "smtp_sent",
            "queue_id": "0CNA0NJ6E0401",
            "line": "(4 octets of content)",
            "content": "Subject: x\n\ty\n",
            **server,
        },
        {"ts": AT.format("999"), "event": "host_failed", "reason": "refused", **server},
        {"ts": AT.format("999"), "event": "judged", "rcpt": "a@x.test", "code": 550},
        {"event": "trace_dropped", "lines": 7},
        {"event": "judged", "ts": "nonsense"},
    ):
        printer.show(fields)
    assert capsys.readouterr().out.splitlines() == [
        "2026-11-28 21:48:09Z      +0 ms  in 192.0.2.7 #1.3 -> 250-a",
        "2026-11-28 21:48:09Z      +0 ms  in 192.0.2.7 #1.3 -> 250 b",
        "2026-11-28 21:48:09Z      +4 ms  in 192.0.2.7 #1.3 <- NOOP ?[2J",
        "2026-11-28 21:48:09Z      +0 ms  out mx.test 0CNA0NJ6E0401 -> (4 octets of content)",
        "    | Subject: x",
        "    |  y",
        "2026-11-28 21:48:09Z    +249 ms  out mx.test ** host_failed [192.0.2.9]:25 reason: refused",
        "2026-11-28 21:48:09Z      +0 ms   ** judged rcpt: a@x.test; code: 550",
        "    (7 lines are missing: they came too fast)",
        "nonsense      +0 ms   ** judged",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["0CNA0NJ6E0401", "--client", "::1"],
        ["--client", "nowhere"],
        ["--destination", "x.test", "--for", "long"],
        ["--destination", ""],
    ],
)
def test_what_to_follow_has_to_be_said(arguments: list[str]) -> None:
    assert run(["trace", *arguments]) == 64


@pytest.mark.parametrize(
    ("zone", "start"), [(None, "2026-11-29 03:33:09+05:45"), (UTC, "2026-11-28 21:48:09Z")]
)
def test_the_time_of_a_line(
    capsys: pytest.CaptureFixture[str], elsewhere: str, zone: tzinfo | None, start: str
) -> None:
    assert elsewhere == "+05:45"
    _Printer(zone).show({"ts": AT.format("746"), "event": "judged"})
    assert capsys.readouterr().out.startswith(start)
