"""DANE by vectors that nobody here wrote: OpenSSL's own."""

from collections.abc import Mapping

import pytest

from relayd.mail.tls_result import Proof
from relayd.net.trust_anchor import check_anchor
from relayd.policy.tls.dane import match
from relayd.policy.tls.ladder import Level, Requirement
from tests.support.danetest import NotToBeHad, Vector, fetch, read_vectors

pytestmark = pytest.mark.interop

NAME = "example.com"  # that all chains are judged for
OF_MAIL = (*range(1, 23), *range(43, 55))  # 23 to 42 are about usages 0 and 1
NAMES_COUNT = {54}  # OpenSSL may look at names under usage 3, SMTP must not (RFC 7672 §3.1.1)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, Vector]:
    try:
        return read_vectors(fetch(tmp_path_factory.mktemp("openssl")))
    except NotToBeHad as why:
        pytest.skip(f"no source of OpenSSL to read vectors from: {why}")


@pytest.mark.parametrize("number", OF_MAIL)
def test_a_chain_fits_its_records_as_openssl_says(
    number: int, vectors: Mapping[int, Vector]
) -> None:
    vector = vectors[number]
    usable = tuple(record for record in vector.records if record.is_usable)
    assert usable
    asked = Requirement(level=Level.DANE, records=usable, base=NAME, names=(NAME,))
    found = match(vector.chain, asked, check_anchor)
    assert isinstance(found, Proof) == (vector.is_good or number in NAMES_COUNT)


def test_the_others_have_no_record_for_mail(vectors: Mapping[int, Vector]) -> None:
    others = [vector for number, vector in vectors.items() if number not in OF_MAIL]
    assert len(others) == 20
    assert not any(record.is_usable for vector in others for record in vector.records)
