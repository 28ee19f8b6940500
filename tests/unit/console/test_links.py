"""The links to all pages, for those who may see them."""

import re

import pytest

from relayd.console.links import links
from relayd.policy.console.roles import Role


@pytest.mark.parametrize(
    ("role", "count", "apart"),
    [
        (Role.VIEWER, 6, ["/doctor"]),
        (Role.OPERATOR, 7, ["/doctor"]),
        (Role.ADMIN, 12, ["/settings", "/users"]),
    ],
)
def test_each_sees_what_it_may(role: Role, count: int, apart: list[str]) -> None:
    html = links(role, "/")
    assert html.count("<li") == count
    assert re.findall(r'class="apart"><a href="([^"]*)"', html) == apart


@pytest.mark.parametrize(
    ("here", "marked"),
    [
        ("/", ["/"]),
        ("/messages", ["/messages"]),
        ("/messages/0CNA0NJ6E0401", ["/messages"]),
        ("/messages/act-on-all", ["/messages"]),
        ("/messagesx", []),
        ("/login", []),
        ("", []),
    ],
)
def test_where_somebody_is_is_marked(here: str, marked: list[str]) -> None:
    found = re.findall(r'href="([^"]*)" data-key="." aria-current="page"', links(Role.ADMIN, here))
    assert found == marked
