"""What the commands share: which settings file, the store to read, the clock, the exit by a reason.

`-c FILE` may be before or after the sub-command; the last one wins, then RELAYD_CONFIG, then
the default path.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from relayd.cli.paths import NamedPath
from relayd.config.peek import DEFAULT_SETTINGS, find_store
from relayd.errors import StoreUnavailable, TookTooLong

if TYPE_CHECKING:  # importing these costs; `relayd --help` needs none of them
    from relayd.policy.replies.ruleset import Rules
    from relayd.ports.view import QueueView
    from relayd.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
_META = "relayd.cli.settings_file"


class NoSuch(click.ClickException):
    """What was asked for does not exist."""

    exit_code = os.EX_NOINPUT


class NotRunning(click.ClickException):
    """There is nothing yet that could be asked."""

    exit_code = os.EX_UNAVAILABLE


def settings_option(*, envvar: str | None = None) -> Callable[[F], F]:
    """The option -c. `envvar` belongs to the outermost command only, lest it beat its -c."""
    return click.option(
        "-c",
        "--config",
        metavar="FILE",
        type=NamedPath("file"),
        envvar=envvar,
        expose_value=False,
        callback=_remember,
        help="The settings file.",
    )


def _remember(ctx: click.Context, param: click.Parameter, value: str | None) -> None:  # noqa: ARG001
    if value is not None:
        ctx.meta[_META] = value


json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object per line, with the log's field names."
)


def named_settings_file() -> str | None:
    """The path of the settings file, if this command line or RELAYD_CONFIG names one."""
    return named_settings_file_of(click.get_current_context())


def named_settings_file_of(ctx: click.Context) -> str | None:
    """The path that the command line of `ctx` names."""
    named: str | None = ctx.meta.get(_META)
    return named


def settings_file() -> str:
    """The path of the settings file that this command line means."""
    return named_settings_file() or DEFAULT_SETTINGS


def load_settings(*, with_secrets: bool = False) -> "Settings":
    """Read the settings. Raises ConfigError.

    Secrets are for those who log in with them or check them: members of our group need not be able to read them.
    """
    from relayd.config.load import load  # noqa: PLC0415

    return load(settings_file(), with_secrets=with_secrets)


def load_rules() -> "Rules":
    """The rules for replies: the operator's beside the settings, and the built-in ones.

    The settings themselves are not read, and need not exist: then it is the folder beside the
    default path that counts, if there is one. Raises ConfigError.
    """
    from relayd.config.rules import read_rules  # noqa: PLC0415
    from relayd.policy.replies.ruleset import rules_from  # noqa: PLC0415

    named = settings_file()
    return rules_from(read_rules(named if Path(named).exists() else DEFAULT_SETTINGS))


@contextmanager
def open_view() -> "Iterator[QueueView]":
    """The store of the settings, to read. Raises ConfigError, NotRunning, StoreError."""
    from relayd.store import open_view as open_url  # noqa: PLC0415

    url = find_store(named_settings_file()) or load_settings().store.url
    with asking(url), closing(open_url(url)) as view:
        yield view


@contextmanager
def asking(url: str) -> "Iterator[None]":
    """Questions to the store at `url`. Raises NotRunning where it is not there, or away."""
    from relayd.store.url import is_file, is_missing, name_of  # noqa: PLC0415

    try:
        yield
    except TookTooLong:
        raise
    except StoreUnavailable as error:
        if is_missing(url):
            message = f"no queue yet at {name_of(url)}; has relayd been started?"
            raise NotRunning(message) from error
        if not is_file(url):
            raise NotRunning(f"{name_of(url)}: {error}") from error
        raise


def now() -> datetime:
    """The wall clock: a command is where the time comes from, functions below take it."""
    return datetime.now(UTC)  # noqa: TID251
