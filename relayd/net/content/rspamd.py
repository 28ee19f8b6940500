"""rspamd: a POST to /checkv2 of its normal worker, JSON back.

Source: rspamd's protocol documentation (HTTP headers, and the fields of the answer).
"""

import io
import json
from http.client import HTTPException, HTTPResponse
from typing import Any, cast

from relayd.errors import CheckerDown
from relayd.mail.reply import clean_text
from relayd.mail.text import replaced
from relayd.net.content.exchange import exchange
from relayd.net.content.sample import Sample
from relayd.policy.intake.content import Scored, Symbol
from relayd.settings import ContentSettings

_TEXT_LIMIT = 300  # characters of a name or a description


async def ask(settings: ContentSettings, sample: Sample) -> Scored:
    """Raises CheckerDown."""
    return parse_answer(
        await exchange(settings, _request(settings, sample), sample.content), settings.name
    )


def _request(settings: ContentSettings, sample: Sample) -> bytes:
    fields = [
        ("Host", str(settings.endpoint)),
        ("Connection", "close"),
        ("Content-Length", str(len(sample.content))),
        ("Helo", sample.helo),
        ("Ip", sample.client_ip),
        ("User", sample.auth_user),
        ("Queue-Id", sample.queue_id),
    ]
    if sample.reverse_path is not None:
        fields.append(("From", f"<{sample.reverse_path}>"))
    fields += [("Rcpt", f"<{recipient}>") for recipient in sample.recipients]
    lines = [f"{name}: {_one_line(value)}" for name, value in fields if value]
    return "\r\n".join(["POST /checkv2 HTTP/1.1", *lines, "", ""]).encode()


def _one_line(value: str) -> str:
    return replaced(value)


class _Heard:
    """What `HTTPResponse` wants of a socket."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, mode: str) -> io.BytesIO:  # noqa: ARG002 -- always "rb"
        return io.BytesIO(self._octets)


def parse_answer(octets: bytes, name: str) -> Scored:
    """Read a whole HTTP response. Raises CheckerDown."""
    response = HTTPResponse(cast("Any", _Heard(octets)))
    try:
        response.begin()
        body = response.read()
    except (HTTPException, ValueError, OSError):
        raise CheckerDown(f"{name}: its answer is not HTTP") from None
    if response.status != 200:
        raise CheckerDown(f"{name}: it answers HTTP status {response.status}")
    try:
        return _scored(json.loads(body))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CheckerDown(f"{name}: its answer has no score") from None


def _scored(answer: Any) -> Scored:
    symbols = answer.get("symbols", {})
    return Scored(
        score=round(_number(answer["score"]), 2),  # 15 may come as 14.999999
        required=_number(answer["required_score"]),
        symbols=tuple(
            Symbol(
                _text(symbol),
                _number(found.get("score", 0.0)),
                _text(found.get("description") or ""),
            )
            for symbol, found in symbols.items()
        ),
    )


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("expected a number")
    number = float(value)
    if not abs(number) < 1e9:  # NaN is not either
        raise ValueError("expected a number that means something")
    return number


def _text(value: str) -> str:
    return clean_text(value.encode("utf-8", "replace"), limit=_TEXT_LIMIT)
