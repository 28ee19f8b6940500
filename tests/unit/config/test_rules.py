"""The operator's rules beside the settings file: which files count, and every mistake at once."""

from pathlib import Path

import pytest

from relayd.config import load as config
from relayd.errors import ConfigError, Mistake
from relayd.policy.replies.classify import classify_fields
from relayd.policy.replies.ruleset import RuleTexts, rules_from

FQDN = 'fqdn = "relay.example.org"\n'
RULE = '[[rule]]\nid = "{id}"\ncategory = "{category}"\ntext = "computer says no"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "relayd.toml").write_text(FQDN)
    rules = tmp_path / "rules.d"
    rules.mkdir()
    return rules


def load(folder: Path) -> RuleTexts:
    return config.load(str(folder.parent / "relayd.toml")).rules


def mistakes_in(folder: Path) -> tuple[Mistake, ...]:
    with pytest.raises(ConfigError) as caught:
        load(folder)
    return caught.value.mistakes


def test_no_folder_and_an_empty_one_are_no_rules(folder: Path) -> None:
    assert load(folder) == ()
    folder.rmdir()
    assert load(folder) == ()


def test_files_count_in_the_order_of_their_names(folder: Path) -> None:
    """The first rule that matches decides, so the lower number wins."""
    (folder / "20-b.toml").write_text(RULE.format(id="b", category="policy"))
    (folder / "10-a.toml").write_text(RULE.format(id="a", category="spam_content"))
    rules = load(folder)
    assert [name for name, _ in rules] == ["10-a.toml", "20-b.toml"]
    judged = classify_fields(None, None, "550 Computer says no", None, rules_from(rules))
    assert (judged.rule, judged.category) == ("a", "spam_content")


def test_other_files_do_not_count(folder: Path) -> None:
    """A sample, a backup, what an editor leaves behind."""
    for name in ("10-a.toml.sample", "10-a.toml~", ".10-a.toml", "README"):
        (folder / name).write_text("nonsense [")
    (folder / ".#10-a.toml").symlink_to("kim@host.example.1234")
    assert load(folder) == ()


def test_a_changed_rule_changes_the_settings(folder: Path) -> None:
    """A reload compares them."""
    file = str(folder.parent / "relayd.toml")
    (folder / "a.toml").write_text(RULE.format(id="a", category="policy"))
    before = config.load(file)
    assert config.load(file) == before
    (folder / "a.toml").write_text(RULE.format(id="a", category="virus"))
    changed = config.load(file)
    assert changed != before
    (folder / "a.toml").rename(folder / "b.toml")
    assert config.load(file) != changed


def test_words_of_one_file_serve_another(folder: Path) -> None:
    (folder / "a.toml").write_text('[[rule]]\nid = "a"\ncategory = "policy"\ntext = "{partner} no"')
    (folder / "z.toml").write_text('[words]\npartner = ["acme"]\n')
    judged = classify_fields(None, None, "550 ACME: no", None, rules_from(load(folder)))
    assert judged.rule == "a"


def test_every_mistake_is_told_with_file_and_key(folder: Path) -> None:
    """Those of the settings too, whatever is wrong with the files."""
    (folder.parent / "relayd.toml").write_text(FQDN + "workers = 0\n")
    (folder / "a.toml").write_text('[[rule]]\nid = "A b"\ncategory = "bad luck"\ntext = "("\n')
    (folder / "b.toml").write_text("= 1\n")
    (folder / "c.toml").write_bytes(b'# \xff\n[[rule]]\nid = "c"\n')
    (folder / "d.toml").mkdir()
    (folder / "e.toml").write_text("x = " + "[" * 100_000)
    (folder / "f.toml").write_text("[[rules]]\n")
    told = {(Path(one.file).name, one.key) for one in mistakes_in(folder)}
    assert told == {
        ("relayd.toml", "workers"),
        ("a.toml", "rule[0].id"),
        ("a.toml", "rule[0].category"),
        ("a.toml", "rule[0].text"),
        ("b.toml", ""),
        ("c.toml", ""),
        ("d.toml", ""),
        ("e.toml", ""),
        ("f.toml", "rules"),
    }
    assert all(Path(one.file).is_absolute() and one.expected for one in mistakes_in(folder))
    assert all(str(one).isprintable() for one in mistakes_in(folder))


def test_a_folder_that_is_none_is_a_mistake(folder: Path) -> None:
    folder.rmdir()
    folder.write_text("")
    [mistake] = mistakes_in(folder)
    assert mistake.file == str(folder)
    assert "cannot be read" in mistake.expected


def test_the_sample_is_valid_and_changes_nothing_until_renamed(folder: Path) -> None:
    sample = Path(__file__).parents[3] / "etc/rules.d/10-example.toml.sample"
    (folder / sample.name).write_bytes(sample.read_bytes())
    assert load(folder) == ()
    (folder / sample.name).rename(folder / "10-example.toml")
    judged = classify_fields(
        550, "5.7.1", "Example Gateway: message refused", "dot", rules_from(load(folder))
    )
    assert judged.rule == "example-gateway"
