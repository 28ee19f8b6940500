"""`relayd oauth2 login`: a code for a browser, and tokens that nobody sees."""

import io
import json
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.background import Background
from tests.support.certificates import Authority
from tests.support.cli_world import Ran, World
from tests.support.token_server import TokenServer, answer, granted, refused

CODE = answer(
    json.dumps(
        {
            "device_code": "device-secret",
            "user_code": "ABCD-EFGH",
            "verification_uri": "https://login.test/device",
            "expires_in": 900,
            "interval": 1,
        }
    ).encode()
)
PENDING = refused("authorization_pending")


class Signing:
    """A token server, settings that name it, and the command."""

    def __init__(self, world: World, background: Background, authority: Authority) -> None:
        self._world = world
        self._background = background
        self._authority = authority
        self.folder = world.folder / "oauth2"
        self.server: TokenServer | None = None

    def serve(self, answers: Sequence[bytes], *, more: str = "") -> None:
        context = self._authority.server_context("127.0.0.1")
        self.server = self._background.enter(TokenServer(context, answers))
        with self._world.settings.open("a") as settings:
            settings.write(
                f'[smarthosts.m365]\nhosts = ["127.0.0.1:587"]\ntls = "verify"\nauth = "oauth2"\n'
                f'username = "app@example.org"\noauth2_flow = "refresh_token"\n'
                f'oauth2_client_id = "id"\noauth2_scope = "mail offline_access"\n'
                f'oauth2_token_url = "{self.server.url}"\n{more}'
            )

    def device_url(self) -> str:
        port = self.server.port if self.server else 0
        return f'oauth2_device_url = "https://127.0.0.1:{port}/device"\n'

    def with_device(self, answers: Sequence[bytes]) -> None:
        self.serve(answers)
        with self._world.settings.open("a") as settings:
            settings.write(self.device_url())

    def run(self, *more: str) -> Ran:
        return self._world.run("oauth2", "login", "m365", *more)

    def file(self, ending: str) -> Path:
        return self.folder / f"m365.{ending}"


@pytest.fixture
def signing(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Signing]:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", authority.cafile)
    with Background() as background:
        yield Signing(world, background, authority)


def test_somebody_types_a_code(signing: Signing) -> None:
    signing.with_device([CODE, PENDING, granted("token-1", refresh_token="refresh-1")])
    ran = signing.run()
    assert ran.status == 0, ran.err
    assert "open    https://login.test/device\n" in ran.out
    assert "type    ABCD-EFGH\n" in ran.out
    assert "as      app@example.org, within 15 minutes" in ran.out
    assert "signed in: the smarthost m365" in ran.out
    assert "token-1" not in ran.out + ran.err
    assert "refresh-1" not in ran.out + ran.err
    assert signing.server is not None
    assert signing.server.paths == ["/device", "/token", "/token"]
    assert signing.server.forms[0] == {"client_id": "id", "scope": "mail offline_access"}
    assert signing.file("refresh").read_text() == "refresh-1\n"
    assert json.loads(signing.file("access").read_text())["token"] == "token-1"
    for ending in ("refresh", "access", "login"):
        assert stat.S_IMODE(signing.file(ending).stat().st_mode) == 0o600
    assert stat.S_IMODE(signing.folder.stat().st_mode) == 0o700


ENDS = {
    "nobody agrees": ([CODE, refused("access_denied")], 1, "refuses the consent"),
    "too late": ([CODE, refused("expired_token")], 1, "expired_token"),
    "no such scope": ([refused("invalid_scope")], 1, "refuses the scope"),
    "no refresh token": ([CODE, granted("token-1")], 1, "may lack offline_access"),
    "down": ([answer(b"", status=503)], 75, "503"),
}


@pytest.mark.parametrize(("answers", "status", "words"), ENDS.values(), ids=ENDS)
def test_no_sign_in(signing: Signing, answers: Sequence[bytes], status: int, words: str) -> None:
    signing.with_device(answers)
    ran = signing.run()
    assert (ran.status, ran.err.count("\n")) == (status, 1)
    assert words in ran.err
    assert "token-1" not in ran.err
    assert "device-secret" not in ran.out + ran.err
    assert not signing.file("refresh").exists()


def test_a_refresh_token_that_somebody_has(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried before it is kept."""
    signing.serve([granted("token-1"), refused("invalid_grant", "Token refresh-2 is expired.")])
    for typed, status in ((b"refresh-1\n", 0), (b"refresh-2\n", 1)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
        ran = signing.run("--stdin")
        assert ran.status == status, ran.err
        assert "refresh-" not in ran.out + ran.err
        assert signing.file("refresh").read_text() == "refresh-1\n"


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [("nobody", 66, "there is no smarthost nobody"), ("default", 64, "needs no sign-in")],
)
def test_a_smarthost_that_needs_none(world: World, name: str, status: int, words: str) -> None:
    ran = world.run("oauth2", "login", name)
    assert ran.status == status
    assert words in ran.err
