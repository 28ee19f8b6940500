"""`relayd serve` and `relayd check`: the daemon itself, and whether its settings would do."""

import os

import click

from relayd.cli.command import status_of
from relayd.cli.context import json_option, load_settings, settings_file, settings_option
from relayd.errors import ConfigError
from relayd.policy.delivery.route import DEFAULT
from relayd.settings import Settings


@click.command()
@click.option(
    "--as-root", is_flag=True, help="Serve as root, also if queue or log belong to another user."
)
@settings_option()
@click.pass_context
def serve(ctx: click.Context, *, as_root: bool) -> None:
    """Run the daemon in the foreground.

    SIGHUP reads the settings again. SIGTERM finishes the open sessions and ends.
    """
    from relayd import supervisor  # noqa: PLC0415

    ctx.exit(supervisor.main(settings_file(), as_root=as_root))


@click.command()
@settings_option()
@json_option
@click.pass_context
def check(ctx: click.Context, *, as_json: bool) -> None:
    """Read the settings and list every mistake.

    A DKIM key that is no use is one too, though relayd serves without it.
    Asked by root, it reads them once more as the user that relayd runs as: the owner of the queue, or
    relayd.
    """
    from relayd.answers.standing import fields, in_one_line, standing_of  # noqa: PLC0415
    from relayd.cli.checking import say_what_runs  # noqa: PLC0415
    from relayd.cli.output import printable, show_json  # noqa: PLC0415
    from relayd.config.mistakes import ENVIRONMENT  # noqa: PLC0415
    from relayd.config.signing import require_keys  # noqa: PLC0415
    from relayd.doctor.as_service import require_as_service  # noqa: PLC0415
    from relayd.doctor.daemon import ask_daemon  # noqa: PLC0415

    try:
        settings = load_settings(with_secrets=True)
        require_keys(settings)
        require_as_service(settings)
    except ConfigError as error:
        if not as_json:
            say_what_runs()
            raise
        for mistake in error.mistakes:
            show_json(
                {
                    "file": mistake.file,
                    "key": mistake.key,
                    "value": mistake.value,
                    "expected": mistake.expected,
                    "variable": mistake.variable or None,
                }
            )
        ctx.exit(status_of(error))
    standing = standing_of(settings, ask_daemon(settings))
    if not as_json:
        click.echo(printable(in_one_line(standing)))
    for warning in settings.warnings:
        click.echo(printable(f"warning: {warning}"), err=True)
    summary = _summary(settings)
    if as_json:
        show_json({"ok": True, "file": settings.file, **summary, **fields(standing)})
        return
    place = settings.file if os.path.lexists(settings.file) else ENVIRONMENT
    click.echo(printable(f"settings OK: {place}"))
    for name, value in summary.items():
        click.echo(printable(f"  {name:<10} {value}"))


def _summary(settings: Settings) -> dict[str, str | int]:
    from relayd.store.url import shown  # noqa: PLC0415 -- for this command alone

    content = {} if settings.content is None else {"content": settings.content.name}
    named = ", ".join(name for name in settings.smarthosts if name != DEFAULT)
    others = {"smarthosts": named} if named else {}
    variables = ", ".join(dict.fromkeys(settings.variables.values()))
    return {
        "fqdn": settings.fqdn,
        "listeners": ", ".join(listener.address for listener in settings.listeners),
        "smarthost": ", ".join(str(host) for host in settings.smarthost.hosts),
        **others,
        "store": shown(settings.store.url),
        "workers": settings.workers,
        "rules": ", ".join(name for name, _ in settings.rules) or "built-in only",
        **content,
        **({"variables": variables} if variables else {}),
    }
