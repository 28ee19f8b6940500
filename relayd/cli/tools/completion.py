"""`relayd completion`: the script for a shell that completes the commands, made by click."""

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(*, shell: str) -> None:
    """Print the script that completes commands, options, keys and ids in SHELL.

    For example, in bash: eval "$(relayd completion bash)"
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click has it"
    root = click.get_current_context().find_root()
    click.echo(kind(root.command, {}, "relayd", "_RELAYD_COMPLETE").source())
