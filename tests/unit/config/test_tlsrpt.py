"""`[tlsrpt]`: as whom reports are sent, and when there is nobody."""

from pathlib import Path

import pytest

from relayd.config.load import load
from relayd.errors import ConfigError
from relayd.policy.tls.reporting import ReportsSent
from relayd.settings import TlsrptSettings
from tests.support.dkim import rsa_pem, write_key

KEY = '[[dkim]]\ndomain = "{}"\nselector = "r1"\nkey_file = "key.pem"\n'
CONTACT = '[tlsrpt]\ncontact = "tls@mail.example.org"\nsend = "all"\n'


def _loaded(at: Path, *tables: str) -> TlsrptSettings:
    write_key(at / "key.pem", rsa_pem(), 0o640)
    path = at / "relayd.toml"
    path.write_text('fqdn = "relay.example.org"\n' + "".join(tables))
    return load(str(path)).tlsrpt


@pytest.mark.parametrize(
    ("tables", "contact", "domain"),
    [
        ((), "", ""),
        ((KEY.format("other.example"),), "", ""),
        ((KEY.format("example.org"),), "postmaster@example.org", "example.org"),
        ((KEY.format("Relay.Example.org"),), "postmaster@relay.example.org", "relay.example.org"),
    ],
)
def test_who_signs_for_our_name_reports(
    tmp_path: Path, tables: tuple[str, ...], contact: str, domain: str
) -> None:
    found = _loaded(tmp_path, *tables)
    assert found == TlsrptSettings(send=ReportsSent.FAILURES, contact=contact, domain=domain)
    assert found.is_unsigned is (not domain)


def test_a_contact_of_a_domain_with_keys(tmp_path: Path) -> None:
    assert _loaded(tmp_path, KEY.format("example.org"), CONTACT) == TlsrptSettings(
        send=ReportsSent.ALL, contact="tls@mail.example.org", domain="example.org"
    )
    with pytest.raises(ConfigError, match=r"tlsrpt\.contact"):
        _loaded(tmp_path, KEY.format("relay.example.org"), CONTACT)


def test_off_needs_no_keys(tmp_path: Path) -> None:
    assert not _loaded(tmp_path, '[tlsrpt]\nsend = "off"\n').is_unsigned
