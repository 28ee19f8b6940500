"""The token of now: shared by all workers, renewed in time, kept by files that nobody else can read."""

import asyncio
import json
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relayd.net.oauth2.kept import alone, read_token
from relayd.net.oauth2.tokens import TokenRefused, Tokens, TokenServerDown
from relayd.policy.oauth2.grants import Flow, OAuth2Settings
from tests.support.certificates import Authority
from tests.support.clock import FakeClock
from tests.support.https_server import STALL
from tests.support.token_server import TokenServer, answer, granted, refused

SECRET = "hunter2-of-the-client"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    found = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", found.cafile)
    return found


@pytest.fixture
def said() -> Iterator[list[dict[str, object]]]:
    """What is logged; it never has a secret."""
    with capture_logs() as lines:
        yield lines  # type: ignore[misc]
    assert SECRET not in repr(lines)
    assert "token-" not in repr(lines)


def a_server(authority: Authority, *answers: bytes) -> TokenServer:
    return TokenServer(authority.server_context("127.0.0.1"), answers)


def settings_of(
    folder: Path, server: TokenServer, flow: Flow = Flow.CLIENT_CREDENTIALS
) -> OAuth2Settings:
    secret = folder / "secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    return OAuth2Settings(
        name="default",
        user="app@example.org",
        flow=flow,
        token_url=server.url,
        device_url="",
        scope="all",
        client_id="id",
        secret_file=str(secret),
        state=str(folder / "oauth2" / "default"),
    )


