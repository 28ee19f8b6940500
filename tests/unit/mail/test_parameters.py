"""What was said at MAIL and RCPT survives the form in which it is stored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.address import Address
from relayd.mail.parameters import (
    MAIL_WITHOUT,
    RCPT_WITHOUT,
    MailParameters,
    RcptParameters,
    mail_parameters,
    original_recipient,
    rcpt_parameters,
)

WORDS = st.none() | st.text(min_size=1)


@given(
    st.builds(
        MailParameters,
        size=st.none() | st.integers(min_value=0),
        body=WORDS,
        smtputf8=st.booleans(),
        ret=WORDS,
        envid=WORDS,
    )
)
def test_what_mail_said_is_read_again(said: MailParameters) -> None:
    assert mail_parameters(said.words()) == said


@given(st.builds(RcptParameters, notify=WORDS, orcpt=WORDS))
def test_what_rcpt_said_is_read_again(said: RcptParameters) -> None:
    assert rcpt_parameters(said.words()) == said


def test_what_was_not_said_takes_no_room() -> None:
    assert MAIL_WITHOUT.words() == RCPT_WITHOUT.words() == {}


@pytest.mark.parametrize(
    ("address", "orcpt"),
    [
        (Address("root", "relay.test"), "rfc822;root@relay.test"),
        (Address("a+b=c", "relay.test"), "rfc822;a+2Bb+3Dc@relay.test"),
        (Address('"a b"', "relay.test"), 'rfc822;"a+20b"@relay.test'),
        (Address("b\u00fcro+\\", "relay.test"), "utf-8;b\\x{FC}ro\\x{2B}\\x{5C}@relay.test"),
    ],
)
def test_an_original_recipient_is_written_as_orcpt(address: Address, orcpt: str) -> None:
    assert original_recipient(address) == orcpt
