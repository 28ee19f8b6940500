"""`[aliases]` in the settings: what is read, what is a mistake, and where it is said to be."""

import pytest

from relayd.config.load import from_mapping
from relayd.errors import ConfigError
from relayd.mail.address import parse_address

YOU = "you@x.test"


def test_names_and_addresses_are_read_and_written_again() -> None:
    aliases = {
        "Root": YOU,
        "cron": ["root", "b@x.test"],
        "*": [YOU],
        "john.doe": "j@b\u00fccher.example",
    }
    found = from_mapping({"fqdn": "relay.test", "aliases": aliases})
    assert found.aliases == {
        "root": (parse_address(YOU),),
        "cron": (parse_address(YOU), parse_address("b@x.test")),
        "*": (parse_address(YOU),),
        "john.doe": (parse_address("j@xn--bcher-kva.example"),),
    }
    values = {name: text for name, text in found.values if name.startswith("aliases")}
    assert values == {
        "aliases.Root": '"you@x.test"',
        "aliases.cron": '["root", "b@x.test"]',
        'aliases."*"': '"you@x.test"',
        'aliases."john.doe"': '"j@xn--bcher-kva.example"',
    }


MISTAKES: dict[str, tuple[object, str, str]] = {
    "no table": ("root", "aliases", "expected a table"),
    "a name with a domain": ({"root@x.test": YOU}, 'aliases."root@x.test"', "name of a local user"),
    "an empty name": ({"": YOU}, 'aliases.""', "name of a local user"),
    "a number": ({"root": 1}, "aliases.root", "expected text"),
    "nobody": ({"root": []}, "aliases.root", "at least one address"),
    "nothing": ({"root": ""}, "aliases.root", "an address such as"),
    "a program": ({"root": "|/bin/sh"}, "aliases.root", "programs, files"),
    "a file": ({"root": [YOU, "/dev/null"]}, "aliases.root", "programs, files"),
    "the star": ({"root": "*"}, "aliases.root", "an address such as"),
    "a literal": ({"root": "a@[192.0.2.1]"}, "aliases.root", "address literals"),
    "beyond ASCII": ({"root": "b\u00fcro@x.test"}, "aliases.root", "an address such as"),
    "no domain": ({"root": "a@b..c"}, "aliases.root", "an address such as"),
    "a name with a dot, not quoted": ({"john": {"doe": YOU}}, "aliases.john", "needs quotes"),
    "a loop": ({"a": "b", "b": "a"}, "aliases.a", "a loop without an address: a -> b -> a"),
    "no such name": ({"a": "b"}, "aliases.a", "no other name of [aliases]"),
    "what others lead to": ({"a": "b", "b": 1}, "aliases.b", "expected text"),
}  # fmt: skip


@pytest.mark.parametrize(("aliases", "key", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_once_where_it_is(aliases: object, key: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping({"fqdn": "relay.test", "aliases": aliases})
    [mistake] = caught.value.mistakes
    assert mistake.key == key
    assert expected in mistake.expected
