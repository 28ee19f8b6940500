"""Having the checks of `relayd doctor` made for somebody who uses the console."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from relayd.control.protocol import DOCTOR_CHECKS
from relayd.doctor.machine import state_directory
from relayd.doctor.running import take_turn
from relayd.errors import Shortage
from relayd.settings import Settings

QUICK, ALL = DOCTOR_CHECKS


def begin(settings: Settings, checks: str, by: str) -> None:
    """Start a process that makes the checks, `QUICK` or `ALL`.

    To be called on the main thread: the process ends with the thread that starts it. Raises RelaydError while
    one is at work, Shortage where the system gives no process.
    """
    folder = state_directory(settings)
    turn = take_turn(folder)
    program = (sys.executable, "-m", "relayd.worker.doctor_run")
    places = os.pathsep.join(str(Path(place).absolute()) for place in sys.path)
    try:
        child = subprocess.Popen(  # noqa: S603 -- our own program
            (*program, settings.file, str(folder), checks, by, str(os.getpid())),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": places},
            pass_fds=(turn,),
            start_new_session=True,  # signals of our terminal are not for it
        )
        threading.Thread(target=child.wait, name="doctor", daemon=True).start()
    except (OSError, RuntimeError) as error:
        raise Shortage(f"the checks cannot be started now: {error}") from error
    finally:
        os.close(turn)
