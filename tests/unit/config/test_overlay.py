"""What was set on the console lies over the settings file, and the later change counts."""

import stat
from pathlib import Path

import pytest

from relayd.config.change import UNSET, changing
from relayd.config.console_change import changing_on_console
from relayd.config.load import load
from relayd.config.trial import drop_trial
from relayd.control.set_keys import Value
from relayd.errors import ConfigError, RelaydError
from relayd.settings import Settings

FQDN = 'fqdn = "relay.firm-of-ours.com"\n'
OTHER = "mail.firm-of-ours.com"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relayd.toml"
    write(path)
    return path


def write(path: Path, top: str = FQDN, may_change: str = "") -> None:
    store = f'[store]\nurl = "sqlite:{path.parent}/queue.db"\n'
    path.write_text(f"{top}[console]\n{may_change}\n{store}")


def overlay(file: Path) -> Path:
    return file.with_name("console.toml")


def trial(file: Path) -> Path:
    return file.with_name("console.trial.toml")


def set_on_console(file: Path, name: str, to: Value, was: Value, *, runs: bool = True) -> Settings:
    with changing_on_console(str(file), {name: (to, was)}) as take_over:
        if runs:
            take_over()
    return load(str(file))


def test_a_key_that_was_set_on_the_console_counts(file: Path) -> None:
    before = file.read_bytes()
    settings = set_on_console(file, "use_remote_smtp", to=True, was=False)
    assert settings.routes.use_remote_smtp
    assert settings.sources["use_remote_smtp"] == "console"
    assert settings.sources["fqdn"] == "file"
    assert file.read_bytes() == before
    assert stat.S_IMODE(overlay(file).stat().st_mode) == 0o640
    settings = set_on_console(file, "fqdn", to=OTHER, was=settings.fqdn)
    assert (settings.fqdn, settings.routes.use_remote_smtp) == (OTHER, True)


def test_a_key_that_has_the_value_of_the_file_again_is_laid_over_no_more(file: Path) -> None:
    set_on_console(file, "use_remote_smtp", to=True, was=False)
    settings = set_on_console(file, "use_remote_smtp", to=False, was=True)
    assert "use_remote_smtp" not in settings.sources
    assert "[use_remote_smtp]" not in overlay(file).read_text()


def test_what_the_daemon_does_not_run_with_counts_no_more(file: Path) -> None:
    set_on_console(file, "fqdn", to=OTHER, was="relay.firm-of-ours.com")
    settings = set_on_console(file, "fqdn", to="x.firm-of-ours.com", was=OTHER, runs=False)
    assert settings.fqdn == OTHER
    assert not trial(file).exists()


def test_a_change_that_is_tried_counts_for_the_daemon_alone(file: Path) -> None:
    with changing_on_console(str(file), {"fqdn": (OTHER, "relay.firm-of-ours.com")}):
        assert stat.S_IMODE(trial(file).stat().st_mode) == 0o640
        assert load(str(file)).fqdn == "relay.firm-of-ours.com"
        assert load(str(file), with_trial=True).fqdn == OTHER
        assert drop_trial(file.parent) is None
        assert load(str(file), with_trial=True).fqdn == OTHER


def test_a_change_whose_process_died_counts_no_more(file: Path) -> None:
    trial(file).write_text(f'[fqdn]\nto = "{OTHER}"\nover = "relay.firm-of-ours.com"\n')
    assert load(str(file), with_trial=True).fqdn == "relay.firm-of-ours.com"
    assert (drop_trial(file.parent), drop_trial(file.parent)) == (trial(file), None)


def test_a_change_follows_one_whose_process_died(file: Path) -> None:
    trial(file).write_text("[use_remote_smtp]\nto = true\n")
    settings = set_on_console(file, "fqdn", to=OTHER, was="relay.firm-of-ours.com")
    assert (settings.fqdn, settings.routes.use_remote_smtp) == (OTHER, False)


def test_what_cannot_be_taken_over_is_told(file: Path) -> None:
    overlay(file).mkdir()
    with pytest.raises(ConfigError, match=r"console.toml.*it cannot be"):
        set_on_console(file, "fqdn", to=OTHER, was="relay.firm-of-ours.com")


