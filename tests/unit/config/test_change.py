"""A setting is changed in the file in one step, or not at all; what counts is said in one spelling."""

import os
import shutil
import stat
import threading
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
import trustme

from relayd.config import load as config
from relayd.config.change import UNSET, Changed, Edit, KeyChange, changing
from relayd.config.keys import name_of, parse_key
from relayd.config.model import DEFAULTS, TABLES_OF_NAMES, Document
from relayd.config.values import default_of, values_of
from relayd.errors import ConfigError, Mistake
from tests.support.accounts import write_users

ROOT = Path(__file__).parents[3]
FQDN = 'fqdn = "relay.firm-of-ours.com"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relayd.toml"
    path.write_text(f"# mine\n{FQDN}")
    return path


def put(file: Path, name: str, value: object, *, force: bool = False) -> Changed:
    return put_all(file, {name: value}, force=force)


def put_all(
    file: Path, values: Mapping[str, object], *, force: bool = False, dry_run: bool = False
) -> Changed:
    edits: list[Edit] = [(parse_key(name), value) for name, value in values.items()]
    with changing(str(file), edits, force=force, dry_run=dry_run) as changed:
        return changed


def only(changed: Changed) -> KeyChange:
    [key] = changed.keys
    return key


def refused(file: Path, name: str, value: object) -> tuple[Mistake, ...]:
    """The mistakes; the file has not been touched."""
    before = (file.read_bytes(), file.stat().st_ino)
    with pytest.raises(ConfigError) as caught:
        put(file, name, value)
    assert (file.read_bytes(), file.stat().st_ino) == before
    assert sorted(each.name for each in file.parent.iterdir()) == [file.name]
    return caught.value.mistakes


def test_a_change_says_what_was_and_what_is(file: Path) -> None:
    changed = put(file, "retry.give_up_after", "48h")
    assert (only(changed).name, only(changed).old, only(changed).new) == (
        "retry.give_up_after",
        '"5d"',
        '"2d"',
    )
    assert changed.written
    assert changed.control_socket == "/run/relayd/control.sock"
    assert file.read_text() == f'# mine\n{FQDN}\n[retry]\ngive_up_after = "48h"\n'
    again = put(file, "retry.give_up_after", "48h")
    assert (only(again).old, only(again).new, again.written) == ('"2d"', '"2d"', False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fqdn", "relay.firm-of-ours.com"),
        ("listen.1.address", "unix:/run/relayd/smtp.sock"),
        ("routes.*.x.example", "hold"),
    ],
)
def test_what_was_not_there_has_no_old_value(tmp_path: Path, name: str, value: str) -> None:
    shutil.copy(ROOT / "etc/relayd.toml", tmp_path / "relayd.toml")
    if name != "fqdn":
        put(tmp_path / "relayd.toml", "fqdn", "relay.firm-of-ours.com")
    changed = put(tmp_path / "relayd.toml", name, value)
    assert (only(changed).old, only(changed).new) == (None, f'"{value}"')


