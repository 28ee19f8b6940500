"""Roles and scopes: the whole table, written out."""

import pytest

from relayd.policy.console.roles import Role, Scope, may, scopes_of

S, R, O, A, C = Scope.SUBMIT, Scope.READ, Scope.OPERATE, Scope.ADMIN, Scope.CONTENT  # noqa: E741
ALLOWED = {
    (): "",
    (S,): "S",
    (R,): "R",
    (O,): "RO",
    (A,): "ROA",
    (C,): "",  # content is on top of reading
    (S, C): "S",
    (R, C): "RC",
    (O, C): "ROC",
    (A, C): "ROAC",
    (S, R): "SR",
    (S, R, O, A, C): "SROAC",
}
OF_ROLE = {Role.VIEWER: (R,), Role.OPERATOR: (O,), Role.ADMIN: (A,)}


@pytest.mark.parametrize(("held", "allowed"), ALLOWED.items())
def test_what_scopes_allow(held: tuple[Scope, ...], allowed: str) -> None:
    assert {needed for needed in Scope if may(held, needed)} == {
        scope for scope in Scope if scope.name[0] in allowed
    }


@pytest.mark.parametrize("role", Role)
def test_a_role_is_its_scope(role: Role) -> None:
    assert scopes_of(role, reads_content=False) == set(OF_ROLE[role])
    assert scopes_of(role, reads_content=True) == {*OF_ROLE[role], C}


@pytest.mark.parametrize("needed", Scope)
def test_a_higher_role_may_no_less(needed: Scope) -> None:
    allowed = [may(scopes_of(role, reads_content=False), needed) for role in Role]
    assert allowed == sorted(allowed)
