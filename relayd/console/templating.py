"""The templates' language: Jinja, escaped always, with what pages pay for at each row made cheap.

Words in `_("…")` are translated when a template is compiled. So they are constants, that Jinja joins with the
HTML around them.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, nodes, select_autoescape
from jinja2.compiler import CodeGenerator, Frame
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.runtime import Context

from relayd.console.escaping import escaped
from relayd.console.text import translated

_CALL = ("name", "lparen", "string", "rparen")


class _Words(Extension):
    """Translates the words that a template has itself."""

    def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
        return _with_words(list(stream))


def _with_words(tokens: list[Token]) -> Iterator[Token]:
    place = 0
    while place < len(tokens):
        first, *_ = found = tokens[place : place + len(_CALL)]
        if first.value == "_" and tuple(each.type for each in found) == _CALL:
            yield Token(first.lineno, "string", translated(found[2].value))
            place += len(_CALL)
        else:
            yield first
            place += 1


class _Code(CodeGenerator):
    """Has what a page shows escaped by `escaped`."""

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if frame.eval_ctx.autoescape and not frame.eval_ctx.volatile and finalize.src is None:
            self.write("environment.escaped(")
        else:
            super()._output_child_pre(node, frame, finalize)


class _Context(Context):
    """Calls a function as it is: none of ours asks for the context, which Jinja looks for at every call."""

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("_loop_vars", None)
        kwargs.pop("_block_vars", None)
        return function(*args, **kwargs)


class _Templates(Environment):
    code_generator_class = _Code  # type: ignore[mutable-override]  # as Jinja has it
    context_class = _Context  # type: ignore[mutable-override]  # as Jinja has it
    escaped = staticmethod(escaped)


def templates_in(folder: Path) -> Environment:
    """Return the templates of a folder; each is read once."""
    found = _Templates(
        loader=FileSystemLoader(folder),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=[_Words],
    )
    # An attribute is one: Jinja would look for an item of that name, too, by a call of Python for each.
    found.getattr = getattr  # type: ignore[method-assign, assignment]
    return found
