"""A person suppresses one address, never a pattern."""

import pytest

from relayd.mail.address import PathError
from relayd.mail.to_suppress import parse_to_suppress


def test_an_address_is_one() -> None:
    assert str(parse_to_suppress("gone@x.test")) == "gone@x.test"


@pytest.mark.parametrize("text", ["*@x.test", "a*b@x.test", "no address", "", "m\ufffdller@x.test"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(PathError):
        parse_to_suppress(text)
