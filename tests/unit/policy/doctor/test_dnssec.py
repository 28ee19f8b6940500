"""Whether a name server checks DNSSEC."""

import pytest

from relayd.policy.doctor.dnssec import (
    BOGUS,
    Said,
    ServerAnswer,
    dane_is_wanted,
    judge_not_wanted,
    judge_trusted,
    judge_untrusted,
    vouches_for_all,
)
from relayd.policy.doctor.finding import Check, Level
from relayd.policy.tls.ladder import TlsMode
from relayd.policy.tls.require import OperatorTls

HOST = "127.0.0.1"
PROVEN = ServerAnswer(Said.RECORDS, is_authentic=True)
PLAIN = ServerAnswer(Said.RECORDS)
NOTHING = ServerAnswer(Said.NOTHING)
REFUSED = ServerAnswer(Said.SERVFAIL, reason="SERVFAIL")
SILENT = ServerAnswer(Said.SILENCE, reason="no answer within 1 s")

ANSWERS = {
    "it checks": (PROVEN, (REFUSED, REFUSED), Level.OK, "refuses", ""),
    "one name is gone": (PROVEN, (NOTHING, REFUSED), Level.OK, "refuses", ""),
    "one name is right again": (PROVEN, (PROVEN, REFUSED), Level.OK, "refuses", ""),
    "no AD bit": (PLAIN, (PLAIN, PLAIN), Level.WARN, "does not check", "Turn validation on"),
    "no root": (REFUSED, (REFUSED, REFUSED), Level.WARN, "does not check", "such as unbound"),
    "it copies the AD bit": (PROVEN, (PLAIN, PLAIN), Level.WARN, "means nothing", "forged"),
    "it sets it always": (PROVEN, (PROVEN, PROVEN), Level.WARN, BOGUS[1], "forged"),
    "both names are gone": (PROVEN, (NOTHING, NOTHING), Level.UNKNOWN, BOGUS[0], "Ask again"),
    "one is gone, one answered": (PROVEN, (PLAIN, NOTHING), Level.UNKNOWN, BOGUS[1], "Ask again"),
    "too slow": (PROVEN, (SILENT, PLAIN), Level.UNKNOWN, "no answer within 1 s", "Ask again"),
    "silent": (SILENT, (SILENT, SILENT), Level.UNKNOWN, "no answer within 1 s", "Ask again"),
}


@pytest.mark.parametrize(
    ("root", "bogus", "level", "words", "remedy"), ANSWERS.values(), ids=ANSWERS
)
def test_a_trusted_name_server(
    root: ServerAnswer, bogus: tuple[ServerAnswer, ...], level: Level, words: str, remedy: str
) -> None:
    found = judge_trusted(HOST, root, bogus)
    assert (found.check, found.subject, found.level) == (Check.DNSSEC, HOST, level)
    assert words in found.reason
    assert remedy in found.remedy
    assert bool(found.remedy) == (level is not Level.OK)


def test_one_that_is_not_trusted() -> None:
    found = judge_untrusted("192.0.2.53")
    assert (found.subject, found.level) == ("192.0.2.53", Level.WARN)
    assert "dns.trusted" in found.remedy


@pytest.mark.parametrize(
    ("dane", "tls", "entries", "wanted"),
    [
        (True, TlsMode.OPPORTUNISTIC, [], True),
        (True, TlsMode.OFF, [], False),
        (False, TlsMode.VERIFY, [OperatorTls.VERIFY], False),
        (False, TlsMode.OFF, [OperatorTls.OFF, OperatorTls.DANE], True),
    ],
)
def test_who_wants_dane(
    tls: TlsMode, entries: list[OperatorTls], *, dane: bool, wanted: bool
) -> None:
    assert dane_is_wanted(dane=dane, tls=tls, entries=entries) is wanted
    assert judge_not_wanted().level is Level.SKIPPED


@pytest.mark.parametrize(
    ("bogus", "vouches"),
    [
        ((PROVEN, PROVEN), True),
        ((PROVEN, REFUSED), False),  # the one has right signatures again
        ((PLAIN, PLAIN), False),  # it says of neither that it is proven
        ((PROVEN, NOTHING), False),
        ((SILENT, SILENT), False),
    ],
)
def test_who_vouches_for_all(bogus: tuple[ServerAnswer, ...], *, vouches: bool) -> None:
    assert vouches_for_all(bogus) is vouches
