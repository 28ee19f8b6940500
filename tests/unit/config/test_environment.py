"""Settings from the environment: they are laid over the file, and each mistake names its variable."""

import tomllib
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.config import load as config
from relayd.config.change import changing
from relayd.config.console_change import changing_on_console
from relayd.config.environment import variable_of
from relayd.config.keys import parse_key
from relayd.config.load import load, users_path
from relayd.config.model import DEFAULTS
from relayd.config.peek import LOCAL_SOCKET, find_listener, find_store, find_switches
from relayd.config.variables import parts_of, settings_in
from relayd.errors import ConfigError, Mistake, RelaydError
from relayd.policy.delivery.route import OnHold, ViaHost
from relayd.settings import HostPort, Settings, TlsMode
from tests.support.wrong_settings import FQDN

NAME = {"RELAYD_FQDN": "mail.firm-of-ours.com"}
# A variable and what the key is then, as `relayd config get` shows it.
VALUES = {
    "a text": ("RELAYD_AUTH__USERS_FILE", "12345", "auth.users_file", '"12345"'),
    "empty": ("RELAYD_REDIRECT__TO", "", "redirect.to", '""'),
    "a flag": ("RELAYD_SOFT_BOUNCE", "true", "soft_bounce", "true"),
    "a number": ("RELAYD_WORKERS", "3", "workers", "3"),
    "a word for a number": ("RELAYD_WORKERS", "auto", "workers", '"auto"'),
    "a score": ("RELAYD_CONTENT__TAG", "6.5", "content.tag", "6.5"),
    "a word for a score": ("RELAYD_CONTENT__TAG", "off", "content.tag", '"off"'),
    "a duration": ("RELAYD_RETRY__GIVE_UP_AFTER", "2d", "retry.give_up_after", '"2d"'),
    "commas": (
        "RELAYD_SMARTHOST__HOSTS",
        "[::1]:587, a.test:25",
        "smarthost.hosts",
        '["[::1]:587", "a.test:25"]',
    ),
    "spaces": ("RELAYD_RETRY__SOFT_BOUNCE", " 15m  1h ", "retry.soft_bounce", '["15m", "1h"]'),
    "JSON": ("RELAYD_RETRY__SOFT_BOUNCE", '["15m", "1h"]', "retry.soft_bounce", '["15m", "1h"]'),
    "no entries": ("RELAYD_DOCTOR__BLOCKLISTS", "", "doctor.blocklists", "[]"),
    "numbers": ("RELAYD_WEBHOOKS__PORTS", "443,8443", "webhooks.ports", "[443, 8443]"),
    "a listener": ("RELAYD_LISTEN__0__TLS", "off", "listen.0.tls", '"off"'),
    "an alias": ("RELAYD_ALIASES__ROOT", "a@b.test", "aliases.root", '"a@b.test"'),
    "a hyphen": ("RELAYD_ALIASES__WWW_DATA", "a@b.test", "aliases.www-data", '"a@b.test"'),
    "a table": (
        "RELAYD_ROUTES",
        '{"*.a.test": "hold"}',
        'routes."*.a.test"',
        '"hold"',
    ),
}


def read(environment: Mapping[str, str], toml: str = FQDN) -> Settings:
    return config.from_mapping(tomllib.loads(toml), file="relayd.toml", environment=environment)


def mistakes_in(environment: Mapping[str, str], toml: str = FQDN) -> tuple[Mistake, ...]:
    with pytest.raises(ConfigError) as caught:
        read(environment, toml)
    return caught.value.mistakes


def only(environment: Mapping[str, str], toml: str = FQDN) -> Mistake:
    [mistake] = mistakes_in(environment, toml)
    return mistake


@pytest.mark.parametrize(("variable", "text", "name", "value"), VALUES.values(), ids=VALUES)
def test_a_variable_sets_a_key(variable: str, text: str, name: str, value: str) -> None:
    checker = {"RELAYD_CONTENT__RSPAMD": "http://127.0.0.1:11333"}
    found = read({variable: text, **checker})
    assert dict(found.values)[name] == value
    assert found.sources[name] == "environment"
    assert found.variables[name] == variable
    assert found.sources["fqdn"] == "file"


