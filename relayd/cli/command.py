"""The `relayd` command: finding the sub-command, and one clear line for every error.

Owns the table of commands and the exit status of every kind of failure. A sub-command's module is
imported when it is used, so that `relayd status` does not pay for the daemon, nor `relayd serve`
for the tables of the others.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

import click

from relayd.cli import INTERRUPTED
from relayd.cli.context import settings_option
from relayd.cli.group import Group
from relayd.cli.version import show_version
from relayd.errors import (
    BackupFailed,
    CheckerDown,
    ConfigError,
    ConfigForbidden,
    CopyFailed,
    DaemonUnreachable,
    NotAFile,
    RelaydError,
    RestoreFailed,
    SchemaMismatch,
    Shortage,
    StartError,
    StoreForbidden,
    StoreFull,
    StoreMoved,
    StoreUnavailable,
    UsersError,
)

# The first that fits counts. Anything else is EX_SOFTWARE.
_EXIT_STATUS: tuple[tuple[type[RelaydError], int], ...] = (
    (ConfigForbidden, os.EX_NOPERM),
    (ConfigError, os.EX_CONFIG),
    (UsersError, os.EX_CONFIG),
    (StoreMoved, os.EX_CONFIG),
    (CheckerDown, os.EX_TEMPFAIL),
    (BackupFailed, os.EX_CANTCREAT),
    (RestoreFailed, os.EX_CANTCREAT),
    (CopyFailed, os.EX_CANTCREAT),
    (DaemonUnreachable, os.EX_UNAVAILABLE),
    (Shortage, os.EX_TEMPFAIL),
    (NotAFile, os.EX_USAGE),
    (StoreForbidden, os.EX_NOPERM),
    (StoreUnavailable, os.EX_TEMPFAIL),
    (StoreFull, os.EX_TEMPFAIL),
    (SchemaMismatch, os.EX_DATAERR),
    (StartError, os.EX_OSERR),
)


class LazyGroup(Group):
    """A group whose commands live in modules of their own, in sections: name -> "module:attribute"."""

    def __init__(
        self, *args: object, sections: Mapping[str, Mapping[str, str]], **kwargs: object
    ) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._sections = sections
        self._lazy = {name: place for each in sections.values() for name, place in each.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in self._sections.items():
            self.format_section(ctx, formatter, title, names)


@click.group(
    cls=LazyGroup,
    sections={
        "Find out what became of mail": {
            "status": "relayd.cli.ask.status:status",
            "stats": "relayd.cli.ask.stats:stats",
            "addresses": "relayd.cli.ask.addresses:addresses",
            "log": "relayd.cli.ask.log:log",
            "trace": "relayd.cli.ask.trace:trace",
        },
        "Act on mail": {
            "queue": "relayd.cli.ask.queue:queue",
            "pause": "relayd.cli.pause.command:pause",
            "resume": "relayd.cli.pause.command:resume",
            "pauses": "relayd.cli.pause.command:pauses",
            "drain": "relayd.cli.pause.drain:drain",
            "sites": "relayd.cli.sites.command:sites",
        },
        "See whether the relay is well": {
            "top": "relayd.cli.top.command:top",
            "doctor": "relayd.cli.doctor.command:doctor",
            "route": "relayd.cli.route.command:route",
            "nodes": "relayd.cli.tools.nodes:nodes",
            "tlsrpt": "relayd.cli.tlsrpt.command:tlsrpt",
            "test-mail": "relayd.cli.tools.test_mail:test_mail",
        },
        "Set it up": {
            "init": "relayd.cli.first.init:init",
            "import": "relayd.cli.first.import_:import_",
            "check": "relayd.cli.daemon:check",
            "config": "relayd.cli.config.command:config",
            "dkim": "relayd.cli.config.dkim:dkim",
            "user": "relayd.cli.tools.user:user",
            "oauth2": "relayd.cli.tools.oauth2:oauth2",
            "console": "relayd.cli.console.command:console",
        },
        "Run it": {
            "serve": "relayd.cli.daemon:serve",
            "reload": "relayd.cli.config.reload:reload",
            "demo": "relayd.cli.demo.command:demo",
        },
        "Copy the queue, and make it smaller": {
            "backup": "relayd.cli.tools.backup:backup",
            "restore": "relayd.cli.tools.restore:restore",
            "move": "relayd.cli.tools.restore:move",
            "store": "relayd.cli.tools.store:store",
        },
        "Send mail from here": {
            "sendmail": "relayd.cli.sendmail.command:sendmail",
        },
        "Understand replies, bounce mails and content": {
            "classify": "relayd.cli.tools.classify:classify",
            "parse-bounce": "relayd.cli.tools.parse_bounce:parse_bounce",
            "check-content": "relayd.cli.tools.check_content:check_content",
        },
        "Get help": {
            "explain": "relayd.cli.tools.explain:explain",
            "support-bundle": "relayd.cli.support.command:support_bundle",
            "help": "relayd.cli.tools.help:help_",
            "man": "relayd.cli.tools.man:man",
            "completion": "relayd.cli.tools.completion:completion",
            "version": "relayd.cli.tools.help:version",
        },
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`relayd help COMMAND` explains one, also `relayd help queue hold`. The questions of a day, "
    "upgrades and alerts too: docs/howto/day.md.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=show_version,
    help="Show the version and exit.",
)
@settings_option(envvar="RELAYD_CONFIG")
def root() -> None:
    """A standalone SMTP relay daemon that keeps a delivery history anyone can query."""


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line and return its exit status; errors are one line on stderr."""
    try:
        status = root.main(list(arguments), prog_name="relayd", standalone_mode=False)
    except click.UsageError as error:
        from relayd.cli.suggest import with_suggestion  # noqa: PLC0415 -- for those who mistype

        with_suggestion(error).show()
        return os.EX_USAGE
    except click.ClickException as error:
        from relayd.explain.pointer import pointer  # noqa: PLC0415 -- for what fails

        click.echo(f"relayd: {error.format_message()}{pointer(error.exit_code)}", err=True)
        return error.exit_code
    except (RelaydError, OSError) as error:
        return report(error)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return status if isinstance(status, int) else os.EX_OK


def _remedy(error: RelaydError) -> str:
    """What to do where no daemon runs: only it can act on the queue."""
    absent = isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError)
    is_stopped = isinstance(error, DaemonUnreachable) and absent
    return "; start it: systemctl start relayd" if is_stopped else ""


def report(error: RelaydError | OSError) -> int:
    """Print what went wrong, with what `relayd explain` has on it; return the exit status of its kind."""
    from relayd.cli.output import drop_output, printable  # noqa: PLC0415
    from relayd.explain.pointer import of_error, of_mistake, pointer  # noqa: PLC0415

    status = status_of(error)
    match error:
        case ConfigForbidden():
            lines = [f"{error}{of_error(error, status)}"]
        case ConfigError():
            lines = [f"{mistake}{of_mistake(mistake)}" for mistake in error.mistakes]
        case OSError():
            drop_output()
            told = f"{error.filename or 'input or output'}: {error.strerror or error}"
            lines = [f"relayd: {told}{pointer(status)}"]
        case _:
            told = f"{' '.join(str(error).split())}{_remedy(error)}"
            lines = [f"relayd: {told}{of_error(error, status)}"]
    for line in lines:
        click.echo(printable(line), err=True)
    return status


def status_of(error: RelaydError | OSError) -> int:
    if isinstance(error, OSError):
        return os.EX_IOERR
    return next(
        (status for kind, status in _EXIT_STATUS if isinstance(error, kind)), os.EX_SOFTWARE
    )
