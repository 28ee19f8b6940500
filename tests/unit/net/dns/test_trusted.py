"""Whether DANE is off though nobody switched it off: said before anything is asked."""

import tomllib

import pytest

from relayd.config import load as config
from relayd.net.dns.trusted import why_no_dane

DIRECT = 'fqdn = "relay.example.org"\nuse_remote_smtp = true\n'
FAR = '[dns]\nnameservers = ["192.0.2.53"]\n'


@pytest.mark.parametrize(
    ("toml", "is_off"),
    [
        pytest.param(DIRECT + FAR, True, id="far"),
        pytest.param(DIRECT + FAR + 'trusted = ["192.0.2.53"]\n', False, id="named"),
        pytest.param(DIRECT + '[dns]\nnameservers = ["127.0.0.1"]\n', False, id="here"),
        pytest.param(DIRECT + FAR + "[direct]\ndane = false\n", False, id="not-wanted"),
        pytest.param(DIRECT + FAR + '[direct]\ntls = "off"\n', False, id="no-tls"),
        pytest.param('fqdn = "relay.example.org"\n' + FAR, False, id="not-direct"),
        pytest.param(
            f'fqdn = "relay.example.org"\n{FAR}[routes]\n"a.test" = "direct"\n',
            True,
            id="direct-by-a-route",
        ),
    ],
)
def test_why_dane_is_off(toml: str, *, is_off: bool) -> None:
    why = why_no_dane(config.from_mapping(tomllib.loads(toml), file="relayd.toml"))
    assert (why is not None) == is_off
    if why is not None:
        assert why.startswith(
            "DANE is off: no name server is trusted with DNSSEC (asked: 192.0.2.53)"
        )


def test_one_of_two_is_trusted() -> None:
    """Who silences that one switches DANE off."""
    two = '[dns]\nnameservers = ["127.0.0.1", "192.0.2.53"]\n'
    settings = config.from_mapping(tomllib.loads(DIRECT + two), file="relayd.toml")
    assert str(why_no_dane(settings)).startswith("DANE is off whenever 192.0.2.53 answers")
