"""The messages about log-ins by OpenID Connect, and that they need a provider."""

from typing import Any

import pytest

from relayd.control import oidc
from relayd.control.peer import Peer
from relayd.control.protocol import BadMessage, decode, encode
from relayd.control.verbs import admit, answer
from relayd.control.verbs.verb import Forbidden
from relayd.policy.console.access import Caller
from relayd.ports.oidc import Begun, Returned
from relayd.store.memory.queue import MemoryStore
from tests.support.clock import FakeClock
from tests.support.control_server import a_context
from tests.support.people import token_hash

BEGUN = Begun(state="s", nonce="n", challenge="c", redirect_uri="https://console.test/back")
RETURNED = Returned(code="x", verifier="v", nonce="n", redirect_uri="https://console.test/back")


def sent(message: Any) -> dict[str, Any]:
    return decode(encode(message))


def test_what_is_written_is_read() -> None:
    assert oidc.begin_from_json(sent(oidc.begin_to_json(BEGUN))) == BEGUN
    message = oidc.log_in_to_json(RETURNED, token_hash=token_hash(), client="192.0.2.7")
    assert oidc.log_in_from_json(sent(message)) == (RETURNED, token_hash(), "192.0.2.7")


@pytest.mark.parametrize(
    "changed",
    [{"code": ""}, {"code": None}, {"code": "x" * 4001}, {"session": "00"}, {"role": "admin"}],
)
def test_what_is_wrong_is_refused(changed: dict[str, Any]) -> None:
    message = oidc.log_in_to_json(RETURNED, token_hash=token_hash(), client="")
    with pytest.raises(BadMessage):
        oidc.log_in_from_json({**message, **changed})


def test_no_secret_is_shown() -> None:
    assert "verifier" not in repr(RETURNED) + repr(BEGUN)


@pytest.mark.parametrize(
    "message",
    [oidc.begin_to_json(BEGUN), oidc.log_in_to_json(RETURNED, token_hash=b"x" * 32, client="")],
)
async def test_without_a_provider_nobody_logs_in(message: Any) -> None:
    peer = Peer(name="relayd-console", caller=Caller.CONSOLE)
    verb, asked = await admit(message, peer, a_context(MemoryStore(FakeClock())))
    with pytest.raises(Forbidden, match=r"console\.oidc\.issuer is not set"):
        await answer(verb, asked)
