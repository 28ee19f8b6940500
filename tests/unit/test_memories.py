"""Tests of the core run its lines, whoever asked the same before them in this process."""

import re
from datetime import UTC, datetime
from pathlib import Path

import relayd
from relayd.mail import header
from tests.support.memories import forget_the_core, of_the_core
from tests.support.other_users import import_all

_DECORATED = re.compile(r"^\s*@(?:lru_cache|cache)\b|\blru_cache\([^)]*\)\(", re.MULTILINE)


def test_each_function_of_the_core_that_remembers_is_known() -> None:
    import_all()
    root = Path(relayd.__file__).parent
    written = [
        found
        for folder in ("mail", "policy")
        for path in (root / folder).rglob("*.py")
        for found in _DECORATED.findall(path.read_text())
    ]

    assert len(list(of_the_core())) == len(written) > 0


def test_it_forgets_what_it_was_asked() -> None:
    header.date_of(datetime(2026, 1, 1, tzinfo=UTC))
    assert any(each.cache_info().currsize for each in of_the_core())

    forget_the_core()

    assert not any(each.cache_info().currsize for each in of_the_core())
