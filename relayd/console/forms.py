"""The fields of a form, within bounds: how many, and how a browser may write them.

A Content-Type may name the character set in which the names of fields are read. Some of Python's decoders
take minutes for a megabyte (`punycode`, `idna`), and all requests wait for that. So it is UTF-8, as browsers
have it for the pages of the console.

Source: RFC 7578 §5.1; https://html.spec.whatwg.org/#multipart-form-data
"""

import re

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

_FIELDS = 250
_FILES = 1
_KIND = re.compile(
    r"application/x-www-form-urlencoded(?:; ?charset=utf-8)?|multipart/form-data; ?boundary=[!-:<-~]{1,80}",
    re.IGNORECASE,
)


async def read_form(request: Request) -> FormData:
    """Return the fields; none for a request without a body. Raises HTTPException."""
    kind = request.headers.get("content-type")
    if kind is None:
        return FormData()
    if not _KIND.fullmatch(kind):
        raise HTTPException(415, "this is no form as a browser sends it")
    try:
        return await request.form(max_files=_FILES, max_fields=_FIELDS)
    except MultiPartException as broken:
        raise HTTPException(400, f"the form is broken: {broken.message}") from broken
