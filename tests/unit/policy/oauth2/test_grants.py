"""The forms that are sent, for each flow."""

from dataclasses import replace

from relayd.policy.oauth2 import grants
from relayd.policy.oauth2.grants import Flow, OAuth2Settings, Provider, preset_of, usual_flow

SETTINGS = OAuth2Settings(
    name="default",
    user="app@example.org",
    flow=Flow.CLIENT_CREDENTIALS,
    token_url="https://login.test/token",
    device_url="https://login.test/device",
    scope="https://mail.test/.default",
    client_id="id",
    secret_file="/etc/relayd/secret",
    state="/var/lib/relayd/oauth2/default",
)


def test_client_credentials() -> None:
    assert grants.client_credentials(SETTINGS, "s") == {
        "grant_type": "client_credentials",
        "scope": "https://mail.test/.default",
        "client_id": "id",
        "client_secret": "s",
    }


def test_a_public_client_has_no_secret() -> None:
    form = grants.refresh(SETTINGS, "", "r")
    assert form == {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "id"}


def test_a_service_account_acts_for_the_mailbox() -> None:
    """Google takes an hour at most."""
    assert grants.claims(SETTINGS, "robot@x.test", 1000) == {
        "iss": "robot@x.test",
        "sub": "app@example.org",
        "scope": SETTINGS.scope,
        "aud": SETTINGS.token_url,
        "iat": 1000,
        "exp": 4600,
    }
    assert grants.jwt_bearer("x.y.z")["assertion"] == "x.y.z"


def test_the_device_flow() -> None:
    assert grants.device_start(SETTINGS) == {"client_id": "id", "scope": SETTINGS.scope}
    assert grants.device_poll(SETTINGS, "", "d") == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "d",
        "client_id": "id",
    }


def test_where_tokens_are() -> None:
    assert SETTINGS.token_file == "/var/lib/relayd/oauth2/default.access"
    elsewhere = replace(SETTINGS, state="/a")
    assert (elsewhere.refresh_file, elsewhere.sign_in_file) == ("/a.refresh", "/a.login")


def test_providers_have_their_usual_flow() -> None:
    for provider in (Provider.MICROSOFT, Provider.GOOGLE):
        preset = preset_of(provider, usual_flow(provider))
        assert preset is not None
        assert preset.token_url.startswith("https://")
    assert preset_of(Provider.MICROSOFT, Flow.SERVICE_ACCOUNT) is None
    assert usual_flow(Provider.NONE) is Flow.CLIENT_CREDENTIALS
