"""Rewriting, as the settings say it."""

from pathlib import Path

import pytest

from relayd.mail.address import parse_address
from relayd.policy.rewriting.rules import DomainMap, Rewrite
from tests.unit.config.test_smarthosts import load, mistakes

APP = parse_address("app@example.com")


def test_senders_and_smarthosts_rewrite_by_the_same_keys(tmp_path: Path) -> None:
    keys = (
        'envelope_domains = { "a.test" = "b.example" }\nheader_from = "app@example.com"\n'
        'header_sender = "app@example.com"\nset_headers = { Subject = "x" }\n'
        'add_headers = { X-A = "1" }\nremove_headers = ["X-Mailer"]\n'
    )
    found = load(tmp_path, f'[senders."*"]\n{keys}always_bcc = ["c@x.test"]\n[smarthost]\n{keys}')
    wanted = Rewrite(
        envelope_domains=DomainMap(entries=(("a.test", "b.example"),)),
        header_from=APP,
        header_sender=APP,
        set_headers={"Subject": "x"},
        add_headers={"X-A": "1"},
        remove_headers=("X-Mailer",),
    )
    assert found.smarthost.rewrite == wanted
    assert found.senders.rewrites == {"*": wanted}
    assert [str(each) for each in found.senders.copies_of("a@x.test")] == ["c@x.test"]
    assert found.senders.copies_of("") == ()


def test_without_keys_nothing_is_rewritten(tmp_path: Path) -> None:
    found = load(tmp_path, '[senders."a.test"]\nsmarthost = "default"\n')
    assert found.smarthost.rewrite is None
    assert not found.senders.rewrites
    assert found.senders.copies_of("x@a.test") == ()


@pytest.mark.parametrize(
    ("keys", "key", "words"),
    [
        ('envelope_from = "nobody"', "envelope_from", "expected"),
        ('envelope_from = "a@b.c"\nsrs_domain = "s.test"', "srs_domain", "not both"),
        ('envelope_from = "a@b.c"\nenvelope_domains = { "a.test" = "b.test" }', "envelope_domains", "not both"),
        ('header_from = "a@b.c"\nheader_domains = { "a.test" = "b.test" }', "header_domains", "not both"),
        ('srs_domain = "relay.example.org"', "srs_domain", "a domain of its own"),
        ('envelope_domains = { "a.test" = "" }', 'envelope_domains."a.test"', "expected a domain"),
        ('set_headers = { From = "x" }', "set_headers.From", "header_from"),
        ('add_headers = { "X Y" = "x" }', 'add_headers."X Y"', "name of a header field"),
        ('add_headers = { X-A = "" }', "add_headers.X-A", "1 to 900 characters"),
        ('add_headers = { X-A = "ä" }', "add_headers.X-A", "ASCII"),
        ('add_headers = { X-A = "1" }\nset_headers = { X-A = "2" }', "add_headers", "not both"),
        ('remove_headers = ["Received"]', "remove_headers[0]", "trace fields stay"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line_each(keys: str, key: str, words: str, tmp_path: Path) -> None:
    for table in ("smarthost", 'senders."a.test"'):
        found = mistakes(tmp_path, f"[{table}]\n{keys}\n")
        assert words in found[f"{table}.{key}"], found
