"""Names of files and folders on a command line.

Where `-` can stand for standard input or output, a command says so itself. Everywhere else it is refused: it
would be a file of that name, which nobody means.
"""

from typing import Any

import click

_HYPHEN = "-"


class NamedPath(click.Path):
    """A file or folder that has a name. Who opens it says who may."""

    def __init__(
        self, kind: str, *, file_okay: bool = True, path_type: type[Any] | None = None
    ) -> None:
        super().__init__(readable=False, file_okay=file_okay, path_type=path_type)
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == _HYPHEN:
            self.fail(f"- names no {self._kind}; one that is called so is ./-", param, ctx)
        return super().convert(value, param, ctx)
