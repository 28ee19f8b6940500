"""Ports for servers under test: no port twice in a run, and none that a connection may get meanwhile.

The system gives connections ports from 32768 on, so these lie below. Processes of one parallel run have
parts of their own; what somebody else listens on is passed over.
"""

import itertools
import os
import socket

_LOWEST, _EACH, _PARTS = 12_000, 4_000, 5

_part = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PARTS
_start = os.getpid() * 97 % _EACH  # two runs at once begin at different ones
_ports = (_LOWEST + _part * _EACH + (_start + number) % _EACH for number in itertools.count())


def free_port() -> int:
    """Return a port that nobody has at any address of ours, for servers that are about to start.

    Several of 127.0.0.0/8 may be given the same one.
    """
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        return port
    raise AssertionError("the ports have no end")


def is_open(port: int) -> bool:
    """Tell whether somebody listens there now."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
