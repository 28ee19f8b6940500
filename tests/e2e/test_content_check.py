"""The content check in a running relay: what clients read, and what the history says."""

import smtplib
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from tests.support.background import Background
from tests.support.checkers import FakeChecker, rspamd_says
from tests.support.daemon import CONTENT, SmarthostThread, a_daemon, a_smarthost, eventually


@pytest.fixture
def checker() -> Iterator[FakeChecker]:
    with Background() as background:
        yield background.enter(FakeChecker(rspamd_says(1.0)))


@pytest.fixture
def smarthost() -> Iterator[SmarthostThread]:
    with a_smarthost() as server:
        yield server


def content(checker: FakeChecker, lines: str = "") -> str:
    return (
        f'[content]\nrspamd = "http://{checker.endpoint}"\ntag = 6\nhold = 10\nrefuse = 15\n{lines}'
    )


def test_by_its_score_mail_flows_on_waits_or_is_refused(
    tmp_path: Path, smarthost: SmarthostThread, checker: FakeChecker
) -> None:
    with a_daemon(tmp_path, smarthost.port, smarthost_more=content(checker)) as daemon:
        for score, name in ((1.0, "good"), (6.5, "odd"), (12.0, "bad")):
            checker.answer = rspamd_says(score, {"BAYES_SPAM": score})
            daemon.send(f"{name}@x.test")
        checker.answer = rspamd_says(20.0, {"GTUBE": 20.0})
        with daemon.client() as client, pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("app@app.test", "worst@x.test", CONTENT)
        assert refused.value.smtp_code == 550
        eventually(
            lambda: (
                daemon.statuses()
                == {"good@x.test": "relayed", "odd@x.test": "relayed", "bad@x.test": "held"}
            ),
            "two are relayed, one is held",
        )
        assert sorted(smarthost.rcpts) == ["good@x.test", "odd@x.test"]

        [held] = daemon.status("--status", "held")
        ran = daemon.run("status", "show", held["queue_id"])
        assert "held by [content]" in ran.out
        assert "content scored 12, held from 10 on: BAYES_SPAM 12" in ran.out

        def scores() -> list[dict[str, Any]]:
            return [line for line in daemon.log_lines() if "content_score" in line]

        eventually(lambda: len(scores()) == 3, "three scores in the status log")
        told = [(line["event"], line["content_score"], line["rcpt"]) for line in scores()]
        assert sorted(told, key=itemgetter(1)) == [  # the workers write on their own
            ("scored", 6.5, "odd@x.test"),
            ("held", 12.0, "bad@x.test"),
            ("refused", 20.0, ""),
        ]

        assert daemon.run("queue", "release", held["queue_id"]).status == 0
        eventually(lambda: "bad@x.test" in smarthost.rcpts, "the released one arrives")


@pytest.mark.parametrize("when_down", ["accept", "defer"])
def test_while_the_checker_is_down(
    tmp_path: Path, smarthost: SmarthostThread, checker: FakeChecker, when_down: str
) -> None:
    checker.answer = b""
    more = content(checker, f'when_down = "{when_down}"\n')
    with a_daemon(tmp_path, smarthost.port, workers=1, smarthost_more=more) as daemon:
        for _ in range(3):
            with daemon.client() as client:
                client.ehlo()
                client.mail("app@app.test")
                client.rcpt("a@x.test")
                code, text = client.data(CONTENT)
            assert code == {"accept": 250, "defer": 451}[when_down], text
        [down] = daemon.events("content_checker_down")
        assert "not HTTP" in down["reason"]
        if when_down == "accept":
            smarthost.received(3)
            eventually(
                lambda: [line["event"] for line in daemon.log_lines()].count("unchecked") == 3,
                "each is noted",
            )
        checker.answer = rspamd_says(1.0)
        daemon.send("b@x.test")
        eventually(lambda: daemon.events("content_checker_up"), "it is back")
        assert len(daemon.events("content_checker_down")) == 1
