import json
import re
from random import Random  # noqa: TID251 -- seeded by hypothesis

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.mail.outcome import Classification
from relayd.mail.reply import Reply, Stage, make_reply
from relayd.mail.words import About, BounceClass, Category
from relayd.policy.replies.classify import classify, classify_fields
from relayd.policy.replies.ruleset import builtin_rules
from tests.support.processor import took_by
from tests.support.reply_cases import reply_cases

RULES = builtin_rules()
BAD = {Category.BAD_MAILBOX, Category.BAD_DOMAIN}


def judge(reply: str, stage: str = "") -> Classification:
    return classify_fields(None, None, reply, stage, RULES)


@pytest.mark.parametrize(("category", "stage", "reply"), reply_cases())
def test_wordings_of_mail_servers(category: str, stage: str, reply: str) -> None:
    got = judge(reply, stage)
    assert got.category == category, got.rule
    assert got.suppress == (category in BAD and reply.startswith("5"))
    assert got.permanent == reply.startswith("5")


# Each of these has the words of a bad mailbox or a 5yz, and proves nothing about the address.
NO_PROOF = {
    "relay": ("rcpt", "550 5.1.1 kim@a.example: relaying denied, no such domain here"),
    "sender at MAIL": ("mail", "550 5.1.1 unknown user kim@a.example"),
    "sender domain": ("rcpt", "553 5.1.8 sender domain b.example not found"),
    "sender callout": ("rcpt", "550 sender verification failed: user unknown"),
    "spam": ("rcpt", "550 5.1.1 recipient address rejected: spam"),
    "auth": ("rcpt", "550 5.7.1 recipient address rejected: fails DMARC"),
    "quota": ("rcpt", "550 5.1.1 user over quota"),
    "rate": ("rcpt", "550 5.1.1 mailbox does not exist: domain hourly quota exceeded"),
    "address in local part": ("data", "554 <nosuchuser@a.example> delivery failed"),
    "words in a URL": ("data", "554 see http://a.example/user-unknown/mailbox-not-found"),
    "temporary": ("rcpt", "450 4.1.1 user unknown"),
    "no words": ("rcpt", "550"),
    "strange": ("rcpt", "550 computer says no"),
    "all refused": ("rcpt", "550 5.4.1 All recipient addresses rejected : Access denied"),
    "blocked": ("rcpt", "550 blocked"),
    "after the dot": ("dot", "550 mailbox unavailable"),
}


@pytest.mark.parametrize(("stage", "reply"), NO_PROOF.values(), ids=NO_PROOF.keys())
def test_no_proof_no_suppression(stage: str, reply: str) -> None:
    assert not judge(reply, stage).suppress


CLASSES = {
    "unknown 5yz blocks": ("550 computer says no", "unknown", True, BounceClass.BLOCK),
    "unknown 4yz is soft": ("499 computer says maybe", "unknown", False, BounceClass.SOFT),
    "full for good is soft": ("552 5.2.2 mailbox full", "mailbox_full", True, BounceClass.SOFT),
    "code beats class": ("552 4.2.2 mailbox full", "mailbox_full", True, BounceClass.SOFT),
    "and the other way": ("450 5.1.1 no such user", "bad_mailbox", False, BounceClass.SOFT),
    "spam blocks": ("554 spam", "spam_content", True, BounceClass.BLOCK),
    "spam for now": ("451 spam", "spam_content", False, BounceClass.SOFT),
    "no code, 5": ("5.1.1 no such user", "bad_mailbox", True, BounceClass.HARD),
    "no code, 4": ("4.1.1 no such user", "bad_mailbox", False, BounceClass.SOFT),
    "words only": ("no such user", "bad_mailbox", True, BounceClass.HARD),
    "words only, passing": ("mailbox full", "mailbox_full", False, BounceClass.SOFT),
    "nothing": ("", "unknown", False, BounceClass.SOFT),
    "positive": ("250 2.1.5 no such user, but thanks", "bad_mailbox", False, BounceClass.SOFT),
}


@pytest.mark.parametrize(
    ("reply", "category", "permanent", "shown"), CLASSES.values(), ids=CLASSES.keys()
)
def test_permanent_and_class(
    *, reply: str, category: str, permanent: bool, shown: BounceClass
) -> None:
    got = judge(reply)
    assert (got.category, got.permanent, got.bounce_class) == (category, permanent, shown)


STAGES = {
    Stage.CONNECT: Category.REPUTATION,
    Stage.MAIL: Category.SENDER_CONFIG,
    Stage.RCPT: Category.BAD_MAILBOX,
    Stage.DOT: Category.POLICY,
}


