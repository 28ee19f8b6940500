"""The keys of a worker: which of them sign, by their files and by what the DNS has of them."""

from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from relayd.mail import dkim
from relayd.settings import DkimKeySettings
from relayd.worker.signing import DkimSigner, compare, signer_of
from tests.support.dkim import ed25519_pem, record_of, rsa_pem
from tests.support.fake_dns import SICK, FakeDns

AT = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = b"From: <a@x.test>\r\n"
NAME = "r._domainkey.x.test"


def _signer() -> DkimSigner:
    keys = (("r", rsa_pem(), True), ("e", ed25519_pem(), False))
    return DkimSigner(
        DkimKeySettings(domain="x.test", selector=selector, path="/k", required=required, pem=pem)
        for selector, pem, required in keys
    )


def _told(signer: DkimSigner) -> tuple[str, str]:
    found = signer.sign(HEADER, dkim.body_hash(b""), "x.test", AT)
    return found.told, found.missing


def test_without_keys_nobody_signs() -> None:
    assert signer_of(()) is None


def test_a_header_that_is_not_to_be_signed_is_not() -> None:
    found = _signer().sign(b"From: <a@x.test>\r\nno field\r\n", b"", "x.test", AT)
    assert (found.fields, found.told) == (b"", "none")


RIGHT = record_of(_signer().loaded[NAME][1])
OTHER = record_of(_signer().loaded["e._domainkey.x.test"][1])


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        pytest.param(OTHER, "in the DNS the record is that of another key", id="another-key"),
        pytest.param("v=DKIM1; p=", "in the DNS the key is revoked (p= is empty)", id="revoked"),
        pytest.param("nonsense", 'in the DNS the record is broken: "nonsense" is no', id="broken"),
    ],
)
async def test_a_key_with_a_wrong_record_signs_nothing(record: str, problem: str) -> None:
    signer = _signer()
    with capture_logs() as logs:
        for _ in range(2):
            await compare(signer, FakeDns({NAME: {"TXT": [record]}}).texts)
    told, missing = _told(signer)
    assert told == "d=x.test s=e"
    assert missing.startswith(f"the key {NAME} cannot be used: {problem}")
    [line] = logs
    assert (line["event"], line["key"]) == ("dkim_key_unusable", NAME)
    with capture_logs() as logs:
        await compare(signer, FakeDns({NAME: {"TXT": [RIGHT]}}).texts)
    assert _told(signer) == ("d=x.test s=r,e", "")
    assert [each["event"] for each in logs] == ["dkim_key_usable"]


async def test_a_key_signs_while_nothing_is_known_of_its_record() -> None:
    """No record may be one that only the world sees; no answer says nothing at all, also of what was known."""
    signer = _signer()
    await compare(signer, FakeDns({}).texts)
    assert _told(signer) == ("d=x.test s=r,e", "")
    signer.note(NAME, "in the DNS it is wrong")
    await compare(signer, FakeDns({NAME: {"TXT": SICK}}).texts)
    assert _told(signer)[0] == "d=x.test s=e"
