"""Which ID tokens are good for a log-in, and whom they let in."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.console.oidc import OidcRules, Person, Refused, check_token, person_of
from relayd.policy.console.roles import Role
from tests.support.clock import START

RULES = OidcRules(
    issuer="https://auth.test",
    client_id="relayd",
    groups={Role.ADMIN: frozenset({"admins"}), Role.VIEWER: frozenset({"staff", "guests"})},
)
SUBJECT = "https://auth.test 4711"
AT = START.timestamp()
GOOD: dict[str, object] = {
    "iss": "https://auth.test",
    "aud": "relayd",
    "nonce": "n",
    "sub": "4711",
    "exp": AT + 300,
    "iat": AT,
    "preferred_username": "anna",
    "groups": ["staff"],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"aud": ["relayd"]},
        {"aud": ["other", "relayd"], "azp": "relayd"},
        {"azp": "relayd"},
        {"exp": AT - 59.9},
        {"iat": AT + 60, "nbf": AT + 60},
        {"iat": AT - 86400},
        {"sub": "x" * 255},
    ],
)
def test_a_good_token(changed: dict[str, object]) -> None:
    check_token({**GOOD, **changed}, RULES, nonce="n", now=START)


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"iss": "https://auth.test/"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "relay"}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": {"relayd": 1}}, "aud"),
        ({"aud": ["relayd", "other"]}, "azp"),
        ({"aud": ["relayd", "relayd"]}, "azp"),
        ({"azp": "other"}, "azp"),
        ({"azp": None}, "azp"),
        ({"nonce": "m"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": "\ud800"}, "nonce"),
        ({"sub": ""}, "sub"),
        ({"sub": 7}, "sub"),
        ({"sub": "x" * 256}, "sub"),
        ({"sub": "\ud800"}, "sub"),
        ({"exp": AT - 60}, "exp"),
        ({"exp": str(AT + 300)}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"iat": AT + 61}, "iat"),
        ({"iat": float("nan")}, "iat"),
        ({"iat": None}, "iat"),
        ({"nbf": AT + 61}, "nbf"),
        ({"nbf": "soon"}, "nbf"),
    ],
)
def test_a_token_that_is_not(changed: dict[str, object], wrong: str) -> None:
    with pytest.raises(ValueError, match=rf"^{wrong} "):
        check_token({**GOOD, **changed}, RULES, nonce="n", now=START)


def test_a_token_is_over_after_a_minute_more() -> None:
    for seconds, is_good in ((359, True), (360, False)):
        now = START + timedelta(seconds=seconds)
        try:
            check_token(GOOD, RULES, nonce="n", now=now)
        except ValueError:
            assert not is_good
        else:
            assert is_good


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, Person(SUBJECT, "anna", Role.VIEWER)),
        ({"preferred_username": "Anna.B"}, Person(SUBJECT, "anna.b", Role.VIEWER)),
        ({"groups": "guests"}, Person(SUBJECT, "anna", Role.VIEWER)),
        ({"groups": ["guests", "admins"]}, Person(SUBJECT, "anna", Role.ADMIN)),
        ({"groups": [["admins"], None, "staff"]}, Person(SUBJECT, "anna", Role.VIEWER)),
        ({"groups": []}, Refused.ROLE),
        ({"groups": None}, Refused.ROLE),
        ({"groups": {"admins": True}}, Refused.ROLE),
        ({"groups": ["Admins", "admins "]}, Refused.ROLE),
        ({"preferred_username": ""}, Refused.NAME),
        ({"preferred_username": None}, Refused.NAME),
        ({"preferred_username": ["anna"]}, Refused.NAME),
        ({"preferred_username": "an na"}, Refused.NAME),
        ({"preferred_username": "\u212aarl"}, Refused.NAME),  # lower() makes it karl
    ],
)
def test_whom_a_token_is_about(changed: dict[str, object], found: Person | Refused) -> None:
    assert person_of({**GOOD, **changed}, RULES) == found


@pytest.mark.parametrize("verified", [None, False, "true", 1])
def test_an_email_counts_if_it_was_verified(verified: object) -> None:
    rules = OidcRules(
        issuer="https://auth.test", client_id="relayd", name_claim="email", groups=RULES.groups
    )
    claims = {**GOOD, "email": "anna@example.org", "email_verified": True}
    assert person_of(claims, rules) == Person(SUBJECT, "anna@example.org", Role.VIEWER)
    assert person_of({**claims, "email_verified": verified}, rules) is Refused.EMAIL


@given(st.dictionaries(st.sampled_from([*GOOD, "azp", "nbf"]), JSON))
def test_whatever_it_says_there_is_a_verdict(changed: dict[str, object]) -> None:
    claims = {**GOOD, **changed}
    try:
        check_token(claims, RULES, nonce="n", now=START)
    except ValueError:
        return
    assert claims["iss"] == RULES.issuer
    assert isinstance(person_of(claims, RULES), Person | Refused)