def test_every_key_has_a_variable() -> None:
    """Its default, written as a text, is the same setting."""
    for name in DEFAULTS:
        key = parse_key(name.replace("listen.", "listen.0."))
        variable = variable_of(key)
        assert settings_in({variable: ""})
        assert parts_of(variable) == tuple(str(part) for part in key)


def test_the_environment_counts_before_the_file() -> None:
    toml = f'{FQDN}[smarthost]\nhosts = ["a.test:25"]\ntls = "off"\n'
    found = read({"RELAYD_SMARTHOST__HOSTS": "b.test:25", **NAME}, toml)
    assert found.fqdn == NAME["RELAYD_FQDN"]
    assert found.smarthost.hosts == (HostPort(host="b.test", port=25),)
    assert found.smarthost.tls is TlsMode.OFF
    assert found.sources["smarthost.tls"] == "file"


def test_listeners_go_by_their_numbers() -> None:
    """Those of the file are changed, and new ones follow them, more than nine too."""
    more = {
        f"RELAYD_LISTEN__{number}__ADDRESS": f"127.0.0.1:{2500 + number}" for number in range(1, 12)
    }
    toml = f'{FQDN}[[listen]]\naddress = "127.0.0.1:2500"\n'
    found = read({**more, "RELAYD_LISTEN__0__HIDE_CLIENT": "true"}, toml)
    assert [each.address for each in found.listeners] == [
        "127.0.0.1:2500",
        *(f"127.0.0.1:{2500 + number}" for number in range(1, 12)),
    ]
    assert found.listeners[0].hide_client
    assert found.sources["listen.0.address"] == "file"


def test_a_name_of_the_file_is_meant_with_its_own_spelling() -> None:
    toml = f'{FQDN}[aliases]\nWWW_data = "a@b.test"\n'
    found = read({"RELAYD_ALIASES__WWW_DATA": "c@d.test"}, toml)
    assert dict(found.values)["aliases.WWW_data"] == '"c@d.test"'


def test_smarthosts_have_names() -> None:
    """As the file spells it, else with hyphens: a name of a smarthost has no underscores."""
    named = {
        "RELAYD_SMARTHOSTS__SES_EU__HOSTS": "a.test:587",
        "RELAYD_SMARTHOSTS__SES_EU__TLS": "verify",
        "RELAYD_SENDERS": '{"b.test": {"smarthost": "ses-eu"}}',
    }
    found = read(named)
    assert found.smarthosts["ses-eu"].hosts == (HostPort(host="a.test", port=587),)
    assert found.variables["smarthosts.ses-eu.tls"] == "RELAYD_SMARTHOSTS__SES_EU__TLS"
    assert found.variables['senders."b.test".smarthost'] == "RELAYD_SENDERS"
    wrong = {**named, "RELAYD_SMARTHOSTS__SES_EU__TLS": "x"}
    assert only(wrong).key == "smarthosts.ses-eu.tls"
    assert "a secret" in only({**named, "RELAYD_SMARTHOSTS__SES_EU__PASSWORD": "x"}).expected


def test_a_table_may_be_in_a_table() -> None:
    found = read({"RELAYD_CONSOLE__OIDC__SCOPES": "a b"}, FQDN)
    assert dict(found.values)["console.oidc.scopes"] == '["a", "b"]'


def test_routes_may_be_tables() -> None:
    routes = '{"*.a.test": {"host": "10.0.0.5:25", "tls": "off"}, "b.test": "hold"}'
    rules = read({"RELAYD_ROUTES": routes}).routes.rules
    assert [rule.route for rule in rules] == [
        ViaHost(HostPort(host="10.0.0.5", port=25)),
        OnHold("b.test"),
    ]


