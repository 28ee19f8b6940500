import re
import tomllib
from pathlib import Path

import pytest

from relayd.errors import ConfigError
from relayd.mail.words import Category
from relayd.policy.replies.classify import classify_fields
from relayd.policy.replies.phrases import PhraseError, Words, parse_phrase, words_of
from relayd.policy.replies.ruleset import (
    Document,
    Rules,
    builtin_rules,
    compile_rules,
    load_rules,
    rules_from,
)

SETS = {"who": ["user", "mail box", "boss*"], "little": ["the", "is"]}


def document(text: str, name: str = "local.toml") -> Document:
    return name, tomllib.loads(text)


def rule_of(rules: Rules, reply: str, stage: str | None = None) -> str:
    return classify_fields(None, None, reply, stage, rules).rule


# ---- words

TEXTS = {
    "case and punctuation": ("5.1.1: User-Unknown!", "user unknown"),
    "addresses go": ("<mailboxfull@a.example>... gone", "gone"),
    "quoted local part": ('<"no..user"@a.example> gone', "gone"),
    "links go": ("see https://a.example/spam?x=virus end", "see end"),
    "hosts go": ("mx.spam.example said no", "said no"),
    "tags stay": ("RESOLVER.ADR.RecipNotFound; [TSS04]", "resolver adr recipnotfound tss04"),
    "little words go": ("The mailbox has been closed", "mailbox closed"),
    "apostrophes": ("doesn't, doesn\u2019t", "doesnt doesnt"),
    "prefixes": ("no such\r\n550-5.1.1 user\r\n550 5.1.1 here", "no such user here"),
    "pointers": ("Refused. For more information, go to Spam and viruses. Bye", "refused bye"),
    "no blanks": ("\u7528\u6237\u4e0d\u5b58\u5728", "\u7528 \u6237 \u4e0d \u5b58 \u5728"),
    "nothing": ("550 5.1.1", ""),
}


@pytest.mark.parametrize(("text", "words"), TEXTS.values(), ids=TEXTS.keys())
def test_words_of(text: str, words: str) -> None:
    assert words_of(text).text.split() == words.split()


def test_links_are_kept_apart() -> None:
    links = words_of("see HTTPS://www.A.example/x?p=NoSuchUser or b.c.example").links
    assert {"a.example", "www.a.example", "p=nosuchuser", "c.example"} <= links


# ---- phrases

PHRASES = {
    "plain": ("user unknown", "550 User unknown", True),
    "whole words": ("user unknown", "superuser unknowns", False),
    "little words": ("user is unknown", "the user was unknown", True),
    "one of": ("(no such|bad) user", "no such user", True),
    "none of": ("(no such|bad) user", "such user", False),
    "optional, there": ("user (name)? bad", "user name bad", True),
    "optional, not there": ("user (name)? bad", "user bad", True),
    "set": ("{who} full", "mail box full", True),
    "optional set": ("over {who}? quota", "over quota", True),
    "stem": ("blacklist* here", "blacklisting here", True),
    "stem in a set": ("{who} says", "bosses say, the bosses says", True),
    "gap": ("user ... unknown", "user kim at the office unknown", True),
    "gap is bounded": ("user ... unknown", f"user {'far ' * 20}unknown", False),
    "ideographs": (
        "\u7528\u6237 ... \u4e0d\u5b58\u5728",
        "\u7528\u6237abc\u4e0d\u5b58\u5728",
        True,
    ),
}


@pytest.mark.parametrize(("phrase", "text", "found"), PHRASES.values(), ids=PHRASES.keys())
def test_phrase(*, phrase: str, text: str, found: bool) -> None:
    assert parse_phrase(phrase, SETS).found_in(words_of(text)) is found


@pytest.mark.parametrize(
    "phrase",
    [
        "",
        "the",
        "(a|b",
        "a)b",
        "x+",
        ".*",
        r"\d",
        "[a-z]",
        "(a)*",
        "user?",
        "... user",
        "user ...",
        "a1b ... bad ... worse ... end",
        "{nobody}",
        "{little}",
        "(one|)?",
        "550 user",
        "(the|)",
        "e-mail",
        "(a (b|c))",
        "ab*",
    ],
)
def test_phrase_refused(phrase: str) -> None:
    with pytest.raises(PhraseError):
        parse_phrase(phrase, SETS)


def test_phrase_is_not_searched_without_its_words() -> None:
    words = Words(
        " user unknown ", frozenset(), frozenset()
    )  # no text gives this; shows what the keys do
    assert not parse_phrase("user unknown", SETS).found_in(words)


