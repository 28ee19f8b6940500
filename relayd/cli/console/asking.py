"""What the commands of `relayd console` share: names, asking the daemon, and telling what was done."""

from typing import Any

import click

from relayd.cli.context import NoSuch, load_settings
from relayd.cli.output import printable, show_json
from relayd.control import client
from relayd.control.protocol import Message
from relayd.policy.console.names import parse_name


class NameType(click.ParamType[str]):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return parse_name(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def ask(request: Message, *, otherwise: str) -> dict[str, Any]:
    """Have the daemon do something. Raises NoSuch with `otherwise` if there was nothing to do."""
    reply = client.ask(load_settings().control_socket, request)
    if reply.get("done") is not True:
        raise NoSuch(otherwise)
    return reply


def tell(done: str, name: str, *, as_json: bool) -> None:
    """Say what was done to whom."""
    if as_json:
        show_json({"name": name, "action": done})
    else:
        click.echo(printable(f"{done} {name}"))
