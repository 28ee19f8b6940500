"""`relayd console` without a word more: the process that shows pages."""

import asyncio
import os
from contextlib import ExitStack

from relayd.cli.context import load_settings
from relayd.errors import StartError
from relayd.loops import loop_factory
from relayd.settings import ConsoleSettings
from relayd.sockets import Bound, listen_tcp, listen_unix
from relayd.systemd import inherited_sockets

_MODE = 0o660  # of a unix socket: the proxy is in the group


def run() -> None:
    """Serve pages until SIGTERM. Raises ConfigError, StartError."""
    try:
        from relayd.console.server import serve  # noqa: PLC0415 -- its packages are an extra
    except ModuleNotFoundError as missing:
        raise StartError(
            f"the console needs the extra `web`, as in pip install 'relayd[web]': {missing}"
        ) from missing
    from relayd.logs import operational  # noqa: PLC0415

    settings = load_settings()
    operational.configure(settings.log)
    with ExitStack() as stack:
        bound = _bind(settings.console)
        stack.callback(bound.remove)
        stack.callback(bound.close)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(serve(settings, bound.sockets, os.environ))


def _bind(settings: ConsoleSettings) -> Bound:
    """Listen. Raises StartError."""
    inherited = inherited_sockets(os.environ)
    if settings.endpoint is not None:
        return Bound(listen_tcp(settings.endpoint))
    if settings.unix_path is not None:
        return listen_unix(settings.unix_path, _MODE)
    sockets = inherited.get(settings.systemd_name or "")
    if sockets is None:
        raise StartError(
            f"cannot listen on {settings.address}: systemd passed no socket of that name;"
            f" the socket unit needs FileDescriptorName={settings.systemd_name}"
        )
    return Bound(sockets)
