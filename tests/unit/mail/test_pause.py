"""Pause rules: whom each scope fits, and how they are told apart."""

from dataclasses import replace
from datetime import timedelta

import pytest

from relayd.mail.pause import Named, PauseRule, Scope, Side, Traits, rule_for, traits_of
from tests.support.builders import a_queued_message, a_queued_recipient
from tests.support.clock import START

MAIL = Traits("Shop@App.test", "News", "shop", "X.test", "mx:x.test")
RULE = PauseRule(
    named=Named(Scope.ALL), sides=frozenset(Side), since=START, until=None, by="ann", reason=""
)
NAMES = {
    Scope.ALL: ("", ""),
    Scope.SENDER: ("SHOP@app.test", "shop@app.tes"),
    Scope.TAG: ("news", "new"),
    Scope.USER: ("shop", "Shop"),
    Scope.DOMAIN: ("x.TEST", "test"),
    Scope.DESTINATION: ("MX:x.test", "x.test"),
}


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_fits_its_own_mail_and_no_other(scope: Scope) -> None:
    right, wrong = NAMES[scope]
    rule = replace(RULE, named=Named(scope, right))
    assert rule_for(MAIL, [rule], START) == rule
    other = replace(RULE, named=Named(scope, wrong))
    assert rule_for(MAIL, [other], START) == (other if scope is Scope.ALL else None)
    unknown = rule_for(Traits(), [rule], START)
    assert unknown == (rule if scope is Scope.ALL else None), "what is not known fits no name"


@pytest.mark.parametrize(
    ("scope", "one", "other"),
    [
        (Scope.DOMAIN, "例え.jp", "XN--r8jz45g.jp"),
        (Scope.DOMAIN, "MÜNCHEN.test", "xn--mnchen-3ya.test"),
        (Scope.SENDER, "Shop@例え.jp", "shop@xn--r8jz45g.jp"),
        (Scope.SENDER, "été@例え.jp", "ÉTÉ@xn--r8jz45g.jp"),
        (Scope.DESTINATION, "mx:例え.jp", "MX:xn--r8jz45g.jp"),
    ],
)
def test_u_labels_and_a_labels_are_one_domain(scope: Scope, one: str, other: str) -> None:
    for written, met in ((one, other), (other, one), (one, one)):
        rule = replace(RULE, named=Named(scope, written))
        assert rule_for(Traits(**{scope: met}), [rule], START) == rule
        assert rule.is_one_of([Named(scope, met)]), "it ends under either name"


@pytest.mark.parametrize(
    ("scope", "one", "other"),
    [
        (Scope.DOMAIN, "faß.test", "fass.test"),
        (Scope.DOMAIN, "例え.jp", "例.jp"),
        (Scope.DOMAIN, "ü..test", "u..test"),  # no domain of the DNS
        (Scope.SENDER, "例え.jp@x.test", "xn--r8jz45g.jp@x.test"),
        (Scope.TAG, "例え.jp", "xn--r8jz45g.jp"),
        (Scope.USER, "例え.jp", "xn--r8jz45g.jp"),
    ],
)
def test_what_is_no_writing_of_the_same_stays_apart(scope: Scope, one: str, other: str) -> None:
    assert not Named(scope, one).is_same(Named(scope, other))
    assert not Named(scope, other).is_same(Named(scope, one))
    assert Named(scope, one).is_same(Named(scope, one))


def test_the_null_reverse_path_is_a_name() -> None:
    rule = replace(RULE, named=Named(Scope.SENDER, ""))
    assert rule_for(Traits(sender=""), [rule], START) == rule
    assert rule_for(MAIL, [rule], START) is None


def test_a_rule_whose_time_is_over_stops_nothing() -> None:
    rule = replace(RULE, until=START + timedelta(seconds=1))
    assert rule_for(MAIL, [rule], START) == rule
    assert rule_for(MAIL, [rule, RULE], START + timedelta(seconds=1)) == RULE


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (Named(Scope.ALL), "all mail"),
        (Named(Scope.SENDER, ""), "sender <>"),
        (Named(Scope.TAG, "News"), "tag News"),
    ],
)
def test_how_it_is_named(named: Named, words: str) -> None:
    assert str(named) == words


def test_rules_are_given_by_number_or_name_or_all() -> None:
    rule = replace(RULE, named=Named(Scope.TAG, "News"), number=3)
    assert rule.is_one_of(None)
    assert rule.is_one_of([3])
    assert rule.is_one_of([1, Named(Scope.TAG, "news")])
    assert not rule.is_one_of([1, Named(Scope.SENDER, "news")])
    assert not rule.is_one_of([])


def test_what_rules_look_at_in_a_recipient_that_is_about_to_be_tried() -> None:
    message = replace(a_queued_message(), tag="News", account="login shop")
    traits = traits_of(message, a_queued_recipient("a@X.test"), "smarthost")
    assert traits == ("app@app.test", "News", "shop", "X.test", "smarthost")
    assert replace(message, account="uid 33").user is None
    assert replace(message, account="").user is None
