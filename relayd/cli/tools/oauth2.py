"""`relayd oauth2 login`: somebody agrees that relayd sends by a mailbox, and relayd keeps the refresh token.

Owns the words on the terminal. No token is printed, or taken from the command line, where others see it.
"""

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import click

from relayd.cli.context import NoSuch, load_settings, settings_option
from relayd.cli.group import Group
from relayd.cli.output import printable

if TYPE_CHECKING:
    from relayd.policy.oauth2.answers import Down, Granted, Refused
    from relayd.policy.oauth2.grants import OAuth2Settings

_DEFAULT = "default"


class NotSignedIn(click.ClickException):
    """The token server refuses."""

    exit_code = 1


class NotNow(click.ClickException):
    """The token server is no use for now."""

    exit_code = os.EX_TEMPFAIL


@click.group(cls=Group)
@settings_option()
def oauth2() -> None:
    """Sign in at the token server of a smarthost."""


@oauth2.command()
@click.argument("name", default=_DEFAULT)
@click.option(
    "--stdin", "from_stdin", is_flag=True, help="Read a refresh token that you have already."
)
@settings_option()
def login(name: str, *, from_stdin: bool) -> None:
    """Get a refresh token for the smarthost NAME, [smarthost] by default, and keep it.

    It shows an address and a code: open the address in any browser, type the code, and agree as the
    mailbox that sends. The refresh token goes into a file beside the queue that only relayd may read.
    The smarthost needs auth = "oauth2" and oauth2_flow = "refresh_token".
    """
    from relayd.errors import RelaydError  # noqa: PLC0415
    from relayd.secret_files import SecretError  # noqa: PLC0415

    settings = _settings_of(name)
    typed = sys.stdin.readline().strip() if from_stdin else ""
    if from_stdin and not typed:
        raise click.UsageError("standard input has no refresh token")
    try:
        asyncio.run(_sign_in(settings, typed))
    except SecretError as error:
        raise RelaydError(f"the client secret cannot be read: {error}") from None
    click.echo(printable(f"signed in: the smarthost {name} has a refresh token"))
    click.echo("mail that waits for it is tried within seconds, if the daemon runs")


def _settings_of(name: str) -> "OAuth2Settings":
    from relayd.policy.oauth2.grants import Flow  # noqa: PLC0415

    smarthosts = load_settings().smarthosts
    if name not in smarthosts:
        raise NoSuch(f"there is no smarthost {name}")
    found = smarthosts[name].login
    if found is None or found.oauth2 is None or found.oauth2.flow is not Flow.REFRESH_TOKEN:
        raise click.UsageError(
            f'the smarthost {name} needs no sign-in: that is for auth = "oauth2" with'
            ' oauth2_flow = "refresh_token"'
        )
    return found.oauth2


async def _sign_in(settings: "OAuth2Settings", typed: str) -> None:
    from relayd.net.https import verifying  # noqa: PLC0415
    from relayd.net.oauth2.grant import ask  # noqa: PLC0415
    from relayd.net.oauth2.tokens import keep_sign_in  # noqa: PLC0415
    from relayd.worker.system import SystemClock  # noqa: PLC0415

    clock, tls = SystemClock(), verifying()
    if typed:
        now = int(clock.now().timestamp())
        granted = _good(await ask(settings, tls=tls, now=now, refresh_token=typed))
    else:
        granted = await _by_code(settings)
    refresh_token = granted.refresh_token or typed
    if not refresh_token:
        raise NotSignedIn(
            "the token server gives no refresh token: oauth2_scope may lack offline_access"
        )
    await keep_sign_in(settings, granted, refresh_token, clock=clock)


async def _by_code(settings: "OAuth2Settings") -> "Granted":
    from relayd.net.https import verifying  # noqa: PLC0415
    from relayd.net.oauth2 import device  # noqa: PLC0415
    from relayd.policy.oauth2.answers import DeviceCode  # noqa: PLC0415

    if not settings.device_url:
        raise click.UsageError("oauth2_device_url is not set; with --stdin no address is needed")
    tls = verifying()
    code = await device.start(settings, tls)
    if not isinstance(code, DeviceCode):
        raise _refused(code)
    minutes = int(code.lives_for.total_seconds()) // 60
    click.echo(printable(f"open    {code.address}"))
    click.echo(printable(f"type    {code.user_code}"))
    click.echo(printable(f"as      {settings.user}, within {minutes} minutes"))
    return _good(await device.wait(settings, code, tls, sleep=asyncio.sleep))


def _good(found: "Granted | Refused | Down") -> "Granted":
    from relayd.policy.oauth2.answers import Granted  # noqa: PLC0415

    if isinstance(found, Granted):
        return found
    raise _refused(found)


def _refused(found: "Refused | Down") -> click.ClickException:
    from relayd.policy.oauth2.answers import Refused  # noqa: PLC0415

    kind = NotSignedIn if isinstance(found, Refused) else NotNow
    return kind(printable(found.reason))
