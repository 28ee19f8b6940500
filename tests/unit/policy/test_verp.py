"""Return paths: what we made is read back, what anybody else made is not."""

import re
import string
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.mail.address import Address, parse_address
from relayd.mail.ids import MessageId
from relayd.policy.verp import VerpToken, decode, encode, masked, masked_octets, tokens_in
from tests.support.processor import took_by

KEY = bytes(range(32))
DOMAIN = "bounces.relay.test"
MESSAGE = MessageId(0x0123_4567_89AB_CDEF)
MADE = encode(MESSAGE, 7, key=KEY, domain=DOMAIN)

message_ids = st.integers(0, 2**63 - 1).map(MessageId)
recipients = st.integers(0, 2**32 - 1)


def read(local: str, domain: str = DOMAIN) -> VerpToken | None:
    return decode(Address(local, domain), key=KEY, domain=DOMAIN)


@given(message_ids, recipients, st.binary(min_size=16, max_size=64))
def test_what_was_encoded_is_decoded(message_id: MessageId, recipient: int, key: bytes) -> None:
    address = encode(message_id, recipient, key=key, domain=DOMAIN)
    assert decode(address, key=key, domain=DOMAIN) == VerpToken(
        message_id=message_id, recipient=recipient
    )


@given(message_ids, recipients)
def test_the_address_survives_the_way_back(message_id: MessageId, recipient: int) -> None:
    """Letters and digits only, no longer than every server takes, and a path by the grammar."""
    address = encode(message_id, recipient, key=KEY, domain=DOMAIN)
    assert re.fullmatch(r"b\+[a-z0-9]+", address.local)
    assert len(address.local) <= 64
    assert parse_address(str(address)) == address


@given(st.lists(st.booleans(), min_size=len(MADE.local), max_size=len(MADE.local)))
def test_case_does_not_matter(uppers: list[bool]) -> None:
    local = "".join(
        char.upper() if upper else char for char, upper in zip(MADE.local, uppers, strict=True)
    )
    assert read(local, DOMAIN.upper()) == VerpToken(message_id=MESSAGE, recipient=7)


def test_any_other_character_anywhere_is_refused() -> None:
    for place, was in enumerate(MADE.local):
        for char in string.printable + "\u212a\u017f\u0130\uff11\u0661":
            if char.lower() != was:
                assert read(MADE.local[:place] + char + MADE.local[place + 1 :]) is None


@settings(max_examples=200)
@given(st.text(max_size=70))
def test_what_we_did_not_make_is_refused(local: str) -> None:
    assert read(local) is None
    assert read("b+1" + local) is None


@pytest.mark.parametrize(
    "local",
    [
        pytest.param("", id="empty"),
        pytest.param("b+", id="no token"),
        pytest.param(MADE.local[:-1], id="cut off"),
        pytest.param(MADE.local + "0", id="longer"),
        pytest.param(MADE.local + "\n", id="line end"),
        pytest.param(" " + MADE.local, id="blank in front"),
        pytest.param(f'"{MADE.local}"', id="quoted"),
        pytest.param(MADE.local.replace("b+1", "b+2"), id="other version"),
        pytest.param(MADE.local.replace("b+", "b-"), id="other separator"),
        pytest.param("b+1" + "z" * 45, id="more bits than there are"),
        pytest.param("b+1" + "0" * 45, id="zeros"),
    ],
)
def test_malformed_ones_are_refused(local: str) -> None:
    assert read(local) is None


def test_the_domain_must_be_ours() -> None:
    assert read(MADE.local, "elsewhere.test") is None
    assert read(MADE.local, "x." + DOMAIN) is None


def test_another_key_reads_nothing() -> None:
    assert decode(MADE, key=KEY[::-1], domain=DOMAIN) is None


def test_another_recipient_has_another_signature() -> None:
    """Nothing of one return path helps to make the next one."""
    other = encode(MESSAGE, 8, key=KEY, domain=DOMAIN)
    subject = len("b+1") + 19  # characters that hold the message and the recipient, and no more
    assert read(other.local[:subject] + MADE.local[subject:]) is None


