"""The `relayd` command; called by the name of `sendmail`, `mailq` or `newaliases`, that is what it is."""

import os
import sys
from codecs import lookup
from io import TextIOWrapper
from pathlib import PurePath

from relayd import core_dumps

_SENDMAIL = {"sendmail": (), "mailq": ("-bp",), "newaliases": ("-bi",)}
"""The names under which it is sendmail, with the option that each stands for."""


def main() -> None:
    """Run the command line of this process."""
    core_dumps.forbid()
    _fill_closed_streams()
    try:
        _main()
    except Exception as bug:  # noqa: BLE001 -- the one catch-all of a command
        sys.exit(_tell(bug))


def _main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            is_ascii = lookup(stream.encoding).name == "ascii"  # in the locale C, long ago
            stream.reconfigure(encoding="utf-8" if is_ascii else None, errors="backslashreplace")
    name = PurePath(sys.argv[0]).name
    if name in _SENDMAIL:
        from relayd.cli.sendmail.program import main as sendmail  # noqa: PLC0415 -- quick without click

        sys.exit(sendmail([*_SENDMAIL[name], *sys.argv[1:]]))
    if "status" in sys.argv:
        from relayd.cli.ask.quick_status import answer  # noqa: PLC0415 -- quick without click

        if (status := answer(sys.argv[1:])) is not None:
            sys.exit(status)
    from relayd.cli.command import main as relayd  # noqa: PLC0415

    relayd()


def _tell(bug: Exception) -> int:
    """Say in one line what a bug of ours is and where, for the report; return the exit status."""
    import traceback  # noqa: PLC0415 -- costs, and is hardly ever needed

    from relayd.cli.output import printable  # noqa: PLC0415 -- as above
    from relayd.explain.pointer import pointer  # noqa: PLC0415

    frame = traceback.extract_tb(bug.__traceback__)[-1]
    where = f"{PurePath(frame.filename).name}, line {frame.lineno}"
    words = f"{type(bug).__name__}: {' '.join(str(bug).split())}"
    line = f"relayd: a fault of relayd in {where}: {words}; please report it with this line{pointer(os.EX_SOFTWARE)}"
    sys.stderr.write(f"{printable(line)}\n")
    return os.EX_SOFTWARE


def _fill_closed_streams() -> None:
    """Open /dev/null for each stream that the caller closed, so that no file of ours has its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 -- pathlib costs more


if __name__ == "__main__":
    main()