WRONG = {
    "a typo": ("RELAYD_SMARTHOST__HOST", "x", "did you mean RELAYD_SMARTHOST__HOSTS?"),
    "one underscore": ("RELAYD_SMARTHOST_HOSTS", "x", "did you mean RELAYD_SMARTHOST__HOSTS?"),
    "of a listener": ("RELAYD_LISTEN__0__ADRESS", "x", "did you mean RELAYD_LISTEN__0__ADDRESS?"),
    "joined": ("RELAYD_LOGLEVEL", "x", "did you mean RELAYD_LOG__LEVEL?"),
    "short": ("RELAYD_FQN", "x", "did you mean RELAYD_FQDN?"),
    "in a table": ("RELAYD_STORE_DIR", "/data", "no such setting"),
    "no table": ("RELAYD_ZZZ__ZZZ", "1.2", "no such setting"),
    "small letters": ("RELAYD_fqdn", "x", "expected capital letters: RELAYD_FQDN"),
    "a table": ("RELAYD_LIMITS", "x", "such as RELAYD_LIMITS__MESSAGE_SIZE"),
    "all listeners": ("RELAYD_LISTEN", "x", "such as RELAYD_LISTEN__0__ADDRESS"),
    "a listener": ("RELAYD_LISTEN__0", "x", "such as RELAYD_LISTEN__0__ADDRESS"),
    "a listener too far": ("RELAYD_LISTEN__2__TLS", "off", "has the number 0"),
    "no number": ("RELAYD_LISTEN__TLS", "off", "has the number 0"),
    "a huge number": (f"RELAYD_LISTEN__{'9' * 50}__TLS", "off", "has the number 0"),
    "below a key": ("RELAYD_FQDN__X", "x", "no such setting"),
    "names as text": ("RELAYD_ROUTES", "hold", "expected JSON with a value for each name"),
    "a name as list": ("RELAYD_ALIASES", '["a"]', "expected JSON with a value for each name"),
    "no file": ("RELAYD_FQDN_FILE", "/nowhere/at/all", "the file cannot be read: "),
}
OF_KEYS = {
    "a word": ("RELAYD_SMARTHOST__TLS", "tls", "smarthost.tls", '"tls"', "expected one of"),
    "an entry": (
        "RELAYD_SMARTHOST__HOSTS",
        "a.test:25,b",
        "smarthost.hosts[1]",
        '"b"',
        "HOST:PORT",
    ),
    "broken JSON": ("RELAYD_SMARTHOST__HOSTS", '["a', "smarthost.hosts[0]", '"[\\"a"', "HOST:PORT"),
    "a number": (
        "RELAYD_LIMITS__RECIPIENTS",
        "many",
        "limits.recipients",
        '"many"',
        "whole number",
    ),
    "a flag": ("RELAYD_SOFT_BOUNCE", "yes", "soft_bounce", '"yes"', "expected true or false"),
    "huge": ("RELAYD_WORKERS", "9" * 5000, "workers", f'"{"9" * 57}…"', "from 1 to 64"),
    "not a number": ("RELAYD_CONTENT__TAG", "NaN", "content.tag", "nan", "a score"),
    "deep": ("RELAYD_RETRY__SOFT_BOUNCE", "[" * 100_000, "retry.soft_bounce[0]", None, "duration"),
    "no Unicode": ("RELAYD_FQDN", "a\udcff.test", "fqdn", None, "control characters"),
    "an alias": ("RELAYD_ALIASES__ROOT", "|/bin/sh", "aliases.root", None, "expected an address"),
    "a route": ("RELAYD_ROUTES", '{"a.test": "x"}', 'routes."a.test"', '"x"', "HOST:PORT"),
    "needs another": (
        "RELAYD_REDIRECT__ALLOW",
        "a.test",
        "redirect.allow",
        "a list",
        "redirect.to",
    ),
    "a secret by mistake": (
        "RELAYD_SMARTHOST__PASSWORD_FILE",
        "hunter\n2",
        "smarthost.password_file",
        "",
        "control characters",
    ),
}


@pytest.mark.parametrize(("variable", "text", "expected"), WRONG.values(), ids=WRONG)
def test_a_variable_that_is_no_setting_is_a_mistake(
    variable: str, text: str, expected: str
) -> None:
    mistake = only({variable: text})
    assert str(mistake).startswith(f"{variable}: ")
    assert expected in mistake.expected
    assert mistake.value == ""