def test_a_later_change_of_the_file_by_hand_counts(file: Path) -> None:
    set_on_console(file, "fqdn", to=OTHER, was="relay.firm-of-ours.com")
    write(file, 'fqdn = "by-hand.firm-of-ours.com"\n')
    settings = load(str(file))
    assert (settings.fqdn, settings.sources["fqdn"]) == ("by-hand.firm-of-ours.com", "file")


@pytest.mark.parametrize("value", ["relay.firm-of-ours.com", "new.firm-of-ours.com"])
def test_config_set_counts_and_is_put_back_whole(file: Path, value: str) -> None:
    set_on_console(file, "fqdn", to=OTHER, was="relay.firm-of-ours.com")
    with changing(str(file), [(("fqdn",), value)]) as changed:
        assert [(each.old, each.new) for each in changed.keys] == [(f'"{OTHER}"', f'"{value}"')]
        assert changed.written
        assert load(str(file)).digest == changed.settings.digest
        assert load(str(file)).fqdn == value
        changed.put_back()
    assert load(str(file)).fqdn == OTHER


def test_config_unset_takes_it_out(file: Path) -> None:
    set_on_console(file, "use_remote_smtp", to=True, was=False)
    write(file, f"{FQDN}use_remote_smtp = false\n")
    with changing(str(file), [(("use_remote_smtp",), UNSET)]):
        pass
    assert not load(str(file)).routes.use_remote_smtp


def test_what_the_file_forbids_does_not_count(file: Path) -> None:
    set_on_console(file, "use_remote_smtp", to=True, was=False)
    write(file, may_change='may_change = ["fqdn"]')
    assert not load(str(file)).routes.use_remote_smtp


def test_no_other_key_is_taken_from_it(file: Path) -> None:
    overlay(file).write_text('[soft_bounce]\nto = true\n[users]\nto = "/etc/shadow"\n')
    assert not load(str(file)).soft_bounce


@pytest.mark.parametrize(
    ("name", "to", "was", "words"),
    [
        ("use_remote_smtp", True, True, "somebody else was faster: use_remote_smtp is false"),
        ("soft_bounce", True, False, "does not let the console change soft_bounce"),
        ("store.url", "sqlite:/x", "", "does not let the console change store.url"),
        ("fqdn", "a b", "relay.firm-of-ours.com", "fqdn"),
        ("fqdn", True, "relay.firm-of-ours.com", "fqdn"),
        ("use_remote_smtp", "yes", False, "expected true or false"),
    ],
)
def test_what_is_refused_writes_nothing(
    name: str, to: Value, was: Value, words: str, file: Path
) -> None:
    with pytest.raises(RelaydError, match=words):
        set_on_console(file, name, to, was)
    assert not overlay(file).exists()


def test_direct_mode_does_not_begin_under_a_name_that_is_no_use(file: Path) -> None:
    write(file, 'fqdn = "relay.example.org"\n')
    with pytest.raises(ConfigError, match="which is nobody's"):
        set_on_console(file, "use_remote_smtp", to=True, was=False)


def test_a_value_of_the_console_that_is_wrong_is_told_by_its_file(file: Path) -> None:
    write(file, f'{FQDN}workers = "many"\n')
    overlay(file).write_text('[fqdn]\nto = "no name"\nover = "relay.firm-of-ours.com"\n')
    with pytest.raises(ConfigError) as wrong:
        load(str(file))
    assert {each.key: each.file for each in wrong.value.mistakes} == {
        "fqdn": str(overlay(file)),
        "workers": str(file),
    }


@pytest.mark.parametrize("text", ["]", "[fqdn]\n", "[fqdn]\nto = 1\n", "fqdn = 1\n"])
def test_a_damaged_file_is_told_by_its_name(text: str, file: Path) -> None:
    overlay(file).write_text(text)
    with pytest.raises(ConfigError, match=r"console.toml.*it is damaged"):
        load(str(file))
