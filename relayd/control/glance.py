"""A glance at the daemon, for a line above a table: what its numbers say, or that it is stopped.

Without the rest of `client`, which takes longer to import than a question to the store takes.
"""

import os

from relayd.answers.notices import SILENT, STOPPED, Notice, of_daemon
from relayd.ports.view import Metric

_WITHIN = 1.0  # seconds; a daemon that works answers in a few milliseconds
_CHUNK = 64 * 1024


def glance_at(path: str) -> list[Notice]:
    """Return what is to be seen of the daemon at the control socket `path`.

    Nothing where it cannot be told, such as for who may not ask.
    """
    try:
        metrics = _metrics(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return [STOPPED]
    except TimeoutError:
        return [SILENT]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []
    return of_daemon(metrics)


def _metrics(path: str) -> list[Metric]:
    os.stat(path)  # noqa: PTH116 -- a name; without a daemon it is mostly not there
    import json  # noqa: PLC0415 -- for who has something to read
    import socket  # noqa: PLC0415 -- as above

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_WITHIN)
        sock.connect(path)
        sock.sendall(b'{"verb": "metrics"}\n')
        answer = bytearray()
        while not answer.endswith(b"\n") and (chunk := sock.recv(_CHUNK)):
            answer += chunk
    return [
        Metric(str(name), tuple(sorted(labels.items())), value)
        for name, labels, value in json.loads(answer)["metrics"]
    ]
