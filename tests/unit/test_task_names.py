"""Every asyncio task has a name, so that a debugger and a traceback say what it was for."""

import ast
from pathlib import Path

import relayd

SOURCES = sorted(Path(relayd.__file__).parent.rglob("*.py"))


def unnamed(text: str) -> list[int]:
    """Lines that begin a task without a name."""
    return [
        call.lineno
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "create_task"
        and not any(keyword.arg == "name" for keyword in call.keywords)
    ]


def test_every_task_has_a_name() -> None:
    found = {str(path): lines for path in SOURCES if (lines := unnamed(path.read_text()))}
    assert found == {}


def test_a_task_without_a_name_is_found() -> None:
    assert unnamed("tasks.create_task(a(), name='a')\ntasks.create_task(b())") == [2]
