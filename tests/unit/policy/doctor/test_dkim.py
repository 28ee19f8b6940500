"""The DNS record of a DKIM key."""

import pytest

from relayd.mail.dns import TextAnswer, Texts
from relayd.policy.doctor.dkim import OwnKey, judge_dkim, judge_no_key, key_name
from relayd.policy.doctor.finding import Level
from relayd.policy.doctor.tags import TagError, parse_tags
from tests.support.der import bare_rsa, base64, integer, rsa, sequence
from tests.support.fake_dns import SICK

GOOD = base64(rsa(2048))
RECORDS = {
    "good": (f"v=DKIM1; k=rsa; p={GOOD}", Level.OK, "strong enough"),
    "only a key": (f"p={GOOD};", Level.OK, "strong enough"),
    "folded": (f"v=DKIM1; p={GOOD[:60]} \t{GOOD[60:]}", Level.OK, "strong enough"),
    "bare key": (f"v=DKIM1; p={base64(bare_rsa(4096))}", Level.OK, "strong enough"),
    "all that is allowed": (f"v=DKIM1; h=sha1:sha256; s=email; t=s; p={GOOD}", Level.OK, "strong"),
    "short": (f"v=DKIM1; p={base64(rsa(1024))}", Level.WARN, "has only 1024 bits"),
    "too short": (f"v=DKIM1; p={base64(rsa(512))}", Level.FAIL, "has 512 bits"),
    "revoked": ("v=DKIM1; p=", Level.FAIL, "revoked"),
    "no key at all": ("v=DKIM1; k=rsa", Level.FAIL, "revoked"),
    "testing": (f"v=DKIM1; t=y:s; p={GOOD}", Level.WARN, "being tested"),
    "Ed25519": (f"v=DKIM1; k=ed25519; p={base64(bytes(32))}", Level.WARN, "verify only RSA"),
    "Ed25519, cut": (f"v=DKIM1; k=ed25519; p={base64(bytes(30))}", Level.FAIL, "this one 30"),
    "another kind": (f"v=DKIM1; k=dsa; p={GOOD}", Level.FAIL, "k=dsa is no kind"),
    "only SHA-1": (f"v=DKIM1; h=sha1; p={GOOD}", Level.FAIL, "does not allow SHA-256"),
    "not for mail": (f"v=DKIM1; s=tlsrpt; p={GOOD}", Level.FAIL, "not for mail"),
    "another version": (f"v=DKIM2; p={GOOD}", Level.FAIL, "v=DKIM2"),
    "not Base64": ("v=DKIM1; p=(key)", Level.FAIL, "not Base64"),
    "not even ASCII": ("v=DKIM1; p=\u00e4", Level.FAIL, "not Base64"),
    "cut short": (f"v=DKIM1; p={base64(rsa(2048)[:200])}", Level.FAIL, "cannot be read"),
    "no key inside": (f"v=DKIM1; p={base64(sequence(sequence()))}", Level.FAIL, "cannot be read"),
    "no modulus": (f"v=DKIM1; p={base64(sequence())}", Level.FAIL, "cannot be read"),
    "something else": (f"v=DKIM1; p={base64(integer(5))}", Level.FAIL, "cannot be read"),
    "no tags": ("hello", Level.FAIL, '"hello" is no tag=value'),
    "a tag twice": (f"p={GOOD}; p={GOOD}", Level.FAIL, "p= is there twice"),
}


@pytest.mark.parametrize(("record", "level", "words"), RECORDS.values(), ids=RECORDS)
def test_one_record(record: str, level: Level, words: str) -> None:
    found = judge_dkim("s1", "mill.net", Texts(texts=(record,)))
    assert (found.level, found.subject) == (level, "s1._domainkey.mill.net")
    assert words in found.reason
    assert bool(found.remedy) == (level is not Level.OK)


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        (Texts(), Level.FAIL, "no key record"),
        (Texts(texts=("p=", "p=")), Level.FAIL, "there are 2 TXT records"),
        (SICK, Level.UNKNOWN, "SERVFAIL"),
    ],
)
def test_none_several_unknown(answer: TextAnswer, level: Level, words: str) -> None:
    found = judge_dkim("s1", "mill.net", answer)
    assert found.level is level
    assert words in found.reason
    assert found.remedy


def test_names() -> None:
    assert key_name("s1", "mill.net") == "s1._domainkey.mill.net"
    assert judge_no_key().level is Level.SKIPPED


def test_tags() -> None:
    assert parse_tags(" V = a=b ;; t= ") == {"v": "a=b", "t": ""}
    with pytest.raises(TagError):
        parse_tags("=x")


SPKI, BARE = rsa(2048), bare_rsa(2048)
ED = base64(bytes(32))
OWN = {
    "the same": (f"v=DKIM1; k=rsa; p={base64(SPKI)}", "rsa", base64(SPKI), Level.OK),
    "another": (f"p={base64(rsa(3072))}", "rsa", base64(SPKI), Level.FAIL),
    "of another kind": (f"k=ed25519; p={ED}", "rsa", base64(SPKI), Level.FAIL),
    "the same words, of another kind": (f"p={ED}", "ed25519", ED, Level.FAIL),
    "a few octets of it": (f"p={base64(SPKI[-100:])}", "rsa", base64(SPKI), Level.FAIL),
    "Ed25519": (f"k=ed25519; p={ED}", "ed25519", ED, Level.OK),
}


@pytest.mark.parametrize(("record", "kind", "public", "level"), OWN.values(), ids=OWN)
def test_a_key_of_ours(record: str, kind: str, public: str, level: Level) -> None:
    own = OwnKey(kind=kind, public=public, beside_rsa=True)
    found = judge_dkim("s1", "mill.net", Texts(texts=(record,)), own=own)
    assert found.level is level
    if level is Level.FAIL:
        assert found.reason == "the record is that of another key"
        assert found.remedy == "Publish what `relayd dkim dns mill.net` prints."


def test_a_record_may_have_the_bare_form_of_our_key() -> None:
    """As RFC 6376 §3.6.1 has it: SubjectPublicKeyInfo ends with it."""
    own = OwnKey(kind="rsa", public=base64(sequence(BARE)))
    found = judge_dkim("s1", "mill.net", Texts(texts=(f"p={base64(BARE)}",)), own=own)
    assert found.level is Level.OK


def test_a_key_of_ours_without_a_record() -> None:
    found = judge_dkim("s1", "mill.net", Texts(), own=OwnKey(kind="rsa", public=GOOD))
    assert found.remedy == "Publish what `relayd dkim dns mill.net` prints."
