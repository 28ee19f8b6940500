"""What a token server's answer means: only an error of OAuth2 is a refusal, and nothing repeats a secret."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.http import HttpAnswer
from relayd.policy.oauth2.answers import (
    DeviceCode,
    Down,
    Granted,
    Pending,
    Refused,
    judge,
    judge_device,
    judge_poll,
)
from relayd.policy.oauth2.refusals import Wrong

TOKEN = {"token_type": "Bearer", "access_token": "abc", "expires_in": 3600}


def an_answer(told: object, status: int = 200, kind: str = "application/json") -> HttpAnswer:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return HttpAnswer(status=status, content_type=kind, body=body)


LIVES = {
    "said": (3599, 3599),
    "as text": ("3600", 3600),
    "a float": (3600.9, 3600),
    "unsaid": (None, 300),
    "no number": ("soon", 300),
    "a flag": (True, 300),
    "a list": ([1], 300),
    "zero": (0, 60),
    "negative": (-5, 60),
    "short": (10, 60),
    "a year": (31_536_000, 86_400),
    "endless": ("1e18", 86_400),
    "infinite": ("inf", 300),
    "not a number": ("nan", 300),
    "long": ("9" * 5000, 300),
}


@pytest.mark.parametrize(("said", "seconds"), LIVES.values(), ids=LIVES)
def test_how_long_a_token_counts(said: object, seconds: int) -> None:
    found = judge(an_answer({**TOKEN, "expires_in": said}), ())
    assert found == Granted(access_token="abc", lives_for=timedelta(seconds=seconds))


def test_a_refresh_token_may_come_with_it() -> None:
    found = judge(an_answer({**TOKEN, "refresh_token": "new"}), ())
    assert isinstance(found, Granted)
    assert found.refresh_token == "new"
    assert "abc" not in repr(found)
    assert "new" not in repr(found)
    found = judge(an_answer({**TOKEN, "refresh_token": "new\r\nline"}), ())
    assert isinstance(found, Granted)
    assert found.refresh_token == ""


DOWN = {
    "HTML": (b"<html>", 200, "text/html", "answers 200 with text/html, and no JSON"),
    "no type": (b"", 200, "", "answers 200 with no type"),
    "a list": ([], 200, "application/json", "no JSON"),
    "deep": (b"[" * 100_000, 200, "application/json", "no JSON"),
    "no UTF-8": (b"\xff\xfe\xfa", 200, "application/json", "no JSON"),
    "a redirect": (b"", 302, "text/html", "nothing is followed: see oauth2_token_url"),
    "busy": ({}, 503, "application/json", "answers 503"),
    "no token": ({"token_type": "Bearer"}, 200, "application/json", "no token that can be used"),
    "a token with blanks": ({"access_token": "a b"}, 200, "", "no token that can be used"),
    "a token with lines": ({"access_token": "a\r\nb"}, 200, "", "no token that can be used"),
    "a huge token": ({"access_token": "a" * 20_000}, 200, "", "no token that can be used"),
    "a number": ({"access_token": 5}, 200, "", "no token that can be used"),
    "another type": ({**TOKEN, "token_type": "mac"}, 200, "", "a token of the type mac"),
    "an error of a server": ({"error": "server_error"}, 500, "", "says server_error"),
    "later": ({"error": "temporarily_unavailable"}, 400, "", "temporarily_unavailable"),
    "Microsoft is busy": (
        {"error": "invalid_grant", "error_description": "AADSTS90033: A transient error"},
        400,
        "",
        "AADSTS90033",
    ),
    "a refusal with a strange status": ({"error": "invalid_client"}, 429, "", "invalid_client"),
}


@pytest.mark.parametrize(("told", "status", "kind", "words"), DOWN.values(), ids=DOWN)
def test_what_may_pass_is_no_refusal(told: object, status: int, kind: str, words: str) -> None:
    found = judge(an_answer(told, status, kind), ())
    assert isinstance(found, Down)
    assert words in found.reason


def test_a_refusal_says_what_is_wrong() -> None:
    told = {
        "error": "invalid_client",
        "error_description": "AADSTS7000215: Invalid client secret provided. Trace ID: 1\r\nTimestamp: 2",
    }
    found = judge(an_answer(told, 401), ("hunter2",))
    assert isinstance(found, Refused)
    assert found.wrong is Wrong.SECRET
    assert found.reason == (
        "the token server refuses the client secret (invalid_client: AADSTS7000215: Invalid client secret"
        " provided.); make a new client secret, and write its value to the file of oauth2_client_secret_file"
    )


def test_no_secret_is_repeated() -> None:
    """Whatever a server quotes, and the token is none of its answers' words."""
    told = {"error": "invalid_hunter2", "error_description": "we know\nhunter2 and hunter2-longer"}
    found = judge(an_answer(told, 400), ("hunter2", "", "hunter2-longer"))
    assert isinstance(found, Refused)
    assert "hunter2" not in found.reason
    assert found.reason.isprintable()
    found = judge(an_answer({"access_token": "abcdef", "token_type": "abcdef"}), ())
    assert isinstance(found, Down)
    assert "abcdef" not in found.reason


