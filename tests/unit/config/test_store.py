"""The tables of the queue: a file or a server, and what each needs besides."""

import socket
import tomllib
from pathlib import Path

import pytest

from relayd.config import load as config
from relayd.config.model import Document
from relayd.config.overlay import overlay_path
from relayd.config.store import store_settings
from relayd.errors import ConfigError, Mistake
from tests.support.wrong_settings import FQDN

SERVER = 'url = "postgresql://relayd@db.example.org/mail"'


def mistakes_in(toml: str, file: str = "relayd.toml") -> list[Mistake]:
    with pytest.raises(ConfigError) as caught:
        config.from_mapping(tomllib.loads(f"{FQDN}{toml}"), file=file)
    return list(caught.value.mistakes)


@pytest.mark.parametrize("key", ["password_file", "folder"])
def test_a_queue_that_is_a_file_needs_nothing_besides(key: str) -> None:
    (mistake,) = mistakes_in(f'[store]\n{key} = "/a"')
    assert mistake.key == f"store.{key}"
    assert mistake.expected == "is of no use with a queue that is a file"


def test_the_password_is_never_shown() -> None:
    """Somebody may have written it where the name of its file belongs."""
    found = mistakes_in(f'[store]\n{SERVER}\npassword_file = "hunter2"')
    (mistake,) = [each for each in found if each.key == "store.password_file"]
    assert "hunter2" not in str(mistake)
    assert "there is no such file" in mistake.expected


def test_a_url_with_a_password_names_the_remedy() -> None:
    (mistake,) = mistakes_in('[store]\nurl = "postgresql://relayd:hunter2@db.example.org/mail"')
    assert "name that in store.password_file" in mistake.expected
    assert "hunter2" not in str(mistake)


def test_the_store_is_told_where_the_password_is(tmp_path: Path) -> None:
    written = {"url": "postgresql://a/b", "password_file": "secret", "folder": "/srv"}
    store = Document.model_validate(tomllib.loads(FQDN) | {"store": written}).store
    found = store_settings(store, f"{tmp_path}/relayd.toml")
    assert found.url == f"postgresql://a/b?password_file={tmp_path}/secret"
    assert found.password_file == f"{tmp_path}/secret"
    assert found.folder == "/srv"


@pytest.mark.parametrize(
    ("store", "path"),
    [
        ({}, "/var/lib/relayd/console.toml"),
        ({"url": "sqlite:/a/queue.db"}, "/a/console.toml"),
        ({"url": "postgresql://a/b"}, "/var/lib/relayd/console.toml"),
        ({"url": "postgresql://a/b", "folder": "/srv"}, "/srv/console.toml"),
        ({"url": "postgresql://a/b", "folder": 1}, None),
        ({"url": "postgresql://a:b@c/d"}, None),
    ],
)
def test_where_the_console_keeps_its_changes(store: dict[str, object], path: str | None) -> None:
    assert overlay_path({"store": store}) == (path and Path(path))


def test_a_machine_is_known_by_its_host_name_or_as_it_says() -> None:
    def node(toml: str) -> str:
        return config.from_mapping(tomllib.loads(f"{FQDN}{toml}")).node

    assert node("") == socket.gethostname()
    assert node('[cluster]\nnode = "relay-1.a"') == "relay-1.a"


@pytest.mark.parametrize("name", ["a b", "-a", "a/b", "a" * 64, "a\u00e9"])
def test_the_name_of_a_machine_is_plain(name: str) -> None:
    (mistake,) = mistakes_in(f'[cluster]\nnode = "{name}"')
    assert "letters, digits, dots and hyphens" in mistake.expected


@pytest.mark.parametrize(
    ("toml", "is_alike"),
    [
        ('[[listen]]\naddress = "127.0.0.1:2626"', True),
        ('[store]\nurl = "sqlite:/a/queue.db"', True),
        ('[cluster]\nnode = "b"\n[control]\nsocket = "/run/b"', True),
        ("workers = 2", True),
        ('[store]\nhistory = "7d"', False),
        ('[smarthost]\nhosts = ["mail.example.org:587"]', False),
    ],
)
def test_machines_with_one_queue_may_differ_in_what_is_their_own(
    toml: str, *, is_alike: bool
) -> None:
    one, other = (config.from_mapping(tomllib.loads(f"{FQDN}{each}")) for each in ("", toml))
    assert (one.shared_digest == other.shared_digest) is is_alike
    assert one.digest != other.digest
