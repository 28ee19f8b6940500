"""What went wrong, as RFC 9457 has it: one function writes each answer that is no success."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import orjson
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from relayd.console.unforeseen import log_unforeseen
from relayd.errors import (
    DaemonUnreachable,
    RelaydError,
    StoreError,
    StoreForbidden,
    TookTooLong,
    WrongField,
)

MEDIA_TYPE = "application/problem+json"
AGAIN = {"Retry-After": "5"}
TITLES = {
    "bad-request": "The request is broken",
    "unauthorized": "There is no good API key",
    "forbidden": "The API key may not do this",
    "not-found": "There is no such thing",
    "method-not-allowed": "The resource does not take this method",
    "timeout": "The request came too slowly",
    "conflict": "This cannot be done as things are",
    "too-large": "The request is too large",
    "unsupported-media-type": "The body is of a kind that is not taken",
    "misdirected": "The console is not known by this name",
    "invalid": "Fields or parameters are wrong",
    "refused": "The relay does not take the message",
    "key-used": "Another message came with this Idempotency-Key",
    "too-many": "The key asks too often",
    "took-too-long": "The question takes too long",
    "unavailable": "Not now",
    "internal": "An error of relayd",
    "outcome-unknown": "Nobody knows whether the message was taken",
}
"""Kinds of problems, the end of their `type` (`docs/errors.md`)."""
_OF_STATUS = {
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    408: "timeout",
    409: "conflict",
    413: "too-large",
    415: "unsupported-media-type",
    421: "misdirected",
    422: "invalid",
    429: "too-many",
    503: "unavailable",
}


class Problem(Exception):
    """A resource cannot answer as asked. `errors`: where, message and expected of each mistake."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str = "",
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind or _OF_STATUS.get(status, "bad-request")
        self.errors = errors
        self.headers = headers or {}


def wrong(where: str, message: str, expected: str = "") -> Problem:
    """Return the problem of one field or parameter."""
    return Problem(422, f"{where}: {message}", errors=[_mistake(where, message, expected)])


async def answer_to(request: Request, error: Exception) -> Response:
    """Return the answer that tells an error; one that nobody foresaw is logged, and told by a reference."""
    reference = ""
    match error:
        case Problem():
            problem = error
        case RequestValidationError():
            problem = _invalid(error)
        case HTTPException():
            problem = _of_http(request, error)
        case TookTooLong():
            problem = Problem(
                503, "choose a shorter period, or one more filter", kind="took-too-long"
            )
        case StoreForbidden():
            problem = Problem(403, str(error))
        case DaemonUnreachable() | StoreError():
            problem = Problem(503, str(error), headers=AGAIN)
        case WrongField():
            problem = wrong(error.where, str(error))
        case RelaydError():
            problem = Problem(409, str(error))
        case _:
            reference = log_unforeseen(request, error)
            problem = Problem(500, "the log has more under the reference", kind="internal")
    return _written(problem, reference)


def _written(problem: Problem, reference: str) -> Response:
    told: dict[str, object] = {
        "type": f"urn:relayd:problem:{problem.kind}",
        "title": TITLES[problem.kind],
        "status": problem.status,
        "detail": str(problem),
    }
    if problem.errors:
        told["errors"] = list(problem.errors)
    if reference:
        told["reference"] = reference
    return Response(orjson.dumps(told), problem.status, problem.headers, MEDIA_TYPE)


def _of_http(request: Request, error: HTTPException) -> Problem:
    """Return the problem of what the framework or a check says."""
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            told = "there is no such resource: /api/v1/openapi.json has those there are"
            return Problem(404, told)
        case HTTPStatus.METHOD_NOT_ALLOWED:
            routes: Sequence[APIRoute] = request.app.state.routes
            here = [each for each in routes if each.path_regex.match(request.url.path)]
            allowed = ", ".join(sorted({name for each in here for name in each.methods or ()}))
            return Problem(405, f"the resource takes {allowed}", headers={"Allow": allowed})
        case status:
            return Problem(status, error.detail, headers=error.headers)


def _invalid(error: RequestValidationError) -> Problem:
    mistakes = [_from_pydantic(each) for each in error.errors()]
    if any(each["type"] == "json_invalid" for each in error.errors()):
        return Problem(400, "the body is not JSON", errors=mistakes)
    first = mistakes[0]
    return Problem(422, f"{first['where']}: {first['message']}", errors=mistakes)


def _from_pydantic(error: Mapping[str, object]) -> Mapping[str, str]:
    location = error["loc"]
    assert isinstance(location, tuple)
    where = ".".join(str(part) for part in location if part != "query") or "body"
    if error["type"] == "extra_forbidden":
        return _mistake(where, "there is no such field", "")
    context = error.get("ctx")
    expected = str(context.get("expected", "")) if isinstance(context, dict) else ""
    return _mistake(where, str(error["msg"]), expected)


def _mistake(where: str, message: str, expected: str) -> Mapping[str, str]:
    told = {"where": where, "message": message}
    return {**told, "expected": expected} if expected else told