def test_what_a_server_says_is_short() -> None:
    found = judge(an_answer({"error": "x" * 5000, "error_description": "y"}, 400), ())
    assert isinstance(found, Refused)
    assert len(found.reason) < 400


CODE = {
    "device_code": "dev",
    "user_code": "ABCD-EFGH",
    "verification_uri": "https://login.test/device",
    "expires_in": 900,
    "interval": 5,
}


def test_a_code_for_somebody_to_type() -> None:
    found = judge_device(an_answer(CODE), ())
    assert found == DeviceCode(
        device_code="dev",
        user_code="ABCD-EFGH",
        address="https://login.test/device",
        lives_for=timedelta(minutes=15),
        interval=5,
    )
    assert "dev'" not in repr(found)
    google = {
        **CODE,
        "verification_uri": "",
        "verification_url": "https://g.test",
        "interval": None,
    }
    found = judge_device(an_answer(google), ())
    assert isinstance(found, DeviceCode)
    assert (found.address, found.interval) == ("https://g.test", 5)


@pytest.mark.parametrize(
    ("told", "status", "expected"),
    [
        ({**CODE, "verification_uri": "http://login.test"}, 200, Down),
        ({**CODE, "user_code": "a\x1b[2J"}, 200, Down),
        ({**CODE, "user_code": ""}, 200, Down),
        ({**CODE, "device_code": ""}, 200, Down),
        (TOKEN, 200, Down),
        (b"<html>", 200, Down),
        ({"error": "invalid_scope"}, 400, Refused),
        (CODE, 500, Down),
        ({**TOKEN, "error": ""}, 201, Down),
    ],
)
def test_an_answer_without_a_code(told: object, status: int, expected: type) -> None:
    assert isinstance(judge_device(an_answer(told, status), ()), expected)


def test_waiting_for_somebody() -> None:
    """RFC 8628 §3.5: slow_down is five seconds more, for all questions that follow."""
    wait = an_answer({"error": "authorization_pending"}, 400)
    assert judge_poll(wait, (), 5) == Pending(interval=5)
    slower = an_answer({"error": "slow_down"}, 400)
    assert judge_poll(slower, (), 5) == Pending(interval=10)
    assert judge_poll(slower, (), 60) == Pending(interval=60)
    assert isinstance(judge_poll(an_answer({"error": "access_denied"}, 400), (), 5), Refused)
    assert isinstance(judge_poll(an_answer(TOKEN), (), 5), Granted)
    assert isinstance(judge_poll(an_answer(b""), (), 5), Down)


@given(st.binary(), st.integers(100, 599), st.text())
def test_any_answer_means_something(body: bytes, status: int, kind: str) -> None:
    answer = HttpAnswer(status=status, content_type=kind, body=body)
    assert isinstance(judge(answer, ()), Down)


@given(
    st.dictionaries(
        st.sampled_from(
            ["access_token", "error", "error_description", "expires_in", "token_type", "interval"]
        ),
        st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans()),
    ),
    st.sampled_from([200, 400, 401, 500]),
)
def test_any_fields_mean_something(told: dict[str, object], status: int) -> None:
    found = judge(an_answer(told, status), ())
    assert isinstance(found, Granted) or found.reason.isprintable()
