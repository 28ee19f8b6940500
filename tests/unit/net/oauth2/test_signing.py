"""A service account's JWT is what others can verify, and a key that is none is told without a word of it."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from relayd.net.oauth2.signing import KeyUnfit, read_account, signed
from tests.support.service_account import KEY, key_file, pem


def octets(part: str) -> bytes:
    assert "=" not in part
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_others_can_verify_what_it_signs() -> None:
    account = read_account(key_file())
    assert "PRIVATE" not in repr(account)
    token = signed({"iss": account.account, "aud": "x"}, account)
    whole, _, signature = token.rpartition(".")
    KEY.public_key().verify(octets(signature), whole.encode(), PKCS1v15(), SHA256())
    header, claims = (json.loads(octets(part)) for part in whole.split("."))
    assert header == {"alg": "RS256", "typ": "JWT", "kid": "abc"}
    assert claims == {"iss": "robot@project.iam.gserviceaccount.com", "aud": "x"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected the JSON file"),
        ("[]", "expected the JSON file"),
        ("{}", "expected the JSON file"),
        ("[" * 100_000, "expected the JSON file"),
        (key_file(type="authorized_user"), "expected the key of a service account"),
        (key_file(private_key="hunter2"), "private_key is none"),
        (key_file(private_key=pem(ec.generate_private_key(ec.SECP256R1()))), "expected an RSA key"),
    ],
    ids=["empty", "list", "nothing", "deep", "another", "no-key", "another-kind"],
)
def test_a_key_file_that_is_no_use(text: str, words: str) -> None:
    with pytest.raises(KeyUnfit, match=words) as caught:
        read_account(text)
    assert "hunter2" not in str(caught.value)
