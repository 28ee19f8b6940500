"""`[[dkim]]`: where keys are found, what is said of one that is no use, and what a reload keeps."""

from pathlib import Path

import pytest

from relayd.cli.command import run
from relayd.config.load import load
from relayd.config.signing import unusable_keys
from relayd.errors import ConfigError
from relayd.settings import DkimKeySettings, Settings
from relayd.settings.dkim import with_kept_keys
from tests.support.dkim import ed25519_pem, rsa_pem, write_key

TABLE = '[[dkim]]\ndomain = "Example.ORG"\nselector = "R1"\nkey_file = "{}"\n'


def _written(at: Path, *tables: str) -> Path:
    path = at / "relayd.toml"
    path.write_text('fqdn = "relay.example.org"\n' + "".join(tables))
    return path


def _loaded(at: Path, *tables: str) -> Settings:
    return load(str(_written(at, *tables)))


def test_a_key_is_read_beside_the_settings(tmp_path: Path) -> None:
    write_key(tmp_path / "key.pem", rsa_pem(), 0o640)
    found = _loaded(tmp_path, TABLE.format("key.pem"))
    assert found.dkim == (
        DkimKeySettings(
            domain="example.org",
            selector="r1",
            path=str(tmp_path / "key.pem"),
            required=False,
            pem=rsa_pem(),
        ),
    )
    assert not unusable_keys(found)
    assert "PRIVATE" not in repr(found)


def test_a_key_is_a_credential_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    write_key(credentials / "key.pem", rsa_pem(), 0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    [key] = _loaded(tmp_path, TABLE.format("key.pem")).dkim
    assert key.pem == rsa_pem()


def test_a_key_that_is_not_to_be_read_is_only_named(tmp_path: Path) -> None:
    [key] = load(str(_written(tmp_path, TABLE.format("none.pem"))), with_secrets=False).dkim
    assert (key.pem, key.problem, key.is_unusable) == (b"", "", False)


@pytest.mark.parametrize(
    ("pem", "mode", "why"),
    [
        pytest.param(None, 0, "there is no such file", id="missing"),
        pytest.param(rsa_pem(), 0o644, "others may", id="world-readable"),
        pytest.param(rsa_pem(1024), 0o600, "the key has 1024 bits", id="short"),
        pytest.param(b"nonsense", 0o600, "expected a private key in PEM", id="no-key"),
    ],
)
def test_check_names_a_key_that_is_no_use_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    pem: bytes | None,
    mode: int,
    why: str,
) -> None:
    """The settings are good all the same: the daemon runs, and signs nothing with it."""
    if pem is not None:
        write_key(tmp_path / "key.pem", pem, mode)
    write_key(tmp_path / "good.pem", ed25519_pem())
    tables = TABLE.format("key.pem"), TABLE.format("good.pem").replace("R1", "e1")
    path = _written(tmp_path, *tables)
    bad, good = load(str(path)).dkim
    assert bad.is_unusable
    assert good.pem == ed25519_pem()
    assert run(["check", "-c", str(path)]) == 78
    told = capsys.readouterr().err
    [line] = [each for each in told.splitlines() if "dkim[0].key_file" in each]
    assert "nothing is signed with r1._domainkey.example.org" in line
    assert why in line
    assert "dkim[1]" not in told


def test_a_long_key_is_taken_with_a_warning(tmp_path: Path) -> None:
    write_key(tmp_path / "key.pem", rsa_pem(4096))
    [warning] = _loaded(tmp_path, TABLE.format("key.pem")).warnings
    assert warning.startswith("dkim[0].key_file: a key of 4096 bits")


@pytest.mark.parametrize(
    ("table", "key", "expected"),
    [
        ('selector = "a"\nkey_file = "k"\n', "dkim[0].domain", "is missing"),
        ('domain = "x y"\nselector = "a"\nkey_file = "k"\n', "dkim[0].domain", "a domain such as"),
        ('domain = "x.test"\nselector = "a b"\nkey_file = "k"\n', "dkim[0].selector", "a selector"),
        (
            'domain = "x.test"\nselector = "a"\nkey_file = ""\n',
            "dkim[0].key_file",
            "name of a file",
        ),
        ('domain = "x.test"\nselectr = "a"\nkey_file = "k"\n', "dkim[0].selectr", '"selector"?'),
    ],
)
def test_a_wrong_table_is_a_mistake(tmp_path: Path, table: str, key: str, expected: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        _loaded(tmp_path, f"[[dkim]]\n{table}")
    assert {each.key: each.expected for each in wrong.value.mistakes}[key].count(expected) == 1


def test_two_keys_under_one_name_are_a_mistake(tmp_path: Path) -> None:
    write_key(tmp_path / "key.pem", rsa_pem())
    with pytest.raises(ConfigError, match="has a key of this name above"):
        _loaded(tmp_path, TABLE.format("key.pem"), TABLE.format("key.pem"))


def test_one_pair_of_brackets_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"write \[\[dkim\]\] with two brackets"):
        _loaded(tmp_path, '[dkim]\ndomain = "x.test"\n')


def _key(pem: bytes, problem: str = "", selector: str = "a") -> DkimKeySettings:
    return DkimKeySettings(
        domain="x.test", selector=selector, path="/k", required=False, pem=pem, problem=problem
    )


def test_a_reload_goes_on_with_the_key_that_it_has() -> None:
    before = (_key(b"old"),)
    assert with_kept_keys([_key(b"new")], before) == (_key(b"new"),)
    assert with_kept_keys([_key(b"", "gone")], before) == (_key(b"old", "gone"),)
    assert with_kept_keys([_key(b"", "gone", "b")], before) == (_key(b"", "gone", "b"),)