# ---- rule files

OPERATOR = """
[words]
partner = ["acme", "example gateway"]

[remedies]
policy = "Call Kim."

[[rule]]
id = "partner-spam"
category = "policy"
text = "{partner} ... (spam|{partner})"

[[rule]]
id = "partner-users"
category = "bad_mailbox"
text = ["{recipient} {unknown}"]
code = 550
enhanced = ["5.7.606-608", "x.1.x"]
stage = ["rcpt"]
unless = "virus"
suppress = false
remedy = "Ask the partner."

[[rule]]
id = "never-here"
category = "policy"
code = ["599"]
permanent = false
"""


@pytest.fixture(scope="module")
def rules() -> Rules:
    text = OPERATOR.replace('"{partner} ... (spam|{partner})"', '"{partner} ... spam"')
    return load_rules([document(text)])


CHOSEN = {
    "own words first": ("550 Example gateway: we think it is spam", None, "partner-spam"),
    "built-in set": ("550 5.1.1 user unknown", "rcpt", "partner-users"),
    "range of codes": ("550 5.7.607 user unknown", "rcpt", "partner-users"),
    "not in the range": ("550 5.2.9 user unknown", "rcpt", "bad-mailbox-words"),
    "other stage": ("550 5.1.1 user unknown", "dot", "bad-mailbox-words"),
    "other code": ("551 5.1.1 user unknown", "rcpt", "bad-mailbox-words"),
    "unless": ("550 5.1.1 user unknown, or a virus", "rcpt", "virus-words"),
}


@pytest.mark.parametrize(("reply", "stage", "rule"), CHOSEN.values(), ids=CHOSEN.keys())
def test_operator_rules_come_first(rules: Rules, reply: str, stage: str | None, rule: str) -> None:
    assert rule_of(rules, reply, stage) == rule


def test_what_a_rule_overrides(rules: Rules) -> None:
    got = classify_fields(None, None, "550 5.1.1 user unknown", "rcpt", rules)
    assert (got.suppress, got.remedy) == (False, "Ask the partner.")
    assert not classify_fields(599, None, "", None, rules).permanent
    assert classify_fields(599, None, "", None, rules).remedy == "Call Kim."


def test_an_operators_veto_takes_proof_away() -> None:
    text = '[[veto]]\nid = "gateway"\ncategory = "policy"\ntext = "example gateway"'
    rules = load_rules([document(text)])
    reply = "550 5.1.1 user unknown (example gateway)"
    got = classify_fields(None, None, reply, "rcpt", rules)
    assert (got.suppress, got.category, got.rule) == (False, Category.POLICY, "gateway")
    assert classify_fields(None, None, reply, "rcpt", builtin_rules()).suppress


MISTAKES = {
    "no table": ("rule = [1]", "rule[0]"),
    "unknown key": (
        "[[rule]]\nid='a'\ncategory='policy'\ncode='550'\npattern='x'",
        "rule[0].pattern",
    ),
    "no id": ("[[rule]]\ncategory='policy'\ncode='550'", "rule[0].id"),
    "same id": ("[[rule]]\nid='a'\ncategory='policy'\ncode='5xx'\n" * 2, "rule[1].id"),
    "no category": ("[[rule]]\nid='a'\ncode='550'", "rule[0].category"),
    "odd category": ("[[rule]]\nid='a'\ncategory='bad'\ncode='550'", "rule[0].category"),
    "no condition": ("[[rule]]\nid='a'\ncategory='policy'", "rule[0]"),
    "code": ("[[rule]]\nid='a'\ncategory='policy'\ncode='55'", "rule[0].code"),
    "enhanced": ("[[rule]]\nid='a'\ncategory='policy'\nenhanced='5.1'", "rule[0].enhanced"),
    "range": ("[[rule]]\nid='a'\ncategory='policy'\nenhanced='5.1.9-3'", "rule[0].enhanced"),
    "stage": ("[[rule]]\nid='a'\ncategory='policy'\nstage='QUIT'", "rule[0].stage"),
    "link": ("[[rule]]\nid='a'\ncategory='policy'\nlink='http://x'", "rule[0].link"),
    "phrase": ("[[rule]]\nid='a'\ncategory='policy'\ntext='.*'", "rule[0].text"),
    "list": ("[[rule]]\nid='a'\ncategory='policy'\ntext=[]", "rule[0].text"),
    "flag": ("[[rule]]\nid='a'\ncategory='policy'\ncode=550\npermanent='no'", "rule[0].permanent"),
    "suppress": (
        "[[rule]]\nid='a'\ncategory='policy'\ncode=550\nsuppress=true",
        "rule[0].suppress",
    ),
    "remedy": ("[[rule]]\nid='a'\ncategory='policy'\ncode=550\nremedy=1", "rule[0].remedy"),
    "about": ("[[rule]]\nid='a'\ncategory='reputation'\ncode=550\nabout='us'", "rule[0].about"),
    "remedies": ("[remedies]\npolicy=1", "remedies.policy"),
    "no such category": ("[remedies]\nbad='x'", "remedies.bad"),
    "veto": ("[[veto]]\nid='a'\ncategory='policy'", "veto[0]"),
    "words": ("words=1", "words"),
    "table": ("rules=1", "rules"),
}


