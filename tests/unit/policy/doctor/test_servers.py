"""What a knock at a mail server means."""

import pytest

from relayd.mail.attempt import TlsFacts
from relayd.mail.reply import Stage, make_reply
from relayd.mail.words import Category, Fault
from relayd.policy.doctor.finding import Level
from relayd.policy.doctor.servers import (
    Knock,
    Trouble,
    judge_no_reach,
    judge_reach,
    judge_smarthosts,
)

REFUSED = Trouble(
    stage=Stage.CONNECT, reason="connection refused", category=Category.CONNECTION_FAILURE
)
LOCAL = Trouble(stage=Stage.CONNECT, reason="cannot assign address", fault=Fault.LOCAL)
LOST = Trouble(stage=Stage.CONNECT, reason="cannot find it", category=Category.DNS_FAILURE)
AWAY = Trouble(
    stage=Stage.GREETING, reason="greeting: 554 go away", reply=make_reply(554, ("go away",))
)
LATER = Trouble(stage=Stage.EHLO, reason="ehlo: 421 busy", reply=make_reply(421, ("busy",)))
LOGIN = Trouble(
    stage=Stage.AUTH,
    reason="auth: 535 no",
    reply=make_reply(535, ("no",)),
    login_refused=True,
)
TLS = Trouble(stage=Stage.STARTTLS, reason="certificate not valid", category=Category.TLS_FAILURE)
NO_TLS = Trouble(stage=Stage.STARTTLS, reason="454 not now", reply=make_reply(454, ("not now",)))
MUTE = Trouble(
    stage=Stage.GREETING, reason="no greeting within 30 s", category=Category.CONNECTION_FAILURE
)
SILENT = Trouble(stage=Stage.EHLO, reason="no answer", category=Category.PROTOCOL_ERROR)


def knock(trouble: Trouble | None = None) -> Knock:
    return Knock(host="mx.test:25", trouble=trouble)


@pytest.mark.parametrize(
    ("trouble", "level", "words", "remedy"),
    [
        (LOCAL, Level.FAIL, "cannot assign", "sources in [direct]"),
        (None, Level.OK, "takes connections", ""),
        (REFUSED, Level.FAIL, "no connection: connection refused", "open port 25"),
        (LOST, Level.UNKNOWN, "cannot find it", "another host"),
        (AWAY, Level.WARN, "the port is open, but that host says no at greeting: 554", "words"),
    ],
)
def test_port_25(trouble: Trouble | None, level: Level, words: str, remedy: str) -> None:
    found = judge_reach(knock(trouble))
    assert (found.level, found.subject) == (level, "mx.test:25")
    assert words in found.reason
    assert remedy in found.remedy


def test_nobody_to_try() -> None:
    assert judge_no_reach().level is Level.SKIPPED


@pytest.mark.parametrize(
    ("trouble", "level", "words", "remedy"),
    [
        (REFUSED, Level.FAIL, "no connection: connection refused", "smarthost.hosts"),
        (LOST, Level.UNKNOWN, "cannot find it", "Ask again"),
        (AWAY, Level.FAIL, "turns us away at greeting: 554", "administrator"),
        (LATER, Level.WARN, "not now: ehlo: 421 busy", "mail waits"),
        (LOGIN, Level.FAIL, "refuses our login", "smarthost.username"),
        (TLS, Level.FAIL, "no TLS as smarthost.tls wants it: certificate", "certificate"),
        (NO_TLS, Level.FAIL, "no TLS as smarthost.tls wants it: 454", "certificate"),
        (MUTE, Level.FAIL, "does not greet: no greeting within", "implicit"),
        (SILENT, Level.FAIL, "turns us away at no answer", "administrator"),
    ],
)
def test_the_smarthost(trouble: Trouble, level: Level, words: str, remedy: str) -> None:
    (found,) = judge_smarthosts([knock(trouble)], is_needed=True)
    assert (found.level, found.subject) == (level, "mx.test:25")
    assert words in found.reason
    assert remedy in found.remedy


def facts(*, verified: bool) -> TlsFacts:
    return TlsFacts(version="TLSv1.3", cipher="x", verified=verified)


@pytest.mark.parametrize(
    ("tls", "logged_in", "words"),
    [
        (None, False, "takes our EHLO in clear text"),
        (facts(verified=True), True, "takes our login with TLSv1.3"),
        (facts(verified=False), False, "takes our EHLO with TLSv1.3, certificate not verified"),
    ],
)
def test_one_that_works(tls: TlsFacts | None, *, logged_in: bool, words: str) -> None:
    one = Knock(host="mx.test:25", tls=tls, logged_in=logged_in)
    (found,) = judge_smarthosts([one], is_needed=True)
    assert (found.level, found.reason, found.remedy) == (Level.OK, words, "")


def test_one_that_works_stands_in_for_the_others() -> None:
    levels = [each.level for each in judge_smarthosts([knock(REFUSED), knock()], is_needed=True)]
    assert levels == [Level.WARN, Level.OK]


def test_another_smarthost_is_told_by_its_name() -> None:
    (found,) = judge_smarthosts([knock(LOGIN)], "smarthosts.news", is_needed=True)
    assert (found.subject, found.level) == ("news: mx.test:25", Level.FAIL)
    assert found.remedy.startswith("Correct smarthosts.news.username, smarthosts.news.auth")


def test_direct_mode_needs_it_for_test_mail_only() -> None:
    (found,) = judge_smarthosts([knock(REFUSED)], is_needed=False)
    assert found.level is Level.WARN
