"""Who a message says it is from."""

import pytest

from relayd.mail.address import PathError
from relayd.mail.authors import authors_of

READ = {
    "one": (b"From: a@x.test\r\n", ["a@x.test"]),
    "a name, folded": (b"FROM :\r\n =?utf-8?Q?a?= <a@x.test>\r\n", ["a@x.test"]),
    "several": (b'From: "b@y.test" <a@x.test>, c@x.test\r\n', ["a@x.test", "c@x.test"]),
    "several fields": (b"From: a@x.test\r\nfrom: b@x.test\r\n", ["a@x.test", "b@x.test"]),
    "a sender": (b"Sender: s@x.test\r\nFrom: a@x.test\r\n", ["a@x.test", "s@x.test"]),
    "a group": (b"From: we: a@x.test, b@x.test;\r\n", ["a@x.test", "b@x.test"]),
    "none of the body": (b"From: a@x.test\r\n\r\nFrom: b@x.test\r\n", ["a@x.test"]),
    "UTF-8": ("From: \xe4@x.test\r\n".encode(), ["\xe4@x.test"]),
}


@pytest.mark.parametrize(("content", "addresses"), READ.values(), ids=READ)
def test_every_address_counts(content: bytes, addresses: list[str]) -> None:
    assert [str(address) for _, address in authors_of(content)] == addresses


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Subject: x\r\n\r\nFrom: a@x.test\r\n",
        b"\r\nFrom: a@x.test\r\n",
        b"Sender: a@x.test\r\n",
        b"From:\r\n",
        b"From: we:;\r\n",
        b"From: a@x.test b@x.test\r\n",
        b"From: <a@x.test\r\n",
        b"From: a@x.test\r\nSender: <\r\n",
    ],
)
def test_what_cannot_be_read_is_nobody(content: bytes) -> None:
    with pytest.raises(PathError):
        authors_of(content)
