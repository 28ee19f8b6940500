"""The content check against the real rspamd and the real SpamAssassin."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relayd.net.content import Sample, ask
from relayd.settings import CheckerKind, ContentSettings
from tests.support.checkers import content_settings
from tests.support.daemon import a_daemon, a_smarthost, eventually
from tests.support.real_checkers import a_real_checker, why_not

pytestmark = pytest.mark.interop

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"  # spam to everybody
HEADER = (
    b"From: App <app@app.test>\r\nTo: User <user@x.test>\r\nSubject: Your invoice\r\n"
    b"Message-ID: <20260301.1234567890@app.test>\r\nDate: Sun, 01 Mar 2026 12:00:00 +0000\r\n"
)
PLAIN = HEADER + b"\r\nDear user,\r\n\r\nyour invoice is ready.\r\n"
SPAM = HEADER + f"\r\n{GTUBE}\r\n".encode()
HTML = (
    HEADER.replace(b"Your invoice", b"YOU WON MONEY")
    + b"Content-Type: text/html\r\n\r\n<html><a href='http://192.0.2.1/x'>here</a></html>\r\n"
)


@pytest.fixture(scope="module", params=CheckerKind)
def settings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ContentSettings]:
    kind: CheckerKind = request.param
    if reason := why_not(kind):
        pytest.skip(reason)
    with a_real_checker(kind, tmp_path_factory.mktemp(kind)) as endpoint:
        yield content_settings(endpoint, kind=kind)


async def test_ordinary_mail_scores_low(settings: ContentSettings) -> None:
    scored = await ask(settings, Sample(content=PLAIN))
    assert scored.score < scored.required
    assert scored.symbols


async def test_the_test_text_for_spam_scores_high(settings: ContentSettings) -> None:
    scored = await ask(settings, Sample(content=SPAM))
    assert scored.score >= scored.required
    assert "GTUBE" in {symbol.name for symbol in scored.symbols}


async def test_symbols_have_their_scores_and_descriptions(settings: ContentSettings) -> None:
    scored = await ask(settings, Sample(content=HTML, reverse_path="", recipients=("u@x.test",)))
    found = {symbol.name: symbol for symbol in scored.symbols}
    assert {"SUBJ_ALL_CAPS", "MIME_HTML_ONLY"} <= set(found)
    assert found["SUBJ_ALL_CAPS"].score > 0
    assert "ubject" in found["SUBJ_ALL_CAPS"].description
    assert sum(each.score for each in scored.symbols) == pytest.approx(scored.score, abs=0.6)


async def test_a_large_message(settings: ContentSettings) -> None:
    content = HEADER + b"\r\n" + b"".join(b"%071d\r\n" % number for number in range(10_000))
    assert (await ask(settings, Sample(content=content))).score < 15


async def test_octets_of_any_kind(settings: ContentSettings) -> None:
    content = HEADER + b"X: \xff\xfe\r\n\r\n" + bytes(range(1, 256)).replace(b"\r", b"") + b"\r\n"
    assert (await ask(settings, Sample(content=content))).score < 100


def test_in_a_running_relay(settings: ContentSettings, tmp_path: Path) -> None:
    where = {
        CheckerKind.RSPAMD: f'rspamd = "http://{settings.endpoint}"',
        CheckerKind.SPAMD: f'spamd = "{settings.endpoint}"',
    }[settings.kind]
    more = f"[content]\n{where}\nhold = 10\n"
    with (
        a_smarthost() as smarthost,
        a_daemon(tmp_path, smarthost.port, workers=1, smarthost_more=more) as daemon,
    ):
        daemon.send("bad@x.test", content=SPAM.decode())
        daemon.send("good@x.test", content=PLAIN.decode())
        eventually(
            lambda: daemon.statuses() == {"bad@x.test": "held", "good@x.test": "relayed"},
            "the one is held, the other relayed",
        )
        file = tmp_path / "mail.eml"
        file.write_bytes(SPAM)
        ran = daemon.run("check-content", str(file))
        assert ran.status == 1
        assert "the test text that every checker calls spam" in ran.out