def test_a_route_is_set_as_a_table(file: Path) -> None:
    """It is one value; its text is JSON, as that of every other."""
    table = {"host": "10.0.0.5:25", "assume_8bit": True}
    changed = put(file, "routes.old.example", table)
    text = '{"host": "10.0.0.5:25", "tls": "opportunistic", "assume_8bit": true}'
    assert (only(changed).old, only(changed).new) == (None, text)
    assert dict(changed.settings.values)['routes."old.example"'] == text
    assert tomllib.loads(file.read_text())["routes"] == {"old.example": table}
    again = put(file, "routes.old.example", "10.0.0.5:25")
    assert (only(again).old, only(again).new) == (text, '"10.0.0.5:25"')


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("frob", 1, "frob", "unknown key"),
        ("smarthost.hots", [], "smarthost.hots", 'did you mean "hosts"?'),
        ("lisen.0.address", "", "lisen.0.address", 'did you mean "listen.address"?'),
        ("retries.x", "", "retries.x", 'did you mean "retry"?'),
        ("retrys.soft_bonce", "", "retrys.soft_bonce", 'did you mean "retry.soft_bounce"?'),
        ("quux.x", "", "quux.x", "the tables are "),
        ("listen.0.adress", "", "listen[0].adress", 'did you mean "address"?'),
        ("listen.address", "", "listen.address", "such as listen.0.address"),
        ("listen.2.address", "unix:/s", "listen[2].address", "expected listen.0 to listen.1"),
        ("listen[9].tls", "off", "listen[9].tls", "expected listen.0 to listen.1"),
        ("smarthost", 1, "smarthost", "one key of this table; the keys here are hosts, tls"),
        ("listen", [], "listen", "one key of this table; the keys here are address, tls"),
        ("listen.0", 1, "listen[0]", "one key of this table; the keys here are address, tls"),
        ("routes", {}, "routes", "expected a pattern"),
        ("routes.", "hold", 'routes.""', "a domain as key"),
        ("routes.*", "hold", 'routes."*"', '"*.example.org"'),
        ("", 1, '""', "unknown key"),
        ("fqdn.x", 1, "fqdn.x", "unknown key"),
        ("a\nb = 1\nc", 1, '"a\\nb = 1\\nc"', "unknown key"),
        ("workers", 0, "workers", "from 1 to 64"),
        ("smarthost.username", 5, "smarthost.username", "text in quotes"),
        ("smarthost.hosts", "mail:25", "smarthost.hosts", "a list"),
        ("smarthost.hosts", [], "smarthost.hosts", "at least one"),
        ("smarthost.hosts", ["127.0.0.1:2525"], "smarthost.hosts[0]", "a loop"),
        ("smarthost.username", "app", "smarthost.password_file", "is missing"),
        ("redirect.allow", ["x.example"], "redirect.allow", "needs redirect.to"),
        ("tls.key", "hunter2", "tls.certificate", "is missing"),
        ("listen.0.tls", "starttls", "listen[0].tls", "needs tls.certificate"),
    ],
)
def test_a_wrong_change_is_refused_and_the_file_stays(
    file: Path, name: str, value: object, key: str, expected: str
) -> None:
    mistakes = refused(file, name, value)
    assert key in {mistake.key for mistake in mistakes}
    assert any(expected in mistake.expected for mistake in mistakes)
    assert all(mistake.file == str(file) and str(mistake).isprintable() for mistake in mistakes)
    assert "hunter2" not in str(mistakes)


def test_every_mistake_of_the_result_is_listed(file: Path) -> None:
    """Those that were there before too: a file with any mistake is of no use."""
    file.write_text(f"{FQDN}frob = 1\n[log]\nlevel = 5\n")
    keys = {mistake.key for mistake in refused(file, "workers", 0)}
    assert keys == {"frob", "log.level", "workers"}
    file.write_text(f"{FQDN}log = 5\n")
    [mistake] = refused(file, "log.level", "info")
    assert (mistake.key, mistake.expected) == ("log", "expected a table of keys")


def test_what_cannot_be_edited_is_said(file: Path) -> None:
    file.write_text(f'{FQDN}listen = [{{address = "127.0.0.1:2525"}}]\n')
    [mistake] = refused(file, "listen.1.address", "unix:/s")
    assert "cannot be changed by a command" in mistake.expected


def test_a_change_can_mend_a_file(file: Path) -> None:
    """As with the one that is shipped."""
    file.write_text("fqdn = 'x'\n")
    assert only(put(file, "fqdn", "relay.firm-of-ours.com")).old is None
    assert file.read_text() == FQDN


# -- several keys, and none


PAIRS = {
    "a login": {
        "smarthost.username": "app",
        "smarthost.password_file": "password",
        "smarthost.tls": "verify",
    },
    "a certificate": {"tls.certificate": "cert.pem", "tls.key": "key.pem"},
    "a public listener": {
        "listen.1.address": "0.0.0.0:587",
        "listen.1.tls": "starttls",
        "listen.1.auth": "required",
        "tls.certificate": "cert.pem",
        "tls.key": "key.pem",
    },
}


@pytest.fixture
def with_secrets(file: Path) -> Path:
    """What the settings may name lies beside them."""
    authority = trustme.CA()
    issued = authority.issue_cert("relay.firm-of-ours.com")
    issued.cert_chain_pems[0].write_to_path(str(file.with_name("cert.pem")))
    issued.private_key_pem.write_to_path(str(file.with_name("key.pem")))
    file.with_name("password").write_text("secret\n")
    write_users(file.with_name("users"), ("app", "hunter2", "")).chmod(0o600)
    for name in ("key.pem", "password"):
        file.with_name(name).chmod(0o600)
    return file


