"""Who may ask the daemon for what: each kind of caller, for itself and for somebody."""

import pytest

from relayd.policy.console.access import Caller, Rule, refusal
from relayd.policy.console.roles import Scope

OPERATES = Rule(scope=Scope.OPERATE)
OWNERS = Rule(scope=Scope.ADMIN, group=False)
CONSOLES = Rule(scope=None, group=False, console=True, account=False)
OWN = Rule(scope=None, group=False)
FOR_ITSELF = {
    OPERATES: {Caller.OWNER, Caller.GROUP},
    OWNERS: {Caller.OWNER},
    CONSOLES: {Caller.OWNER, Caller.CONSOLE},
    OWN: {Caller.OWNER},
}


@pytest.mark.parametrize(("rule", "callers"), FOR_ITSELF.items())
def test_who_may_for_itself(rule: Rule, callers: set[Caller]) -> None:
    assert {caller for caller in Caller if refusal(rule, caller, None) is None} == callers


@pytest.mark.parametrize("rule", FOR_ITSELF)
@pytest.mark.parametrize("held", [(), (Scope.READ,), (Scope.OPERATE,), (Scope.ADMIN,)])
def test_an_account_is_as_good_as_its_scopes(rule: Rule, held: tuple[Scope, ...]) -> None:
    """The rights of who carries the request do not add to them."""
    may = {OPERATES: Scope.READ not in held and held != (), OWNERS: held == (Scope.ADMIN,)}
    for caller in (Caller.OWNER, Caller.CONSOLE):
        assert (refusal(rule, caller, held) is None) is may.get(rule, rule is OWN)


@pytest.mark.parametrize("rule", FOR_ITSELF)
def test_nobody_else_speaks_for_an_account(rule: Rule) -> None:
    why = refusal(rule, Caller.GROUP, (Scope.ADMIN,))
    assert why == "only root, the daemon's user and relayd-console may ask for an account"
