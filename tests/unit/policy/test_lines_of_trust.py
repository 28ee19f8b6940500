"""What of keys, names and routes the other tests of the core do not reach by themselves."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relayd.mail.ids import WorkerNumber, make_id
from relayd.mail.suppression import of_complaint
from relayd.policy.delivery.mx import Candidates
from relayd.policy.delivery.route import RouteRule, RouteRules, ViaMx
from relayd.policy.dkim import is_by
from relayd.policy.doctor.der import issuer_of, public_key_of
from relayd.policy.tls.anchor import certificate_around

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_bare_key_gets_a_certificate_around_it() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    made = certificate_around(octets, x509.Name([]).public_bytes())
    assert x509.load_der_x509_certificate(made).public_key() == key
    assert public_key_of(made) == octets
    assert issuer_of(made) is not None


def test_some_mail_may_go_directly() -> None:
    assert RouteRules(use_remote_smtp=True).may_be_direct
    assert RouteRules(rules=(RouteRule(pattern="x.test", route=ViaMx("")),)).may_be_direct
    assert not RouteRules().may_be_direct


def test_who_is_the_author() -> None:
    assert is_by(b"From: a@x.test\r\n", lambda _: True)
    assert not is_by(b"From: a@x.test\r\n", lambda _: False)
    assert not is_by(b"Subject: x\r\n", lambda _: True)


def test_a_complaint_speaks_for_its_sender_alone() -> None:
    message = make_id(NOW, WorkerNumber(1), 1)
    told = of_complaint("a@x.test", message, kind="abuse", scope="App@app.test", at=NOW)
    assert (told.scope, told.reason) == ("app@app.test", "complained: abuse")


def test_the_best_host_has_the_lowest_preference() -> None:
    class Some:
        candidates = (SimpleNamespace(preference=20), SimpleNamespace(preference=10))

    best: Any = vars(Candidates)["best"]
    assert best.fget(Some()) == 10
