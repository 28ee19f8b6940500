"""Names of console accounts and API keys.

They are shown in pages, logs and the history, where "anna (console)" is who acted: so a name has no blanks
and no brackets, and one spelling.
"""

import re

_NAME = re.compile(r"[a-z0-9][a-z0-9._+@-]{0,63}")


def parse_name(text: str) -> str:
    """Return the name. Raises ValueError."""
    if not is_name(text):
        raise ValueError(
            "expected a name of 1 to 64 lower-case letters, digits, and . _ + @ - after the first"
        )
    return text


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def as_account(name: str) -> str:
    """Return how history and audit name somebody who acts in the console."""
    return f"{name} (console)"


def as_key(name: str) -> str:
    """Return how history and audit name a program that acts by the API."""
    return f"{name} (API key)"
