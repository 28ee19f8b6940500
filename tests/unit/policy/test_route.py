"""Where a recipient goes."""

import pytest

from relayd.policy.route import SMARTHOST, RouteRules, key_for


@pytest.mark.parametrize("domain", ["example.com", "EXAMPLE.com", "exämple.test", "[192.0.2.1]"])
@pytest.mark.parametrize("is_test", [False, True])
def test_all_mail_goes_to_the_smarthost(domain: str, *, is_test: bool) -> None:
    assert destination_of(domain, is_test=is_test) == SMARTHOST == "smarthost"
