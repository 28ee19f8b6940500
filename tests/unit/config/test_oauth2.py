"""OAuth2 in the settings: what a provider brings along, and secrets that cannot be used."""

import json
import tomllib
from pathlib import Path

import pytest

from relayd.config.load import load
from relayd.errors import ConfigError
from relayd.policy.oauth2.grants import Flow, OAuth2Settings
from relayd.settings import AuthMechanism
from tests.support.service_account import key_file
from tests.support.wrong_settings import MICROSOFT, OAUTH2, USER

CREDENTIALS = 'oauth2_client_id = "id"\noauth2_client_secret_file = "secret"\n'


def read(folder: Path, toml: str, **files: str) -> OAuth2Settings:
    path = folder / "relayd.toml"
    path.write_text(toml)
    tomllib.loads(toml)
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    login = load(str(path)).smarthost.login
    assert login is not None
    assert login.oauth2 is not None
    assert (login.mechanism, login.username) == (AuthMechanism.OAUTH2, "app@example.org")
    assert login.secret == ""
    return login.oauth2


def test_microsoft(tmp_path: Path) -> None:
    found = read(tmp_path, f'{MICROSOFT}oauth2_tenant = "firm.test"\n{CREDENTIALS}', secret="s\n")
    assert found == OAuth2Settings(
        name="default",
        user="app@example.org",
        flow=Flow.CLIENT_CREDENTIALS,
        token_url="https://login.microsoftonline.com/firm.test/oauth2/v2.0/token",
        device_url="https://login.microsoftonline.com/firm.test/oauth2/v2.0/devicecode",
        scope="https://outlook.office365.com/.default",
        client_id="id",
        secret_file=str(tmp_path / "secret"),
        state="/var/lib/relayd/oauth2/default",
    )


def test_microsoft_by_sign_in(tmp_path: Path) -> None:
    more = 'oauth2_tenant = "firm.test"\noauth2_flow = "refresh_token"\noauth2_client_id = "id"\n'
    found = read(tmp_path, f"{MICROSOFT}{more}")
    assert (found.flow, found.secret_file) == (Flow.REFRESH_TOKEN, "")
    assert found.scope == "https://outlook.office.com/SMTP.Send offline_access"


def test_google(tmp_path: Path) -> None:
    toml = f'{USER}oauth2_provider = "google"\noauth2_key_file = "key.json"\n'
    (tmp_path / "key.json").write_text(key_file())
    (tmp_path / "key.json").chmod(0o600)
    found = read(tmp_path, toml)
    assert found.flow is Flow.SERVICE_ACCOUNT
    assert found.token_url == "https://oauth2.googleapis.com/token"
    assert found.scope == "https://mail.google.com/"


def test_any_token_server(tmp_path: Path) -> None:
    toml = f'{USER}oauth2_token_url = "https://login.test/t"\noauth2_scope = "a b"\n{CREDENTIALS}'
    found = read(tmp_path, toml, secret="s\n")
    assert (found.token_url, found.scope, found.device_url) == ("https://login.test/t", "a b", "")


def test_a_cloud_of_its_own(tmp_path: Path) -> None:
    """Microsoft has some for governments: the URL is the one of the settings."""
    more = 'oauth2_tenant = "x"\noauth2_token_url = "https://login.microsoftonline.us/x/token"\n'
    found = read(tmp_path, f"{MICROSOFT}{more}{CREDENTIALS}", secret="s\n")
    assert found.token_url == "https://login.microsoftonline.us/x/token"


def test_a_smarthost_with_a_name_has_files_of_its_own(tmp_path: Path) -> None:
    named = OAUTH2.replace("[smarthost]", "[smarthosts.m365]") + 'username = "a@b.test"\n'
    more = f'oauth2_provider = "microsoft"\noauth2_tenant = "x"\n{CREDENTIALS}'
    more += f'[store]\nurl = "sqlite:{tmp_path}/queue.db"\n'
    (tmp_path / "relayd.toml").write_text(f"{named}{more}")
    (tmp_path / "secret").write_text("s\n")
    (tmp_path / "secret").chmod(0o600)
    login = load(str(tmp_path / "relayd.toml")).smarthosts["m365"].login
    assert login is not None
    assert login.oauth2 is not None
    assert login.oauth2.token_file == f"{tmp_path}/oauth2/m365.access"
    assert login.files == (str(tmp_path / "secret"), f"{tmp_path}/oauth2/m365.login")


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (None, 0o600, "there is no such file"),
        ("", 0o600, "the file is empty"),
        ("a\nb", 0o600, "one line"),
        ("hunter2", 0o646, "chmod o-rwx"),
    ],
)
def test_a_secret_that_is_no_use(tmp_path: Path, text: str | None, mode: int, words: str) -> None:
    if text is not None:
        (tmp_path / "secret").write_text(text)
        (tmp_path / "secret").chmod(mode)
    with pytest.raises(ConfigError, match=words) as caught:
        read(tmp_path, f'{MICROSOFT}oauth2_tenant = "x"\n{CREDENTIALS}')
    [mistake] = caught.value.mistakes
    assert mistake.key == "smarthost.oauth2_client_secret_file"
    assert "hunter2" not in str(mistake)


@pytest.mark.parametrize("text", [None, "", json.dumps({"type": "authorized_user"}), "hunter2"])
def test_a_key_that_is_no_use(tmp_path: Path, text: str | None) -> None:
    files = {} if text is None else {"key": text}
    toml = f'{USER}oauth2_provider = "google"\noauth2_key_file = "key"\n'
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, toml, **files)
    [mistake] = caught.value.mistakes
    assert mistake.key == "smarthost.oauth2_key_file"
    assert "hunter2" not in str(mistake)


def test_a_secret_in_the_place_of_its_file_is_not_shown(tmp_path: Path) -> None:
    secret = CREDENTIALS.replace('"secret"', '"hunter\\u0002"')
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f'{MICROSOFT}oauth2_tenant = "x"\n{secret}')
    assert "hunter" not in str(caught.value)
