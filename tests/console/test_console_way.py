"""How a destination is reached, as its page tells."""

from pathlib import Path

import pytest

from relayd.config.load import load
from relayd.console.way import Way, way_of
from relayd.policy.delivery.route import route_of

SETTINGS = """
fqdn = "relay.example.org"
use_remote_smtp = true
[store]
url = "sqlite:{folder}/queue.db"
[smarthost]
hosts = ["one.example.net:25", "two.example.net:587"]
tls = "verify"
username = "relay"
password_file = "{folder}/not-there"
connections = 7
[direct]
tls = "required"
connections_per_destination = 3
messages_per_minute = 60
[routes]
"partner.example" = {{ host = "mail.partner.example:2525", tls = "required" }}
"""
_REQUIRED = "required: with any certificate, never in clear text"


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (
            "smarthost",
            Way(
                where="through the smarthost",
                hosts=["one.example.net:25", "two.example.net:587"],
                tls="verify: only with a certificate that proves the name",
                connections=7,
            ),
        ),
        (
            "mx:a.example",
            Way(
                where="direct, to the mail servers of a.example",
                tls=_REQUIRED,
                connections=3,
                messages_per_minute=60,
            ),
        ),
        (
            "host:mail.partner.example:2525",
            Way(
                where="through the host mail.partner.example:2525",
                hosts=["mail.partner.example:2525"],
                tls=_REQUIRED,
                connections=3,
            ),
        ),
        (
            "host:gone.example:25",
            Way(where="nowhere: no entry of [routes] names this host now"),
        ),
        ("hold", Way(where="nowhere: it is held until somebody releases it")),
    ],
)
def test_a_way_is_told_without_secrets(key: str, told: Way, tmp_path: Path) -> None:
    file = tmp_path / "relayd.toml"
    file.write_text(SETTINGS.format(folder=tmp_path))
    route = route_of(key)
    assert route is not None
    assert way_of(route, load(str(file), with_secrets=False)) == told