STARS = "b+" + "*" * 46


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param("550 <{0}@b.test> unknown", "550 <" + STARS + "@b.test> unknown", id="alone"),
        pytest.param("prvs=1={0}=b.test@y", "prvs=1=" + STARS + "=b.test@y", id="inside another"),
        pytest.param("{0} {0}", STARS + " " + STARS, id="twice"),
        pytest.param("{0}", STARS, id="nothing else"),
        pytest.param("250 2.1.0 OK", "250 2.1.0 OK", id="short"),
        pytest.param(
            "b+1 and much that is no token " * 9, "b+1 and much that is no token " * 9, id="none"
        ),
    ],
)
@pytest.mark.parametrize("change", [str, str.upper], ids=["as made", "upper case"])
def test_no_token_is_shown(said: str, shown: str, change: Callable[[str], str]) -> None:
    assert masked(change(said.format(MADE.local))) == change(shown)
    assert masked_octets(change(said.format(MADE.local)).encode()) == change(shown).encode()


@pytest.mark.parametrize(
    "written",
    [
        MADE.local.replace("+", "+2B"),
        MADE.local.replace("+", "=2B"),
        MADE.local.replace("+", "%2b"),
        *(MADE.local[:cut] + "=\r\n" + MADE.local[cut:] for cut in range(1, len(MADE.local))),
        MADE.local.replace("b+1", "b=\n=2B=\n1=\n"),
    ],
)
def test_nor_in_another_writing(written: str) -> None:
    hidden = masked_octets(b"Return-Path: <%b@b.test>\r\n" % written.encode())
    assert hidden == b"Return-Path: <b+%b@b.test>\r\n" % (b"*" * (len(written) - 2))
    assert masked(f"<{written}>") == f"<b+{'*' * (len(written) - 2)}>"


@given(message_ids, recipients, st.text(), st.text())
def test_no_token_is_shown_whatever_surrounds_it(
    message_id: MessageId, recipient: int, before: str, after: str
) -> None:
    address = encode(message_id, recipient, key=KEY, domain=DOMAIN)
    told = f"{before}{address}{after}"
    assert address.local[3:].lower() not in masked(told).lower()
    assert len(masked(told)) == len(told)


def test_masking_takes_no_time_that_a_text_could_stretch() -> None:
    hostile = [b"b+1" * 350_000, b"b+1" + b"0=\r\n" * 250_000, (b"b+1" + b"0" * 44 + b"!") * 20_000]
    for content in hostile:
        assert took_by(partial(masked_octets, content), 1.0) < 1.0
        assert len(masked_octets(content)) == len(content)


def test_a_key_anybody_could_guess_is_an_error() -> None:
    with pytest.raises(ValueError, match="16 octets"):
        encode(MESSAGE, 0, key=b"short", domain=DOMAIN)


def test_the_format_stays() -> None:
    """Mail is under way for days: a change needs another version digit."""
    assert MADE.local == "b+1028t5cy4tqkff000001wxpr57xfst3jwetyrt83ke84dn"


def test_tokens_are_found_in_a_mail() -> None:
    """Whatever has encoded it on the way; those that we did not make are none."""
    local = MADE.local
    soft = local[:20] + "=\r\n" + local[20:]
    mail = f"{local[:-1]}0 Return-Path: <{soft}@{DOMAIN}>\r\n{local.upper().replace('+', '%2B')}"
    found = list(tokens_in(mail.encode(), key=KEY, domain=DOMAIN))
    meant = VerpToken(message_id=MESSAGE, recipient=7)
    assert found in ([meant, meant], [meant, meant, meant])
    assert not list(tokens_in(mail.encode(), key=bytes(32), domain=DOMAIN))
    forged = f"<{local[:-1]}{'0' if local[-1] != '0' else '1'}@{DOMAIN}>"
    assert not list(tokens_in(forged.encode(), key=KEY, domain=DOMAIN))
