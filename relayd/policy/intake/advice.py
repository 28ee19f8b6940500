"""Say what a symbol of a content checker means for who writes the mail.

The sentences lie in `advice.toml`, for rspamd and SpamAssassin together: where both have a name, it
means the same.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources


def advice_on(symbol: str) -> str | None:
    """Return one sentence, with what to improve; None for a symbol that is not known."""
    table = _table()
    if symbol in table:
        return table[symbol]
    beginnings = (f"{symbol[:length]}*" for length in range(len(symbol), 0, -1))
    return next((table[each] for each in beginnings if each in table), None)


@cache
def _table() -> Mapping[str, str]:
    text = (
        resources.files("relayd.policy.intake").joinpath("advice.toml").read_text(encoding="utf-8")
    )
    return tomllib.loads(text)
