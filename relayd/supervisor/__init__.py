"""`relayd serve`: sockets, worker processes and signals; no mail.

`main` is the command, `run` the daemon under settings that somebody else made. The parts:
`serve` the loop, `generation` the workers of one set of settings, `processes` one worker,
`sockets` and `lock` what their names say.
"""

import os
import sys
from pathlib import Path

import structlog

from relayd.config.load import load
from relayd.config.trial import drop_trial
from relayd.config.written import refuse_root
from relayd.errors import StartError
from relayd.explain.pointer import of_error
from relayd.logs import operational
from relayd.settings import Settings
from relayd.supervisor.generation import Timeouts
from relayd.supervisor.serve import Reload, Supervisor
from relayd.supervisor.starter import WorkerMain
from relayd.worker.descriptors import raise_limit
from relayd.worker.main import run as work

__all__ = ["Timeouts", "main", "run"]

USUAL = Timeouts()

log = structlog.get_logger()


def main(path: str, *, as_root: bool = False) -> int:
    """Serve under the settings in the file `path`; return the exit code. Raises ConfigError, StartError.

    Root may serve among files of its own, or anywhere with `as_root`.
    """
    settings = load(path)
    if os.geteuid() == 0 and not as_root:
        refuse_root(settings)
    operational.configure(settings.log)
    if dropped := drop_trial(Path(settings.store.folder)):
        log.warning("console_change_dropped", file=str(dropped))
    try:
        return run(settings, reload=lambda: load(path, with_trial=True))
    except StartError as error:
        sys.stderr.write(f"relayd: {error}{of_error(error, os.EX_OSERR)}\n")
        return os.EX_OSERR


def run(
    settings: Settings,
    *,
    reload: Reload | None,
    worker_main: WorkerMain = work,
    timeouts: Timeouts = USUAL,
) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. Raises StartError.

    Takes over the signals of its process and must run in its main thread, which should be its
    only one. SIGHUP asks `reload` for new settings; without it, SIGHUP only goes to the workers.
    """
    os.umask(0o027)  # the group may read the queue
    if os.geteuid() == 0:
        log.warning("running_as_root", remedy="set User= in the unit; relayd needs no rights")
    raise_limit()
    supervisor = Supervisor(settings, reload=reload, worker_main=worker_main, timeouts=timeouts)
    return supervisor.serve()
