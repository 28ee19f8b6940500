"""`python tests/support/ask_imported.py DESCRIPTOR ARGUMENT...`: `relayd ARGUMENT...` in a script that a test runs.

It is a fork of the process that has imported relayd (`tests.support.imported`), to which the descriptor leads. This program imports
little, since a script may call it often.
"""

import json
import os
import socket
import struct
import sys

NUMBER = struct.Struct(
    "=i"
)  # a child tells its process id, and its parent the status it ended with


def ask(
    line: socket.socket,
    arguments: list[str],
    *,
    environment: dict[str, str],
    folder: str,
    streams: list[int],
    program: str = "relayd",
) -> int:
    """Have a program forked; return the descriptor where news of it arrive."""
    question = {
        "program": program,
        "arguments": arguments,
        "environment": environment,
        "folder": folder,
    }
    news, theirs = os.pipe()
    try:
        socket.send_fds(line, [json.dumps(question).encode()], [*streams, theirs])
    finally:
        os.close(theirs)
    return news


def read(news: int) -> int:
    """Return the next number that arrives."""
    told = os.read(news, NUMBER.size)
    assert told, "the process that has imported relayd is gone"
    (number,) = NUMBER.unpack(told)
    return int(number)


def main(descriptor: str, *arguments: str) -> int:
    with socket.socket(fileno=int(descriptor)) as line:
        news = ask(
            line,
            [*arguments],
            environment=dict(os.environ),
            folder=os.getcwd(),  # noqa: PTH109 -- pathlib costs more
            streams=[0, 1, 2],
        )
    read(news)
    status = os.waitstatus_to_exitcode(read(news))
    return status if status >= 0 else 128 - status  # as of a shell


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
