"""Our own files for browsers: read once, since there are few and small ones.

A browser may keep them, and asks each time whether they are the same.
"""

import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from relayd.console.guard import SAFE


class Static:
    """The files of a folder as ASGI has them, at the path that is left over behind the mount."""

    def __init__(self, folder: Path) -> None:
        self._files = {f"/{each.name}": _file(each) for each in sorted(folder.iterdir())}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method not in SAFE:
            raise HTTPException(405, "A file can only be read.", {"Allow": "GET, HEAD"})
        found = self._files.get(scope["path"].removeprefix(scope["root_path"]))
        if found is None:
            raise HTTPException(404, "There is no such file.")
        body, headers = found
        if request.headers.get("if-none-match") == headers["ETag"]:
            await Response(None, 304, headers)(scope, receive, send)
        else:
            await Response(body, 200, headers)(scope, receive, send)


def _file(path: Path) -> tuple[bytes, Mapping[str, str]]:
    body = path.read_bytes()
    kind, _ = mimetypes.guess_type(path.name)
    is_text = kind is not None and kind.startswith("text/")
    return body, {
        "Content-Type": f"{kind}; charset=utf-8" if is_text else kind or "application/octet-stream",
        "Cache-Control": "no-cache",
        "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
    }
