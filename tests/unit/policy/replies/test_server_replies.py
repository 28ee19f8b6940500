"""What the classifier makes of replies as servers word them, and what no words can make it do."""

import re
import tomllib
from collections.abc import Iterator
from functools import partial
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.mail.outcome import Classification
from relayd.mail.reply import Stage
from relayd.mail.words import Category
from relayd.policy.replies.classify import classify_fields
from relayd.policy.replies.phrases import _ITEM
from relayd.policy.replies.ruleset import builtin_rules
from tests.support.processor import took_by
from tests.support.reply_cases import reply_cases
from tests.support.server_replies import (
    DIAGNOSTICS,
    MORE_REPLIES,
    REPLIES,
    REPORTED,
    server_replies,
)

RULES = builtin_rules()
CASES = [
    case for text in (REPLIES, MORE_REPLIES, REPORTED, DIAGNOSTICS) for case in server_replies(text)
]
TEXTS = [(stage, text) for *_, stage, text in CASES] + [case[1:] for case in reply_cases()]
WORDS = sorted({word for _, text in TEXTS for word in text.split() if not word[:3].isdigit()})


def judge(text: str, stage: str | None = None) -> Classification:
    return classify_fields(None, None, text, stage, RULES)


@pytest.mark.parametrize(
    ("categories", "proven", "stage", "text"), CASES, ids=[case[3][:90] for case in CASES]
)
def test_what_servers_say(
    *, categories: frozenset[str], proven: bool, stage: str, text: str
) -> None:
    got = judge(text, stage)
    assert got.category in categories, got.rule
    assert got.suppress is proven, got.rule
    if text[:4].strip().isdigit():
        assert got.permanent is (text[0] == "5")


# ---- words withdraw proof, they never give it


@pytest.mark.parametrize("stage", ["dot", "data", "mail", "auth", "starttls", "ehlo", "connect"])
def test_only_a_reply_to_rcpt_can_be_of_an_address(stage: str) -> None:
    """Records name the later command that a client noticed at; the pipelined RCPT is meant then."""
    for _, text in TEXTS:
        pipelined = stage in ("data", "ehlo") and ("503" in text or "554 5.5.1" in text)
        assert pipelined or not judge(text, stage).suppress, text


@pytest.mark.parametrize("code", ["521", "500", "502", "503", "555", "421", "450"])
def test_some_codes_are_never_of_an_address(code: str) -> None:
    for stage, text in TEXTS:
        if text[:3].isdigit():
            assert not judge(f"{code}{text[3:]}", stage).suppress, text


@pytest.mark.parametrize(
    "words",
    [
        "sender",
        "Sender address rejected:",
        "Return-Path:",
        "HELO",
        "temporarily",
        "header",
        "DNSSEC",
        "x.1.8",
    ],
)
def test_words_that_take_proof_away(words: str) -> None:
    """In front of a diagnostic, and behind the code of a reply."""
    for stage, text in TEXTS:
        head, _, rest = text.partition(" ")
        code = head.isdigit()
        new = words if words != "x.1.8" else "5.1.8"
        assert not judge(f"{head} {new} {rest}" if code else f"{new} {text}", stage).suppress, text


@given(
    case=st.sampled_from(TEXTS), prefix=st.sampled_from(["sender ", "SENDER: ", "the sender's "])
)
@settings(max_examples=300, deadline=None)
def test_a_sender_in_front_never_gives_proof(case: tuple[str, str], prefix: str) -> None:
    stage, text = case
    assert not judge(prefix + text, stage).suppress


NOUNS = frozenset(
    re.findall(
        r"\w+",
        """
    recipient recipients user users mailbox mailboxes address addresses account accounts addressee
    alias aliases localpart part username name userid id inbox customer customers person people
    employee subscriber rcpt box path email emails mailaddress nobody noone one
    recipnotfound recipientnotfound nosuchuser userunknown mailboxnotfound nouser unknownuser
    exrecipnotfound invalidinternetaddress badprimary recipient_abroad
    nsu dd xgemail0011 ofr416 lpn416 lpn007 ofr004 ofr005 lpnaaa
    domain domains host hosts hostname site mx exchanger exchangers exchange nxdomain nullmx srv
    domain_abroad record records
        """,
    )
)
# RFC 3463 §3.2, RFC 7505 §4.2, RFC 7293 §5, and what Microsoft documents of its own codes.
CODES_OF_ADDRESSES = frozenset(
    {"x.1.1", "x.1.2", "x.1.3", "x.1.6", "x.1.10", "x.7.17", "x.7.18"}
    | {"5.3.2", "5.1.2", "5.1.10", "5.4.4", "5.4.310", "5.7.504", "5.7.505", "x.4.1"}
)


