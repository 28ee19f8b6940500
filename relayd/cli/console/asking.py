"""What the commands of `relayd console` share: names, asking the daemon, and telling what was done."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import click

from relayd.cli.asked_daemon import daemon_socket
from relayd.cli.context import NoSuch
from relayd.cli.output import printable, show_json
from relayd.control import client
from relayd.control.protocol import Message
from relayd.policy.console.names import parse_name

T = TypeVar("T")


class NameType(click.ParamType[str]):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return parse_name(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class ListType(click.ParamType[tuple[T, ...]], Generic[T]):
    """Values with commas between them, each read by the same function, which raises ValueError."""

    def __init__(self, name: str, read: Callable[[str], T]) -> None:
        self.name = name
        self._read = read

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[T, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self._read(each.strip()) for each in str(value).split(",") if each)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def ask(request: Message, *, otherwise: str) -> dict[str, Any]:
    """Have the daemon do something. Raises NoSuch with `otherwise` if there was nothing to do."""
    reply = client.ask(daemon_socket(), request)
    if reply.get("done") is not True:
        raise NoSuch(otherwise)
    return reply


def tell(done: str, name: str, *, as_json: bool) -> None:
    """Say what was done to whom."""
    if as_json:
        show_json({"name": name, "action": done})
    else:
        click.echo(printable(f"{done} {name}"))