@pytest.mark.parametrize("values", PAIRS.values(), ids=PAIRS)
def test_keys_that_need_each_other_are_one_change(
    with_secrets: Path, values: Mapping[str, object]
) -> None:
    """None of them can be set alone first."""
    before = with_secrets.read_text()
    first = next(iter(values))
    with pytest.raises(ConfigError):
        put(with_secrets, first, values[first])
    assert with_secrets.read_text() == before
    changed = put_all(with_secrets, values)
    assert [each.name for each in changed.keys] == list(values)
    assert changed.written
    names = dict.fromkeys("listen.1" if name.startswith("listen.") else name for name in values)
    put_all(with_secrets, dict.fromkeys(names, UNSET))
    assert (
        config.load(str(with_secrets)).values == config.from_mapping(tomllib.loads(before)).values
    )


def test_a_key_that_is_taken_out_has_its_default(file: Path) -> None:
    put(file, "retry.give_up_after", "2d")
    changed = put(file, "retry.give_up_after", UNSET)
    assert only(changed) == KeyChange(name="retry.give_up_after", old='"2d"', new='"5d"')
    again = put(file, "retry.give_up_after", UNSET)
    assert (only(again).new, again.written) == ('"5d"', False)
    put(file, "routes.*.x.example", "hold")
    assert only(put(file, "routes.*.x.example", UNSET)).new is None


def test_a_listener_that_goes_tells_the_numbers_of_the_others(file: Path) -> None:
    put_all(file, {"listen.0.address": "127.0.0.1:2601", "listen.1.address": "127.0.0.1:2602"})
    changed = put(file, "listen.0", UNSET)
    told = {each.name: (each.old, each.new) for each in changed.keys}
    assert told["listen.0.address"] == ('"127.0.0.1:2601"', '"127.0.0.1:2602"')
    assert told["listen.1.address"] == ('"127.0.0.1:2602"', None)


@pytest.mark.parametrize("name", ["fqdn", "smarthost", "frob", "routes"])
def test_what_cannot_be_taken_out_is_refused(file: Path, name: str) -> None:
    assert refused(file, name, UNSET)


def test_a_dry_run_writes_nothing(file: Path) -> None:
    before = (file.read_bytes(), file.stat().st_ino)
    changed = put_all(file, {"workers": 2, "limits.recipients": 5}, dry_run=True)
    assert [each.new for each in changed.keys] == ["2", "5"]
    assert not changed.written
    with pytest.raises(ConfigError):
        put_all(file, {"workers": 0}, dry_run=True)
    assert (file.read_bytes(), file.stat().st_ino) == before


def test_what_is_put_back_is_what_was_there(file: Path) -> None:
    file.chmod(0o640)
    before = file.read_bytes()
    with changing(str(file), [(("workers",), 2)]) as changed:
        assert file.read_bytes() != before
        changed.put_back()
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (before, 0o640)


def test_a_text_where_a_list_is_wanted_is_told_with_the_list(file: Path) -> None:
    [mistake] = refused(file, "smarthost.hosts", "10.0.0.5:25")
    assert mistake.expected == 'expected a list in square brackets: ["10.0.0.5:25"]'


# -- direct mode


def test_direct_mode_wants_a_name_that_others_can_believe(file: Path) -> None:
    file.write_text('fqdn = "relay.example.org"\n')
    [mistake] = refused(file, "use_remote_smtp", value=True)
    assert (mistake.key, mistake.value) == ("fqdn", '"relay.example.org"')
    assert "ends in example.org" in mistake.expected
    assert "--force" in mistake.expected
    assert put(file, "use_remote_smtp", value=True, force=True).began_direct
    assert not put(file, "use_remote_smtp", value=True, force=True).began_direct
    assert put(file, "workers", 2).written  # whoever forced it is left alone
    assert "ends in local" in refused(file, "fqdn", "relay.office.local")[0].expected
    assert put(file, "fqdn", "relay.firm-of-ours.com").written


def test_the_way_back_from_direct_mode_asks_nothing(file: Path) -> None:
    assert put(file, "use_remote_smtp", value=True).began_direct
    assert not put(file, "use_remote_smtp", value=False).began_direct


# -- the file


