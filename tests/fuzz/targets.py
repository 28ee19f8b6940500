"""The targets by name: what each is given, and what must hold for it.

A target is a module of this folder with `check`, which raises AssertionError (or whatever the code
lets out) on a finding, and `TOKENS`, words that a fuzzer may put together.
"""

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

NAMES = ("path", "arguments", "dialogue", "content", "sasl", "proxy", "xclient", "bounce", "answer")
CASES = Path(__file__).parent / "cases"


class Target(Protocol):
    TOKENS: tuple[bytes, ...]

    def check(self, octets: bytes) -> None: ...


def load(name: str) -> Target:
    """Import a target: late, so that the runner can instrument it before."""
    return cast("Target", import_module(f"tests.fuzz.{name}"))