@pytest.mark.parametrize(
    ("variable", "text", "key", "value", "words"), OF_KEYS.values(), ids=OF_KEYS
)
def test_a_wrong_value_names_its_variable(
    variable: str, text: str, key: str, value: str | None, words: str
) -> None:
    mistake = mistakes_in({variable: text})[0]
    assert (mistake.variable, mistake.file, mistake.key) == (variable, "environment", key)
    assert value is None or mistake.value == value
    assert words in mistake.expected
    assert str(mistake).startswith(f"{variable}: {key}")
    assert str(mistake).isprintable()


def test_mistakes_of_file_and_environment_come_together() -> None:
    found = mistakes_in({"RELAYD_WORKERS": "0"}, f"{FQDN}[limits]\nrecipients = 0\n")
    assert {each.key: each.variable for each in found} == {
        "workers": "RELAYD_WORKERS",
        "limits.recipients": "",
    }


def test_a_table_that_the_file_has_wrongly_is_its_mistake() -> None:
    mistake = only({"RELAYD_LIMITS__RECIPIENTS": "5"}, f"{FQDN}limits = 5\n")
    assert (mistake.key, mistake.variable, mistake.file) == ("limits", "", "relayd.toml")


@pytest.mark.parametrize(
    ("secret", "remedy"),
    [
        ("RELAYD_SMARTHOST__PASSWORD", "RELAYD_SMARTHOST__PASSWORD_FILE"),
        ("RELAYD_SMARTHOST__TOKEN", "RELAYD_SMARTHOST__TOKEN_FILE"),
    ],
)
def test_a_secret_is_not_taken(secret: str, remedy: str) -> None:
    mistake = only({secret: "hunter2"})
    assert "a secret is not taken from the environment" in mistake.expected
    assert remedy in mistake.expected
    assert "hunter2" not in str(mistake)


OTHERS = {
    "RELAYD_CONFIG": "/etc/relayd/relayd.toml",
    "RELAYD_PORT": "tcp://10.0.0.1:25",
    "RELAYD_PORT_25_TCP": "tcp://10.0.0.1:25",
    "RELAYD_PORT_25_TCP_ADDR": "10.0.0.1",
    "RELAYD_PORT_25_TCP_PORT": "25",
    "RELAYD_PORT_25_TCP_PROTO": "tcp",
    "RELAYD_SERVICE_HOST": "10.0.0.1",
    "RELAYD_SERVICE_PORT": "25",
    "RELAYD_SERVICE_PORT_SMTP": "25",
    "RELAYD_METRICS_SERVICE_HOST": "10.0.0.1",
    "RELAYD_METRICS_PORT": "tcp://10.0.0.1:9725",
    "RELAYD_METRICS_PORT_9725_TCP_ADDR": "10.0.0.1",
    "PATH": "/bin",
}


def test_what_kubernetes_sets_for_a_service_is_no_setting() -> None:
    """It gives every container such variables for a service named relayd, whoever asks for them or not."""
    assert settings_in(OTHERS) == {}
    assert read(OTHERS).sources == {"fqdn": "file"}


@pytest.mark.parametrize(
    "name", ["RELAYD_", "RELAYD_VERSION", "RELAYD_HOME", "RELAYD_USER", "RELAYD_DIR", "RELAYD_home"]
)
def test_what_others_have_for_themselves_is_left_to_them(name: str) -> None:
    assert read({name: "1.2"}).variables == {}


def test_a_number_in_a_port_is_a_typo() -> None:
    assert only({"RELAYD_DIRECT_PORT": "25"}).expected.endswith("did you mean RELAYD_DIRECT__PORT?")