def test_mode_owner_group_and_link_stay(tmp_path: Path, file: Path) -> None:
    real = tmp_path / "elsewhere" / "real.toml"
    real.parent.mkdir()
    file.rename(real)
    file.symlink_to(real)
    real.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(real, 12345, 54321)
    before, inode = real.stat(), real.stat().st_ino
    put(file, "workers", 2)
    after = real.stat()
    assert file.is_symlink()
    assert after.st_ino != inode
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert after.st_mtime_ns > before.st_mtime_ns
    assert [each.name for each in real.parent.iterdir()] == ["real.toml"]
    assert tomllib.loads(real.read_text())["workers"] == 2


@pytest.mark.parametrize("fault", ["absent", "loop", "directory", "no-folder"])
def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "relayd.toml"
    match fault:
        case "loop":
            path.symlink_to(path)
        case "directory":
            path.mkdir()
        case "no-folder":
            path = tmp_path / "no" / "relayd.toml"
        case _:
            pass
    with pytest.raises(ConfigError) as caught:
        put(path, "workers", 2)
    [mistake] = caught.value.mistakes
    assert (mistake.file, mistake.key) == (str(path), "")


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        ("fsync", 28, "No space left on device"),
        ("fchown", 1, "Operation not permitted"),  # it would be another user's file
    ],
)
def test_what_the_disk_refuses_leaves_the_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: int, told: str
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(error, told)

    monkeypatch.setattr(os, call, refuse)
    [mistake] = refused(file, "workers", 2)
    assert mistake.expected == f"the settings cannot be written: {told}"


def test_commands_at_the_same_time_lose_nothing(file: Path) -> None:
    """Each reads what the one before has written."""
    names = [f"d{number}.example" for number in range(8)]
    threads = [
        threading.Thread(target=put, args=(file, f"routes.{name}", "hold")) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(tomllib.loads(file.read_text())["routes"]) == names


# -- keys and values


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("fqdn", "fqdn"),
        ("listen[12].tls", "listen.12.tls"),
        ("listen.0", "listen.0"),
        ("routes.a", "routes.a"),
        ("routes.*.x.example", 'routes."*.x.example"'),
        ("routes.'x.example'", 'routes."x.example"'),
        ('routes."bücher.example"', 'routes."bücher.example"'),
        ("smarthosts.news.tls", "smarthosts.news.tls"),
        ("smarthosts.news", "smarthosts.news"),
        ("senders.*.x.example.smarthost", 'senders."*.x.example".smarthost'),
        ("senders.'a@x.example'.smarthost", 'senders."a@x.example".smarthost'),
        ("senders.'x.example'", 'senders."x.example"'),
        ("logins.shop.one.smarthost", 'logins."shop.one".smarthost'),
    ],
)
def test_a_key_has_one_name(written: str, name: str) -> None:
    assert name_of(parse_key(written)) == name
    assert parse_key(name) == parse_key(written)


def test_every_default_is_written_as_the_file_would_have_it() -> None:
    """What a value is written as is read as the same, so a new kind of key is not forgotten."""
    document = Document(fqdn="relay.example.org")
    written = document.model_dump(mode="json")
    assert Document.model_validate(written) == document
    values = values_of(document)
    assert list(values) == [
        name.replace("listen.", "listen.0.") for name in DEFAULTS if name not in TABLES_OF_NAMES
    ]
    for name, text in values.items():
        assert tomllib.loads(f"x = {text}")
        assert default_of(name) == (None if name == "fqdn" else text)
    assert values["limits.message_size"] == '"35MB"'
    assert values["store.history"] == '"90d"'
    assert values["listen.0.networks"] == '["127.0.0.0/8", "::1/128"]'


def test_equal_settings_have_equal_values(file: Path) -> None:
    file.write_text(f'{FQDN}[retry]\ngive_up_after = "1w"\n[smarthost]\nhosts = ["MAIL.x.de:25"]')
    first = config.load(str(file)).values
    file.write_text(f'{FQDN}[smarthost]\nhosts = ["mail.x.de:25"]\n[retry]\ngive_up_after = "7d"')
    assert config.load(str(file)).values == first


def test_a_changed_rule_is_a_changed_value(file: Path) -> None:
    rules = file.parent / "rules.d"
    rules.mkdir()
    rule = '[[rule]]\nid = "a"\ncategory = "policy"\ntext = "{}"\n'
    (rules / "10.toml").write_text(rule.format("one"))
    first = dict(config.load(str(file)).values)
    (rules / "10.toml").write_text(rule.format("two"))
    second = dict(config.load(str(file)).values)
    assert {name for name in second if first[name] != second[name]} == {"rules.d/10.toml"}
