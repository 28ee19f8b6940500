"""A password as commands get it: asked for twice on a terminal, else the first line of standard input.

It is never an argument: those are in the list of processes for everybody to see.
"""

import os
import sys

import click

_LIMIT = 1024  # octets


class BadPassword(click.ClickException):
    """The input is no password."""

    exit_code = os.EX_DATAERR


def ask_password() -> str:
    """Return the password. Raises BadPassword."""
    try:
        if sys.stdin.isatty():
            password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
        else:
            password = sys.stdin.buffer.readline(_LIMIT + 3).decode()
            password = password.removesuffix("\n").removesuffix("\r")
        octets = password.encode()  # a terminal may give half characters, too
    except UnicodeError:
        raise BadPassword("expected a password in UTF-8") from None
    if not password:
        raise BadPassword("expected a password: one line of input")
    if len(octets) > _LIMIT or any(ord(char) < 32 for char in password):
        raise BadPassword(
            f"expected a password of at most {_LIMIT} octets, without control characters"
        )
    return password