def test_a_value_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "fqdn"
    file.write_text("mail.firm-of-ours.com\r\n")
    found = read({"RELAYD_FQDN_FILE": str(file)})
    assert found.fqdn == "mail.firm-of-ours.com"
    assert found.variables == {"fqdn": "RELAYD_FQDN_FILE"}
    file.write_text('{"b.test":\n  "hold"}\n')
    assert read({"RELAYD_ROUTES_FILE": str(file)}).routes.rules[0].pattern == "b.test"
    file.write_text("a@b.test\n")
    assert "root" in read({"RELAYD_ALIASES__ROOT_FILE": str(file)}).aliases


def test_a_file_that_a_key_names_is_only_named(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    file.chmod(0o600)
    login = {
        "RELAYD_SMARTHOST__USERNAME": "app",
        "RELAYD_SMARTHOST__PASSWORD_FILE": str(file),
        "RELAYD_SMARTHOST__TLS": "verify",
    }
    found = read(login)
    assert found.smarthost.login is not None
    assert (found.smarthost.login.secret, found.smarthost.login.file) == ("hunter2", str(file))
    assert "hunter2" not in repr(found.values)


@pytest.mark.parametrize("octets", [b"\xff.test", b"a" * (1 << 20) + b"b"], ids=["octets", "huge"])
def test_a_file_that_holds_no_text_is_a_mistake(octets: bytes, tmp_path: Path) -> None:
    file = tmp_path / "fqdn"
    file.write_bytes(octets)
    mistake = only({"RELAYD_FQDN_FILE": str(file)})
    assert mistake.variable == "RELAYD_FQDN_FILE"
    assert mistake.expected.startswith("expected")


def test_a_key_has_one_variable(tmp_path: Path) -> None:
    file = tmp_path / "fqdn"
    file.write_text("mail.firm-of-ours.com\n")
    mistake = only({**NAME, "RELAYD_FQDN_FILE": str(file)})
    assert mistake.expected == "RELAYD_FQDN sets fqdn too; keep one"


@given(
    st.dictionaries(
        st.one_of(
            st.sampled_from([variable_of(parse_key(name)) for name in DEFAULTS]),
            st.text(alphabet="ABS_0129LISTEN", max_size=20),
        ).map(lambda name: name if name.startswith("RELAYD_") else f"RELAYD_{name}"),
        st.one_of(st.text(), st.sampled_from(["[]", "{}", "1", "true", "[[]]", '{"a": {}}'])),
        max_size=5,
    )
)
def test_whatever_is_in_the_environment_is_a_setting_or_a_mistake(
    environment: Mapping[str, str],
) -> None:
    named = {name: text for name, text in environment.items() if not name.endswith("_FILE")}
    with suppress(ConfigError):
        assert read(named).fqdn


# -- the file, the console and the environment together


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relayd.toml"
    path.write_text(f'{FQDN}[store]\nurl = "sqlite:{tmp_path}/queue.db"\n')
    return path


def test_the_console_cannot_set_what_the_environment_sets(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAYD_USE_REMOTE_SMTP", "false")
    with (
        pytest.raises(RelaydError, match=r"^RELAYD_USE_REMOTE_SMTP sets use_remote_smtp in the "),
        changing_on_console(str(file), {"use_remote_smtp": (True, False)}),
    ):
        pass
    assert not file.with_name("console.toml").exists()


def test_the_environment_counts_before_the_console(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with changing_on_console(
        str(file), {"fqdn": ("a.firm-of-ours.com", "relay.example.org")}
    ) as take_over:
        take_over()
    assert load(str(file)).sources["fqdn"] == "console"
    monkeypatch.setenv("RELAYD_FQDN", NAME["RELAYD_FQDN"])
    found = load(str(file))
    assert (found.fqdn, found.sources["fqdn"]) == (NAME["RELAYD_FQDN"], "environment")


def test_the_environment_says_what_the_console_may_change(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with changing_on_console(
        str(file), {"fqdn": ("a.firm-of-ours.com", "relay.example.org")}
    ) as take_over:
        take_over()
    monkeypatch.setenv("RELAYD_CONSOLE__MAY_CHANGE", "")
    assert load(str(file)).fqdn == "relay.example.org"


def test_the_console_writes_beside_the_queue_of_the_environment(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("RELAYD_STORE__URL", f"sqlite:{tmp_path}/elsewhere/queue.db")
    with changing_on_console(
        str(file), {"fqdn": ("a.firm-of-ours.com", "relay.example.org")}
    ) as take_over:
        take_over()
    assert (tmp_path / "elsewhere/console.toml").exists()
    assert load(str(file)).fqdn == "a.firm-of-ours.com"


def test_a_change_of_the_file_says_that_the_environment_counts(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAYD_WORKERS", "2")
    with changing(str(file), [(("workers",), 5), (("soft_bounce",), True)]) as changed:
        pass
    assert "workers = 5" in file.read_text()
    told = {each.name: (each.old, each.new, each.variable) for each in changed.keys}
    assert told == {
        "workers": ("2", "2", "RELAYD_WORKERS"),
        "soft_bounce": ("false", "true", ""),
    }


def test_a_file_that_leaves_the_rest_to_the_environment_can_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAYD_FQDN", NAME["RELAYD_FQDN"])
    file = tmp_path / "relayd.toml"
    file.write_text("workers = 1\n")
    with changing(str(file), [(("workers",), 2)]) as changed:
        assert changed.settings.fqdn == NAME["RELAYD_FQDN"]


def test_the_users_file_may_be_in_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAYD_AUTH__USERS_FILE", "/data/users")
    assert users_path(str(file)) == Path("/data/users")


# -- those who are in a hurry


def test_the_quick_ones_find_the_same(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = tmp_path / "url"
    url.write_text("sqlite:/a/queue.db\n")
    for name, value in {
        "RELAYD_STORE__URL_FILE": str(url),
        "RELAYD_LISTEN__0__ADDRESS": "192.0.2.1:25",
        "RELAYD_LISTEN__1__ADDRESS": "unix:/a/smtp.sock",
        "RELAYD_LISTEN__3__ADDRESS": "unix:/too/far",
        "RELAYD_CONTROL__SOCKET": "/a/control.sock",
        "RELAYD_SOFT_BOUNCE": "true",
        "RELAYD_REDIRECT__TO": "qa@a.test",
        "RELAYD_LISTEN__0__A__B": "x",
        "RELAYD_SMARTHOST__PASSWORD_FILE": "/nowhere/at/all",
    }.items():
        monkeypatch.setenv(name, value)
    assert find_store(str(file)) == "sqlite:/a/queue.db"
    assert find_listener(str(file)) == "/a/smtp.sock"
    switches, control = find_switches(str(file))
    assert (switches.soft_bounce, switches.redirect, control) == (
        True,
        "qa@a.test",
        "/a/control.sock",
    )


def test_a_wrong_variable_about_the_store_is_left_to_the_settings(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAYD_STORE__URLL", "sqlite:/a/queue.db")
    assert find_store(str(file)) is None
    monkeypatch.setenv("RELAYD_STORE__URL_FILE", "/nowhere/at/all")
    assert find_store(str(file)) is None


@pytest.mark.skipif(Path("/etc/relayd").exists(), reason="this machine has settings")
def test_a_file_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = "/etc/relayd/relayd.toml"
    assert (find_store(None), find_listener(None)) == (None, LOCAL_SOCKET)
    with pytest.raises(ConfigError, match="the settings cannot be read"):
        load(usual)
    monkeypatch.setenv("RELAYD_STORE__URL", "sqlite:/a/queue.db")
    with pytest.raises(ConfigError, match="the settings cannot be read"):
        load(usual)
    monkeypatch.setenv("RELAYD_FQDN", NAME["RELAYD_FQDN"])
    found = load(usual)
    assert (found.fqdn, found.store.history) == (NAME["RELAYD_FQDN"], timedelta(days=90))
    assert find_store(None) == "sqlite:/a/queue.db"
    assert find_listener(None) == ("127.0.0.1", 2525)


def test_a_file_that_is_named_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAYD_FQDN", NAME["RELAYD_FQDN"])
    with pytest.raises(ConfigError, match="the settings cannot be read"):
        load(str(tmp_path / "absent.toml"))
    assert find_store(str(tmp_path / "absent.toml")) is None