def rules_that_suppress() -> Iterator[dict[str, object]]:
    for file in resources.files("relayd.policy.replies").joinpath("rules").iterdir():
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        for rule in document.get("rule", []):
            if rule["category"] in ("bad_mailbox", "bad_domain") and rule.get("suppress", True):
                yield rule


def names_an_address(phrase: str) -> bool:
    """Whether every text that the phrase finds has a word for a mailbox, a person or a domain."""
    left, sets = phrase.lower(), RULES_WORDS
    while left:
        item = _ITEM.match(left)
        assert item
        left = left[item.end() :].strip()
        group, optional, name, optional_set, _, word = item.groups()
        if optional or optional_set:
            continue
        choices = sets[name] if name else (group.split("|") if group else [word or ""])
        if all(NOUNS.intersection(choice.replace("*", "").split()) for choice in choices):
            return True
    return False


RULES_WORDS = {
    **tomllib.loads(
        resources.files("relayd.policy.replies").joinpath("rules/01-words.toml").read_text("utf-8")
    )["words"],
    "recipient_abroad": ["address"],
    "domain_abroad": ["domain"],
}


def test_each_phrase_that_suppresses_names_a_mailbox_or_a_domain() -> None:
    bare = [
        (rule["id"], phrase)
        for rule in rules_that_suppress()
        if not {"link", "enhanced"} & rule.keys() and rule.get("code") != ["556"]
        for phrase in rule.get("text", ["(nothing)"])  # type: ignore[attr-defined]
        if not names_an_address(phrase)
    ]
    assert not bare


def test_each_code_that_suppresses_is_of_a_mailbox_or_a_domain() -> None:
    for rule in rules_that_suppress():
        codes = rule.get("enhanced", [])
        assert isinstance(codes, list)
        assert CODES_OF_ADDRESSES.issuperset(codes), rule["id"]


def test_words_without_a_noun_never_give_proof() -> None:
    """A bare "not found" may be of a file, a sender, a host or a header."""
    for words in ("not found", "unknown", "no such", "does not exist", "invalid", "gone", "bad"):
        for stage in ("rcpt", None):
            assert not judge(f"550 {words}", stage).suppress
            assert not judge(f"550 5.0.0 {words}", stage).suppress
            assert not judge(words, stage).suppress


@given(words=st.lists(st.sampled_from(WORDS), max_size=12), place=st.integers(0, 12))
@settings(max_examples=300, deadline=None)
def test_more_words_never_undo_a_veto(words: list[str], place: int) -> None:
    words.insert(min(place, len(words)), "sender")
    assert not judge(f"550 {' '.join(words)}", "rcpt").suppress


def test_a_deferral_of_the_recipient_is_no_proof_whatever_came_before_it() -> None:
    assert not judge("550 no 451 no such user 503 need RCPT", "data").suppress
    assert judge("550 no 551 no such user 503 need RCPT", "data").suppress


# ---- the sender, and what delivery makes of it


def test_what_is_about_the_sender_is_marked() -> None:
    for stage, text in TEXTS:
        got = judge(text, stage)
        assert not (got.about_sender and got.suppress), text
        assert got.category is not Category.SENDER_CONFIG or got.about_sender, text


# ---- time


def test_a_text_of_a_rules_own_words_takes_no_time() -> None:
    """64 KiB of what the longest phrases look for, and of what they skip."""
    judge("550 warm-up")
    lines = [text for _, text in TEXTS]
    for start in range(0, len(lines), 40):
        text = " ".join(lines[start : start + 40])
        long = "550 " + (text * 40)[: 64 * 1024]
        assert took_by(partial(judge, long, "rcpt"), 0.05) < 0.05, text


HOSTILE = {
    "quotes": "said: 550 ",
    "colons": ":550 a ",
    "parentheses": "(a@b:550 ",
    "open parentheses": "(aaaaaaaaa",
    "later commands": "550 x 503 need rcpt ",
    "many codes": " 451 a",
    "commands": ">>> DATA in reply to end of data ",
    "apostrophes": "l'd'un'",
    "tags": "AB_12 ",
    "nouns": "recipient user mailbox ",
    "nouns abroad": "adresse compte 用户 ",
    "unknown abroad": "inconnu no existe 不存在 ",
    "domains": "domain host mx not ",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_takes_no_time(text: str) -> None:
    judge("550 warm-up")
    long = (text * 20_000)[: 64 * 1024]
    assert took_by(lambda: (judge(f"550 {long}", "rcpt"), judge(long)), 0.1) < 0.1


def test_stages_of_a_record_are_those_of_smtp() -> None:
    assert {stage for stage, _ in TEXTS} - {""} <= {stage.value for stage in Stage}