@pytest.mark.parametrize(("text", "key"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes(text: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_rules([document(text)])
    mistakes = caught.value.mistakes
    assert key in {mistake.key for mistake in mistakes}
    assert {mistake.file for mistake in mistakes} == {"local.toml"}


def test_every_mistake_is_told_at_once() -> None:
    text = "[[rule]]\nid='A'\ncategory='x'\ncode='1'\nstage='y'\n[[rule]]\nid='b'\n"
    with pytest.raises(ConfigError) as caught:
        compile_rules([document(text)])
    assert len(caught.value.mistakes) >= 6


# ---- what comes with relayd


def test_no_operator_files_means_the_built_in_rules() -> None:
    assert load_rules([]) is builtin_rules()


@pytest.mark.parametrize(
    "reply",
    [
        "550-5.7.1 [192.0.2.1] Messages missing a valid Message-ID header are not accepted",
        "550 5.7.1 Messages missing a valid messageId header are not accepted",
        "554 5.6.0 Message-ID header is missing",
        "550 missing required header field: Date",
        "554 5.2.0 message must contain a Message-ID",
        "550 No Date: header",
    ],
)
def test_a_complaint_about_a_missing_field_names_the_setting(reply: str) -> None:
    """An operator can have relayd add it."""
    got = classify_fields(None, None, reply, "dot", builtin_rules())
    assert (got.category, got.suppress) == (Category.CONTENT_ERROR, False)
    assert "listen.add_headers" in got.remedy


def test_each_category_has_a_remedy() -> None:
    assert builtin_rules().remedies.keys() == set(Category)


def test_rule_ids_are_unique() -> None:
    ids = list(
        dict.fromkeys((entry.rule.id, id(entry.rule)) for entry in builtin_rules().rules.entries)
    )
    assert len(ids) == len({name for name, _ in ids})


def test_the_example_in_the_docs_is_a_rule() -> None:
    docs = Path(__file__).parents[4].joinpath("docs", "bounces.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"(?ms)^```toml\n(\[\[rule.*?)^```", docs)  # not those inside a list
    rules = load_rules([document(example)])
    assert rules.rules.entries[0].rule.id == "example-gateway"


def test_the_docs_name_each_category() -> None:
    docs = Path(__file__).parents[4].joinpath("docs", "bounces.md").read_text(encoding="utf-8")
    assert all(f"`{category}`" in docs for category in Category)


RULE = '[[rule]]\nid = "{id}"\ncategory = "policy"\ntext = "computer says no"\n'


def test_an_operators_rules_come_first_in_the_order_of_their_files() -> None:
    rules = rules_from((("1.toml", RULE.format(id="first")), ("2.toml", RULE.format(id="second"))))
    judged = classify_fields(None, None, "550 Computer says no", None, rules)
    assert (judged.rule, judged.category) == ("first", Category.POLICY)
    assert rules_from(()) is builtin_rules()


@pytest.mark.parametrize(
    ("texts", "files"),
    [
        pytest.param([("a.toml", "[[rule")], ["a.toml"], id="no-toml"),
        pytest.param([("a.toml", "x = " + "[" * 5000)], ["a.toml"], id="nested-too-deep"),
        pytest.param([("a.toml", "a = 1\x1b[31m")], ["a.toml"], id="control-characters"),
        pytest.param(
            [("a.toml", RULE.format(id="")), ("b.toml", "=")],
            ["b.toml", "a.toml"],
            id="all-at-once",
        ),
    ],
)
def test_rules_that_cannot_be_read_are_all_named(
    texts: list[tuple[str, str]], files: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        rules_from(tuple(texts))
    assert [mistake.file for mistake in caught.value.mistakes] == files
    assert all(str(mistake).isprintable() for mistake in caught.value.mistakes)