@pytest.mark.parametrize(("stage", "category"), STAGES.items())
def test_stage_decides_where_words_do_not(stage: Stage, category: Category) -> None:
    reply = Reply(550, None, ("Requested action not taken",))
    assert classify(reply, stage, RULES).category is category


def test_reply_and_fields_agree() -> None:
    reply = make_reply(550, ("5.1.1 <kim@a.example>", "5.1.1 no such user"))
    fields = classify_fields("550", "5.1.1", reply.text, "RCPT", RULES)
    assert classify(reply, Stage.RCPT, RULES) == fields
    assert fields.rule
    assert fields.remedy


def test_enhanced_code_is_read_off_the_text_and_no_version_or_address_is() -> None:
    assert judge("550 (#5.2.2)").category is Category.MAILBOX_FULL
    assert judge("550 #5.2.2: x").category is Category.MAILBOX_FULL
    assert judge("550 Exim 4.92.3 at 5.2.2.1").category is Category.UNKNOWN


ABOUT = {
    "status of the sender's domain": ("450 4.1.8 <me@a.example>: Domain not found", True),
    "status of the sender's syntax": ("553 5.1.7 bad address", True),
    "words": ("450 4.1.0 <me@a.example>: Sender address rejected: Domain not found", True),
    "words, with a status of mailboxes": ("450 4.1.1 Sender address rejected: unknown user", True),
    "recipient's domain": ("450 4.1.2 <kim@a.example>: Recipient address rejected: no MX", False),
    "mailbox": ("550 5.1.1 user unknown", False),
    "content": ("554 spam", False),
}


@pytest.mark.parametrize(("reply", "sender"), ABOUT.values(), ids=ABOUT.keys())
def test_about_the_sender(*, reply: str, sender: bool) -> None:
    """RFC 3463 §3.2: x.1.7 and x.1.8 are of the sender's address, whatever the first digits."""
    got = judge(reply, "rcpt")
    assert got.about_sender is sender
    assert not (got.about_sender and got.suppress)


LISTS_OF_DOMAINS = [
    "554 5.7.1 Service unavailable; Sender address [a@app.test] blocked using dbl.spamhaus.org; see there",
    "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using dbl.spamhaus.org; No IP queries",
    "554 5.7.1 Service unavailable; Helo command [mx.app.test] blocked using key.dbl.dq.spamhaus.net",
    "550 domain listed at dbl.spamhaus.org",
    "550 refused: app.test is in a black list at dbl.spamhaus.org",
    "550-refused because app.test is in a blacklist at multi.uribl.com",
    "554 we take no mail of your domain, which uribl.com lists",
    "554 the message has an URL that is listed in SURBL",
    "550 5.7.1 Blacklisted by URIBL",
    "550 5.7.1 URL in body (app.test) is listed at multi.surbl.org",
    "554 Refused: your domain app.test is on Spamhaus DBL",
    "550 5.7.1 From: domain blocked by RHSBL",
    "550 5.7.1 Service unavailable, MailFrom domain is listed in Spamhaus",
]
LISTS_OF_ADDRESSES = [
    "554 5.7.1 Service unavailable; client host [192.0.2.1] blocked using zen.spamhaus.org",
    "550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus",
    "554 5.7.1 <mx.app.test[192.0.2.1]>: Client host rejected: listed at b.barracudacentral.org",
]


@pytest.mark.parametrize(
    ("reply", "about"),
    [(each, About.DOMAIN) for each in LISTS_OF_DOMAINS]
    + [(each, About.ADDRESS) for each in LISTS_OF_ADDRESSES],
)
def test_what_is_listed(reply: str, about: About) -> None:
    """Another address helps against a listing of ours, and against none of a domain."""
    got = judge(reply, "rcpt")
    assert (got.category, got.about) == (Category.REPUTATION, about)


@pytest.mark.parametrize("list_of", ["surbl", "dbl.spamhaus.org", "URIBL", "zen.spamhaus.org"])
def test_a_list_that_is_only_named_decides_nothing(list_of: str) -> None:
    got = judge(f"550 5.1.1 user unknown ({list_of} checked)", "rcpt")
    assert got.category is Category.BAD_MAILBOX


# ---- records of `relayd classify --jsonl`

