"""Escaping for HTML, as pages need it hundreds of times each.

`markupsafe.escape` makes an object of each text that it returns, and looks for methods of what it is given. That
took a third of the time in which a page is written.
"""

from collections.abc import Callable
from functools import partial
from html import escape as escape_text

from markupsafe import Markup, escape

# Markup of what is HTML already: `Markup(html)` looks for a method of the text before.
made: Callable[[str], Markup] = partial(str.__new__, Markup)


def escaped(value: object) -> str:
    """Return a value as the text of an element or of an attribute in quotes; Markup as it is."""
    kind = type(value)
    if kind is str:
        return escape_text(value)  # type: ignore[arg-type]  # a str, which mypy does not see
    if kind is Markup:
        return value  # type: ignore[return-value]  # as above
    return str(value) if kind is int else escape(value)
