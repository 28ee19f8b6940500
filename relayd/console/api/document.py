"""The OpenAPI document: what FastAPI makes of the resources, and what all of them have in common."""

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from relayd.console.api.caller import Needs
from relayd.console.api.problems import MEDIA_TYPE
from relayd.console.api.shapes.errors import Problem
from relayd.console.api.shapes.submissions import NewMessage

VERSION = "1"
_REFERENCE = "#/components/schemas/{model}"
_ABOUT = "What became of mail, by message, recipient and address. docs/api.md has examples."


def document_of(app: FastAPI, routes: Sequence[APIRoute]) -> dict[str, Any]:
    """Return the document; `routes` are those of the app."""
    made = get_openapi(title="relayd", version=VERSION, description=_ABOUT, routes=app.routes)
    schemas = made["components"]["schemas"]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    for model in (Problem, NewMessage):  # no response is of these alone
        schema = model.model_json_schema(ref_template=_REFERENCE)
        schemas |= {**schema.pop("$defs", {}), model.__name__: schema}
    made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for route, operation in _operations(routes, made):
        operation["responses"].pop("422", None)
        operation["responses"]["default"] = {
            "description": "a problem",
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model="Problem")}}},
        }
        needed = needs_of(route)
        operation["security"] = [{"key": []}] if needed is None else [{"key": [needed.scope]}]
        if needed is None:
            operation["security"].append({})  # also without one
    return made


def needs_of(route: APIRoute) -> Needs | None:
    """Return what a resource needs; None: no key."""
    return next(
        (each.call for each in route.dependant.dependencies if isinstance(each.call, Needs)), None
    )


def _operations(
    routes: Sequence[APIRoute], made: dict[str, Any]
) -> Iterator[tuple[APIRoute, dict[str, Any]]]:
    for route in routes:
        for method in route.methods or ():
            yield route, made["paths"][route.path_format][method.lower()]