ODD: list[object] = [
    None,
    "",
    "  ",
    550,
    550.0,
    "550 ",
    "x",
    "²²²",
    "\uff15\uff15\uff10",
    True,
    [],
    {},
    "5.1.1",
    "9.9.9",
    b"550",
]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_odd_fields_never_raise(odd: object) -> None:
    for code, enhanced, text, stage in (
        (odd, None, "x", None),
        (550, odd, "x", odd),
        (None, None, odd, "RCPT"),
    ):
        got = classify_fields(code, enhanced, text, stage, RULES)
        assert isinstance(got, Classification)


@pytest.mark.parametrize("stage", ["RCPT", "rcpt", " Rcpt "])
@pytest.mark.parametrize("code", [550, "550", " 550", None])
def test_case_and_kind_of_fields(code: object, stage: str) -> None:
    got = classify_fields(code, None, "550 Recipient rejected", stage, RULES)
    assert got.rule == "recipient-refused-at-rcpt"


# ---- properties

ANY_TEXT = st.text(max_size=300) | st.lists(
    st.sampled_from(sorted({word for case in reply_cases() for word in case[2].split()})),
    max_size=30,
).map(" ".join)


@given(
    text=ANY_TEXT,
    code=st.none() | st.integers(0, 700) | st.text(max_size=4),
    enhanced=st.none() | st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True),
    stage=st.none() | st.sampled_from(["EHLO", "RCPT", "DATA", "QUIT", "dot", "mail"]),
)
@settings(max_examples=200, deadline=None)
def test_any_text_is_judged(text: str, code: object, enhanced: object, stage: object) -> None:
    got = classify_fields(code, enhanced, text, stage, RULES)
    json.dumps([got.category, got.permanent, got.suppress, got.bounce_class])
    assert not got.suppress or (got.permanent and got.category in BAD)
    assert (got.bounce_class is BounceClass.HARD) == got.suppress


def multi_line(reply: str, end: str) -> str:
    """The reply as a server sends it: two or three words a line, each behind code and status."""
    found = re.match(r"(\d{3})(?:[ -](\d\.\d{1,3}\.\d{1,3}))?\s*(.*)", reply)
    assert found
    code, status, text = found.groups()
    words = text.split()
    rows = [" ".join(words[start : start + 3]) for start in range(0, len(words), 3)] or [""]
    return end.join(f"{code}-{status} {row}" if status else f"{code}-{row}" for row in rows)


CASES = [case for case in reply_cases() if not re.search(r"\d{3}-", case[2])]


@given(
    case=st.sampled_from(CASES), form=st.sampled_from(["\r\n", "\n", "  ", "\t", "upper", "pad"])
)
@settings(max_examples=150, deadline=None)
def test_form_of_the_reply_does_not_matter(case: tuple[str, str, str], form: str) -> None:
    _, stage, reply = case
    match form:
        case "upper":
            other = reply.replace("user", "USER").replace("mailbox", "Mailbox")
        case "pad":
            other = f"  {'   '.join(reply.split(' '))} \r\n"
        case end:
            other = multi_line(reply, end)
    assert judge(other, stage).rule == judge(reply, stage).rule


@given(octets=st.binary(max_size=200), head=st.sampled_from([b"", b"550 5.1.1 ", b"451 "]))
@settings(max_examples=100, deadline=None)
def test_any_octets_are_judged(octets: bytes, head: bytes) -> None:
    """As the session reads them: UTF-8 where it is, else octet by octet."""
    for charset in ("utf-8", "latin-1", "utf-16"):
        assert judge((head + octets).decode(charset, "replace")).category in Category


@given(case=st.sampled_from(CASES), seed=st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_letter_case_and_commas_do_not_matter(case: tuple[str, str, str], seed: Random) -> None:
    """Host names are told from the tags of a provider by their case, so those stay."""
    _, stage, reply = case
    words = [
        word.upper() if word.isalpha() and seed.random() < 0.3 else word for word in reply.split()
    ]
    other = " ".join(
        f"{word}," if word.isalpha() and seed.random() < 0.1 else word for word in words
    )
    assert judge(other, stage).rule == judge(reply, stage).rule


HUGE = {
    "one word": "a" * 100_000,
    "dots": "a." * 50_000,
    "addresses": "a@" * 50_000,
    "quotes": '"' * 100_000,
    "links": "http://" * 14_000,
    "prefixes": "550-5.7.1 " * 10_000,
    "words": "your mailbox from user not " * 4_000,
    "letters of all sorts": "\u00e9\u6f22" * 50_000,
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE.keys())
def test_huge_text_takes_no_time(text: str) -> None:
    judge("550 warm-up")
    assert took_by(lambda: judge(f"550 {text}"), 0.05) < 0.05
