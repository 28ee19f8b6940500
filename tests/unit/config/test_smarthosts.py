"""Smarthosts by name, and who chooses among them, as the settings say it."""

from pathlib import Path

import pytest

from relayd.config import load as config
from relayd.errors import ConfigError
from relayd.policy.delivery.route import DEFAULT, RouteRule, RouteRules, ViaSmarthost
from relayd.policy.delivery.senders import SenderPatterns
from relayd.settings import HostPort, Settings, SmarthostSettings, TlsMode
from tests.support.certificates import Authority

FQDN = 'fqdn = "relay.example.org"\n'
NEWSLETTER = '[smarthosts.newsletter]\nhosts = ["smtp.news.example:587"]\n'
USED = NEWSLETTER + '[logins.news]\nsmarthost = "newsletter"\n'


def load(folder: Path, toml: str) -> Settings:
    (folder / "relayd.toml").write_text(FQDN + toml)
    return config.load(str(folder / "relayd.toml"))


def mistakes(folder: Path, toml: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, toml)
    return {each.key: each.expected for each in caught.value.mistakes}


def test_a_named_smarthost_has_all_that_the_default_may_have(tmp_path: Path) -> None:
    secret = tmp_path / "news-password"
    secret.write_text("letmein\n")
    secret.chmod(0o600)
    toml = (
        f"{NEWSLETTER}"
        'tls = "verify"\nusername = "news"\npassword_file = "news-password"\nconnections = 3\n'
        'assume_8bit = true\nehlo = "news.example.org"\nsource_address = "192.0.2.7"\n'
        '[smarthost]\nhosts = ["mail.example.org:25"]\n'
    )
    found = load(tmp_path, toml)
    named, login = found.smarthosts["newsletter"], found.smarthosts["newsletter"].login
    assert login is not None
    assert (login.username, login.secret, login.file) == ("news", "letmein", str(secret))
    assert named == SmarthostSettings(
        hosts=(HostPort(host="smtp.news.example", port=587),),
        tls=TlsMode.VERIFY,
        login=login,
        connections=3,
        assume_8bit=True,
        ehlo="news.example.org",
        source_address="192.0.2.7",
    )
    assert list(found.smarthosts) == [DEFAULT, "newsletter"]
    assert found.smarthost.hosts == (HostPort(host="mail.example.org", port=25),)
    assert found.warnings == ("smarthosts.newsletter: no mail goes by it: nothing names it",)


def test_the_default_may_be_described_by_its_name(tmp_path: Path) -> None:
    found = load(tmp_path, '[smarthost]\n[smarthosts.default]\nhosts = ["a.example:25"]\n')
    assert found.smarthost.hosts == (HostPort(host="a.example", port=25),)
    assert found.warnings == ()


def test_who_chooses(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "".join(f'[smarthosts.{name}]\nhosts = ["{name}.example:25"]\n' for name in "abcd")
        + '[routes]\n"partner.example" = "smarthost:a"\n"own.example" = "smarthost:default"\n'
        '[logins."shop@x"]\nsmarthost = "b"\n'
        '[[listen]]\naddress = "127.0.0.1:2526"\nsmarthost = "c"\n'
        '[[listen]]\naddress = "127.0.0.1:2527"\n'
        '[senders."a@x.example"]\n[senders."x.example"]\nsmarthost = "d"\n[senders."<>"]\n',
    )
    assert found.routes == RouteRules(
        smarthosts=frozenset("abcd"),
        rules=(
            RouteRule(pattern="partner.example", route=ViaSmarthost("a")),
            RouteRule(pattern="own.example", route=ViaSmarthost()),
        ),
        logins={"shop@x": "b"},
        listeners={"127.0.0.1:2526": "c"},
        senders={"x.example": "d"},
        sender_patterns=SenderPatterns(("a@x.example", "x.example", "<>")),
    )
    assert found.warnings == ()


def test_a_host_that_is_called_smarthost_keeps_its_port(tmp_path: Path) -> None:
    found = load(tmp_path, '[routes]\n"a.example" = "smarthost:25"\n')
    assert found.route_hosts[0].hosts == (HostPort(host="smarthost", port=25),)


def test_a_certificate_of_ours_needs_tls_and_files_that_fit(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o755)
    authority = Authority(tmp_path)
    for each in ("news", "other"):
        (tmp_path / each).mkdir()
    pair, other = (authority.write_pair(tmp_path / each, each) for each in ("news", "other"))
    files = f'certificate = "{pair.certificate}"\nkey_file = "{pair.key}"\n'
    found = load(tmp_path, USED.replace("[logins", f'tls = "verify"\n{files}[logins'))
    assert found.smarthosts["newsletter"].certificate == pair
    off = mistakes(tmp_path, USED.replace("[logins", f'tls = "off"\n{files}[logins'))
    assert list(off) == ["smarthosts.newsletter.tls"]
    foreign = files.replace(pair.key, other.key)
    wrong = mistakes(tmp_path, USED.replace("[logins", f"{foreign}[logins"))
    assert "do not fit" in wrong["smarthosts.newsletter.key_file"]
    gone = files.replace(pair.key, "nowhere.pem")
    missing = mistakes(tmp_path, USED.replace("[logins", f"{gone}[logins"))
    assert "cannot be read" in missing["smarthosts.newsletter.key_file"]


def test_a_login_goes_over_no_connection_that_proves_no_name(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("x")
    (tmp_path / "p").chmod(0o600)
    wrong = mistakes(tmp_path, f'{NEWSLETTER}username = "u"\npassword_file = "p"\n')
    assert list(wrong) == ["smarthosts.newsletter.tls"]


@pytest.mark.parametrize("key", ["password_file", "token_file", "key_file"])
def test_a_secret_in_the_place_of_its_file_is_not_shown(tmp_path: Path, key: str) -> None:
    (tmp_path / "relayd.toml").write_text(f'{FQDN}{NEWSLETTER}{key} = "hunter2"\nusername = "u"\n')
    with pytest.raises(ConfigError) as caught:
        config.load(str(tmp_path / "relayd.toml"))
    assert "hunter2" not in str(caught.value)
    for table in ("smarthosts", "smarthosts.newsletter", "smarthost"):
        where, _, name = table.rpartition(".")
        text = f'[{where}]\n{name} = "hunter2"\n' if where else f'{name} = "hunter2"\n{FQDN}'
        (tmp_path / "relayd.toml").write_text((FQDN if where else "") + text)
        with pytest.raises(ConfigError) as caught:
            config.load(str(tmp_path / "relayd.toml"))
        assert "hunter2" not in str(caught.value)


def test_variables_of_the_environment_name_one_too() -> None:
    environment = {
        "RELAYD_FQDN": "relay.example.org",
        "RELAYD_SMARTHOSTS__NEWS_LETTER__HOSTS": "a.example:25 b.example:25",
        "RELAYD_LOGINS__SHOP__SMARTHOST": "news-letter",
        "RELAYD_SENDERS": '{"*.news.example": {"smarthost": "news-letter"}}',
    }
    found = config.from_mapping({}, environment=environment)
    assert len(found.smarthosts["news-letter"].hosts) == 2
    assert found.routes.logins == {"shop": "news-letter"}
    assert found.routes.senders == {"*.news.example": "news-letter"}
