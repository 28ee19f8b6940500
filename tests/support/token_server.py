"""A token server for OAuth2, over TLS, that says what a test wants: tokens, refusals, nonsense, or nothing.

async with TokenServer(context, [granted("one"), refused("invalid_client")]) as server:
    ...
    assert server.forms[0]["grant_type"] == "client_credentials"
"""

import json
import ssl
from collections.abc import Sequence
from functools import partial
from urllib.parse import parse_qsl

from tests.support.https_server import HttpsServer, said

answer = partial(said, kind="application/json")


def granted(token: str, expires_in: object = 3600, **more: object) -> bytes:
    told = {"token_type": "Bearer", "access_token": token, "expires_in": expires_in, **more}
    return answer(json.dumps({name: value for name, value in told.items() if value != ""}).encode())


def refused(error: str, description: str = "", status: int = 400) -> bytes:
    told = {"error": error, "error_description": description}
    return answer(json.dumps(told).encode(), status=status)


class TokenServer(HttpsServer):
    """Gives its answers in turn; the last one again and again. One may be `https_server.STALL`."""

    def __init__(self, tls: ssl.SSLContext, answers: Sequence[bytes], *, port: int = 0) -> None:
        super().__init__(tls, port=port)
        self.answers = list(answers)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/token"

    @property
    def forms(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(body.decode(), strict_parsing=True)) for body in self.bodies]

    @property
    def paths(self) -> list[str]:
        return [line.split()[1] for line in self.asked]

    def next_pieces(self) -> Sequence[bytes]:
        return [self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)]