def mode_of(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def put(path: str, content: str | bytes | None) -> None:
    """Write a secret as it should be; None: there is none."""
    file = Path(path)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(0o600)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- a file, and the other side of a socket
            await asyncio.sleep(0.005)


def text_of(path: str) -> str:
    return Path(path).read_text()


@pytest.mark.usefixtures("said")
async def test_a_token_is_asked_for_once(tmp_path: Path, authority: Authority) -> None:
    """By many connections of two workers at the same moment, and again only when it is near its end."""
    clock = FakeClock()
    async with a_server(authority, granted("token-1"), granted("token-2")) as server:
        settings = settings_of(tmp_path, server)
        workers = [Tokens(clock=clock), Tokens(clock=clock)]
        found = await asyncio.gather(*(each.token(settings) for each in workers * 5))
        assert set(found) == {"token-1"}
        assert len(server.forms) == 1
        assert server.forms[0]["client_secret"] == SECRET
        clock.advance(timedelta(minutes=54))
        assert await workers[0].token(settings) == "token-1"
        clock.advance(timedelta(minutes=2))
        found = await asyncio.gather(*(each.token(settings) for each in workers * 5))
        assert set(found) == {"token-2"}
        assert len(server.forms) == 2
    assert mode_of(settings.token_file) == 0o600
    assert mode_of(str(tmp_path / "oauth2")) == 0o700


async def test_a_process_that_starts_finds_it(tmp_path: Path, authority: Authority) -> None:
    async with a_server(authority, granted("token-1")) as server:
        settings = settings_of(tmp_path, server)
        await Tokens(clock=FakeClock()).token(settings)
        assert await Tokens(clock=FakeClock()).token(settings) == "token-1"
        assert len(server.forms) == 1


@pytest.mark.parametrize(
    "change", [{"scope": "less"}, {"client_id": "other"}, {"user": "b@example.org"}]
)
async def test_other_settings_have_a_token_of_their_own(
    tmp_path: Path, authority: Authority, change: dict[str, str]
) -> None:
    async with a_server(authority, granted("token-1"), granted("token-2")) as server:
        settings = settings_of(tmp_path, server)
        tokens = Tokens(clock=FakeClock())
        await tokens.token(settings)
        assert await tokens.token(replace(settings, **change)) == "token-2"  # type: ignore[arg-type]


async def test_a_token_that_was_refused_is_replaced(tmp_path: Path, authority: Authority) -> None:
    """Unless it is so young that it is not to blame: then asking again would help nobody."""
    clock = FakeClock()
    async with a_server(authority, granted("token-1"), granted("token-2")) as server:
        settings = settings_of(tmp_path, server)
        tokens = Tokens(clock=clock)
        assert await tokens.token(settings) == "token-1"
        assert await tokens.token(settings, instead_of="token-1") == "token-1"
        clock.advance(timedelta(minutes=2))
        assert await tokens.token(settings, instead_of="token-1") == "token-2"
        assert await Tokens(clock=clock).token(settings, instead_of="token-1") == "token-2"
        assert len(server.forms) == 2


@pytest.mark.parametrize("expires_in", ["", 0, -1])
async def test_a_token_that_lives_for_no_time_is_used_for_a_minute(
    tmp_path: Path, authority: Authority, expires_in: object
) -> None:
    """Else each connection would ask for one."""
    clock = FakeClock()
    async with a_server(authority, granted("token-1", expires_in), granted("token-2")) as server:
        settings = settings_of(tmp_path, server)
        tokens = Tokens(clock=clock)
        assert {await tokens.token(settings) for _ in range(9)} == {"token-1"}
        clock.advance(timedelta(minutes=5))
        assert await tokens.token(settings) == "token-2"


async def test_a_refusal_says_what_is_wrong(
    tmp_path: Path, authority: Authority, said: list[dict[str, object]]
) -> None:
    told = f"AADSTS7000222: The keys {SECRET} are expired."
    async with a_server(authority, refused("invalid_client", told, 401)) as server:
        with pytest.raises(
            TokenRefused, match=r"refuses the client secret .*AADSTS7000222"
        ) as caught:
            await Tokens(clock=FakeClock()).token(settings_of(tmp_path, server))
        assert SECRET not in str(caught.value)
        assert not said


@pytest.mark.parametrize(
    "useless", [answer(b"<html>", status=502, kind="text/html"), b"", answer(b"", status=302)]
)
async def test_a_server_that_is_down_is_left_alone_for_a_while(
    tmp_path: Path, authority: Authority, useless: bytes, said: list[dict[str, object]]
) -> None:
    clock = FakeClock()
    useless = useless or b"\r\n"
    async with a_server(authority, useless, useless, granted("token-1")) as server:
        settings = settings_of(tmp_path, server)
        tokens = Tokens(clock=clock)
        for _ in range(4):
            with pytest.raises(TokenServerDown):
                await tokens.token(settings)
        with pytest.raises(TokenServerDown) as caught:
            await tokens.token(settings)
        assert len(server.forms) == 1
        assert caught.value.until == clock.now() + timedelta(seconds=5)
        clock.advance(timedelta(seconds=5))
        with pytest.raises(TokenServerDown) as caught:
            await tokens.token(settings)
        assert caught.value.until == clock.now() + timedelta(seconds=10)
        clock.advance(timedelta(seconds=10))
        assert await tokens.token(settings) == "token-1"
    assert [line["event"] for line in said] == ["token_server_down"] * 2 + ["token_renewed"]


async def test_nobody_listens(tmp_path: Path, authority: Authority) -> None:
    server = a_server(authority, STALL)
    with pytest.raises(TokenServerDown, match="the token server 127"):
        await Tokens(clock=FakeClock()).token(
            replace(settings_of(tmp_path, server), token_url="https://127.0.0.1:1/")
        )


async def test_a_rotated_refresh_token_is_written_back(
    tmp_path: Path, authority: Authority
) -> None:
    clock = FakeClock()
    async with a_server(
        authority, granted("token-1", refresh_token="refresh-2"), granted("token-2")
    ) as server:
        settings = settings_of(tmp_path, server, Flow.REFRESH_TOKEN)
        with pytest.raises(TokenRefused, match="no sign-in yet: relayd oauth2 login default"):
            await Tokens(clock=clock).token(settings)
        put(settings.refresh_file, "refresh-1\n")
        assert await Tokens(clock=clock).token(settings) == "token-1"
        assert text_of(settings.refresh_file) == "refresh-2\n"
        assert mode_of(settings.refresh_file) == 0o600
        clock.advance(timedelta(hours=1))
        assert await Tokens(clock=clock).token(settings) == "token-2"
        assert [form["refresh_token"] for form in server.forms] == ["refresh-1", "refresh-2"]
        assert text_of(settings.refresh_file) == "refresh-2\n"


async def test_who_gives_up_loses_no_refresh_token(tmp_path: Path, authority: Authority) -> None:
    """A server takes a refresh token once; the new one is kept though nobody waits for it any more."""
    async with a_server(authority, granted("token-1", refresh_token="refresh-2")) as server:
        settings = settings_of(tmp_path, server, Flow.REFRESH_TOKEN)
        put(settings.refresh_file, "refresh-1\n")
        tokens = Tokens(clock=FakeClock())
        asking = asyncio.ensure_future(tokens.token(settings))
        await until(lambda: bool(server.forms))
        asking.cancel()
        await until(lambda: read_token(settings.token_file) is not None)
        assert text_of(settings.refresh_file) == "refresh-2\n"


async def test_without_a_place_to_write(tmp_path: Path, authority: Authority) -> None:
    """A full disk keeps no mail back: each process has a token of its own then."""
    (tmp_path / "oauth2").write_text("in the way")
    async with a_server(authority, granted("token-1"), granted("token-2")) as server:
        settings = settings_of(tmp_path, server)
        tokens = Tokens(clock=FakeClock())
        with capture_logs() as lines:
            assert [await tokens.token(settings) for _ in range(3)] == ["token-1"] * 3
        assert [line["event"] for line in lines] == ["token_not_kept", "token_renewed"]
        assert len(server.forms) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"token": "a", "ends_at": "x"}'],
    ids=["empty", "nothing", "list", "octets", "deep", "text"],
)
async def test_a_damaged_file_is_replaced(
    tmp_path: Path, authority: Authority, content: bytes
) -> None:
    async with a_server(authority, granted("token-1")) as server:
        settings = settings_of(tmp_path, server)
        put(settings.token_file, content)
        assert await Tokens(clock=FakeClock()).token(settings) == "token-1"
        kept = read_token(settings.token_file)
        assert kept is not None
        assert "token-1" not in repr(kept)
        assert json.loads(text_of(settings.token_file))["token"] == "token-1"


async def test_one_worker_asks_at_a_time(tmp_path: Path) -> None:
    async with alone(str(tmp_path / "x"), within=1):
        with pytest.raises(TimeoutError):
            async with alone(str(tmp_path / "x"), within=0.01):
                pass
    async with alone(str(tmp_path / "x"), within=0):
        pass


@pytest.mark.parametrize("content", [None, "", "two\nlines"])
async def test_a_secret_that_cannot_be_read_is_a_refusal(
    tmp_path: Path, authority: Authority, content: str | None
) -> None:
    async with a_server(authority, granted("token-1")) as server:
        settings = settings_of(tmp_path, server)
        put(settings.secret_file, content)
        with pytest.raises(TokenRefused, match="the client secret cannot be used"):
            await Tokens(clock=FakeClock()).token(settings)
        assert server.forms == []
