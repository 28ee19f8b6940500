"""A message that is given again: is it the same one?"""

import pytest

from relayd.mail.ids import MessageId
from relayd.mail.once import AlreadyTaken, FirstMessage, Once, OtherBody

FIRST = FirstMessage(id=MessageId(7), body=b"b" * 32, answers={"a@x.test": "250 2.1.5 OK"})


def test_the_same_message_again_is_named() -> None:
    with pytest.raises(AlreadyTaken, match="message 7 came with this key") as taken:
        FIRST.check(Once(key=b"k" * 32, body=FIRST.body))
    assert taken.value.first is FIRST


def test_another_message_with_the_same_key_is_refused() -> None:
    with pytest.raises(OtherBody):
        FIRST.check(Once(key=b"k" * 32, body=b"c" * 32))
