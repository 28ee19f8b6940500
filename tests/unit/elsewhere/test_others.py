"""What msmtprc, ssmtp.conf, the files of nullmailer and of Debian's Exim say, in the form of relayd."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from relayd.elsewhere.exim import hosts_in, read_exim
from relayd.elsewhere.found import Found
from relayd.elsewhere.lines import host_port
from relayd.elsewhere.msmtp import read_msmtp
from relayd.elsewhere.nullmailer import read_nullmailer
from relayd.elsewhere.ssmtp import read_ssmtp
from relayd.elsewhere.telling import tell


def values(found: Found) -> Mapping[str, object]:
    found.fqdn = found.fqdn or "mail.shop.example"
    return tell(found, local_socket="/run/relayd/smtp.sock").values


def smarthost(found: Found) -> dict[str, object]:
    table = values(found)["smarthost"]
    assert isinstance(table, dict)
    return table


def told(found: Found) -> str:
    values(found)
    return "\n".join(f"{note.place}: {note.told}" for note in found.notes)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("a.test", "a.test:25"),
        ("A.test.:26", "a.test:26"),
        ("[a.test]:submission", "a.test:587"),
        ("[192.0.2.1]::26", "192.0.2.1:26"),
        ("2001:db8::1", "[2001:db8::1]:25"),
        ("[IPv6:2001:db8::1]:26", "[2001:db8::1]:26"),
        ("a.test:0", None),
        ("a.test:nothing", None),
        ("a test", None),
        ("", None),
    ],
)
def test_hosts(text: str, means: str | None) -> None:
    hop = host_port(text, 25)
    assert (None if hop is None else str(hop)) == means


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("host.domain.example", ["host.domain.example:25"]),
        ("host.domain.example::587", ["host.domain.example:587"]),
        ("192.168.2.4::587", ["192.168.2.4:587"]),
        ("[192.168.2.4]::587", ["192.168.2.4:587"]),
        ("2001::0db8::f::4::::2", ["[2001:0db8:f:4::2]:25"]),
        ("[2001::0db8::f::4::::2]::587", ["[2001:0db8:f:4::2]:587"]),
        ("a.test : b.test::26", ["a.test:25", "b.test:26"]),
        ("<; a.test:26 ; b.test", ["a.test:26", "b.test:25"]),
    ],
)
def test_lists_of_exim(text: str, means: list[str]) -> None:
    """The examples of update-exim4.conf(8)."""
    assert [str(each) for each in hosts_in(text)] == means


def an_msmtprc(folder: Path, text: str) -> Found:
    (folder / "msmtprc").write_text(text)
    return read_msmtp(folder / "msmtprc")


def test_accounts_of_msmtp(tmp_path: Path) -> None:
    text = """
defaults
tls on
port 587
account one
host a.test
from me@a.test
auth plain
user "me and you"
password "  blank "
account two : one
from *@b.test
host b.test
tls_starttls off
port 465
account three : one
logfile ~/x
tls_fingerprint 00
account default : one
"""
    found = an_msmtprc(tmp_path, text)
    assert smarthost(found) == {
        "hosts": ["a.test:587"],
        "tls": "verify",
        "username": "me and you",
        "password_file": "smarthost-password",
        "auth": "plain",
    }
    assert tell(found, local_socket="/s").secrets["smarthost-password"] == "  blank "
    senders = values(found)["senders"]
    assert isinstance(senders, dict)
    assert senders["b.test"] == {"smarthost": "b-test"}
    assert senders["mail.shop.example"]["envelope_from"] == "me@a.test"
    assert "account three" in told(found)
    assert "tls_fingerprint" in told(found)
    assert "  blank " not in told(found)


@pytest.mark.parametrize(
    ("lines", "tls", "says"),
    [
        ("tls off", "off", ""),
        ("tls", "verify", ""),
        ("tls on\ntls_certcheck off", "required", ""),
        ("tls on\ntls_starttls off", "implicit", ""),
        ("tls on\ntls_starttls off\ntls_certcheck off", "implicit", "stricter"),
        ("auth cram-md5\nuser me\npassword x", "verify", "cram-md5"),
        ("auth on\nuser me\npasswordeval gpg -d x", "off", "runs no passwordeval"),
        ("eval echo x", "off", "runs no program"),
        ("from %U@x.test", "off", "become senders at x.test"),
        ("from %U-%H@x.test", "off", "USER@fqdn"),
        ("from %U@%H", "off", "USER@fqdn"),
        ("auto_from on\nmaildomain x.test", "off", "puts %U@x.test in the place"),
        ("from %U@x.test\nallow_from_override off", "off", "puts %U@x.test in the place"),
        ("", "off", "msmtp the name alone"),
        ("nothing_known x", "off", "no such setting"),
    ],
)
def test_tls_and_logins_of_msmtp(tmp_path: Path, lines: str, tls: str, says: str) -> None:
    found = an_msmtprc(tmp_path, f"account default\nhost a.test\n{lines}\n")
    assert smarthost(found)["tls"] == tls
    assert says in told(found)


@pytest.mark.parametrize("more", ["", "allow_from_override off", "auto_from on\nmaildomain x.test"])
def test_the_user_in_a_sender_of_msmtp_is_no_text(tmp_path: Path, more: str) -> None:
    """Real msmtp puts the name of the user there. `%U@x.test` went into MAIL FROM as it is."""
    other = "account b\nhost b.test\nfrom %U@b.test\n"
    found = an_msmtprc(tmp_path, f"account default\nhost a.test\nfrom %U@x.test\n{more}\n{other}")
    assert "%" not in str(values(found))
    assert smarthost(found)["envelope_domains"] == {"mail.shop.example": "x.test"}
    assert "account b" in told(found)


@pytest.mark.parametrize(
    ("me", "mailname", "fqdn"), [("a.test", "b.test", "b.test"), ("a.test", "", "a.test")]
)
def test_the_name_of_nullmailer(tmp_path: Path, me: str, mailname: str, fqdn: str) -> None:
    """Debian's nullmailer says that it disregards `me`."""
    folder = tmp_path / "nullmailer"
    folder.mkdir()
    (folder / "remotes").write_text("mail.test\n")
    (folder / "me").write_text(f"{me}\n")
    if mailname:
        (tmp_path / "mailname").write_text(f"{mailname}\n")
    assert read_nullmailer(folder).fqdn == fqdn


@pytest.mark.parametrize(
    ("smarthost", "macros", "is_told"),
    [
        ("a.test::465", "", True),
        ("a.test::465", "REMOTE_SMTP_SMARTHOST_TLS_VERIFY_HOSTS = *\n", False),
        ("a.test::466", "REMOTE_SMTP_SMARTHOST_PROTOCOL = smtps\n", True),
        ("127.0.0.1::465", "", False),
        ("a.test::587", "", False),
    ],
)
def test_proof_that_exim_does_not_want_is_told(
    tmp_path: Path, smarthost: str, macros: str, *, is_told: bool
) -> None:
    folder = tmp_path / "exim4"
    folder.mkdir()
    (folder / "exim4.conf.localmacros").write_text(macros)
    (folder / "update-exim4.conf.conf").write_text(
        f"dc_eximconfig_configtype='satellite'\ndc_smarthost='{smarthost}'\n"
    )
    assert ("has to prove the name" in told(read_exim(folder))) is is_told


def test_one_sender_for_all_of_msmtp(tmp_path: Path) -> None:
    found = an_msmtprc(
        tmp_path, "host a.test\nfrom me@a.test\nallow_from_override off\nsyslog on\n"
    )
    assert smarthost(found)["envelope_from"] == "me@a.test"
    assert "status log" in told(found)


def test_an_msmtprc_without_use(tmp_path: Path) -> None:
    assert an_msmtprc(tmp_path, "# nothing\n").flaws()
    found = an_msmtprc(tmp_path, "account x\nport 5\n")
    assert "no account is the default" in told(found)
    assert "no host" in told(found)
    assert found.flaws()


def test_ssmtp(tmp_path: Path) -> None:
    (tmp_path / "ssmtp.conf").write_text(
        "root=root\nMailhub=a.test:465\nUseTLS=yes\nRewriteDomain=shop.example # visible\n"
        "AuthUser=me\nAuthPass=x\nAuthMethod=cram-md5\nTLS_CA_File=/x\nUseTLSCert=yes\nTLSCert=/c\nOdd=1\n"
    )
    (tmp_path / "revaliases").write_text(
        "# who\nroot:ops@shop.example\nweb:web@shop.example:b.test:26\nbad:none\nhub:h@x.test:a b\n"
    )
    found = read_ssmtp(tmp_path)
    assert smarthost(found) == {
        "hosts": ["a.test:465"],
        "tls": "implicit",
        "username": "me",
        "password_file": "smarthost-password",
        "certificate": "/c",
        "key_file": "/c",
        "envelope_domains": {"mail.shop.example": "shop.example"},
        "header_domains": {"mail.shop.example": "shop.example"},
    }
    senders = values(found)["senders"]
    assert isinstance(senders, dict)
    assert senders["web@mail.shop.example"]["smarthost"] == "b-test"
    assert senders["root@mail.shop.example"]["envelope_from"] == "ops@shop.example"
    for name in (
        "Root",
        "AuthMethod",
        "FromLineOverride",
        "UseTLS",
        "TLS_CA_File",
        "Odd",
        "revaliases: bad",
        "revaliases: hub",
    ):
        assert name in told(found)


@pytest.mark.parametrize(
    ("text", "tls", "says"),
    [
        ("mailhub=a.test\n", "off", ""),
        ("mailhub=a.test\nUseTLS=yes\nUseSTARTTLS=yes\n", "required", ""),
        ("mailhub=a.test\nAuthUser=me\n", "off", "there is no AuthPass"),
        ("mailhub=a.test\nAuthUser=me\nAuthPass=x\n", "verify", "stricter"),
    ],
)
def test_tls_of_ssmtp(tmp_path: Path, text: str, tls: str, says: str) -> None:
    (tmp_path / "ssmtp.conf").write_text(text)
    found = read_ssmtp(tmp_path / "ssmtp.conf")
    assert smarthost(found)["tls"] == tls
    assert says in told(found)


def test_nullmailer(tmp_path: Path) -> None:
    folder = tmp_path / "nullmailer"
    folder.mkdir()
    for name, text in {
        "remotes": "# all\na.test smtp --port=587 --starttls --user=me '--pass=two words'\nb.test --port=587 --starttls --user=me '--pass=two words'\n"
        "c.test smtp\nd.test qmqp\n'open\n",
        "me": "mail.shop.example\n",
        "helohost": "out.shop.example\n",
        "allmailfrom": "all@shop.example\n",
        "queuelifetime": "3600\n",
        "adminaddr": "ops@shop.example\n",
    }.items():
        (folder / name).write_text(text)
    found = read_nullmailer(folder)
    assert smarthost(found) == {
        "hosts": ["a.test:587", "b.test:587"],
        "tls": "verify",
        "username": "me",
        "password_file": "smarthost-password",
        "ehlo": "out.shop.example",
        "envelope_from": "all@shop.example",
    }
    assert values(found)["aliases"] == {"*": "ops@shop.example"}
    assert values(found)["retry"] == {"give_up_after": "3600s"}
    for name in ("line 4", "line 5", "line 6"):
        assert name in told(found)
    assert "two words" not in told(found)


@pytest.mark.parametrize(
    ("line", "hosts", "tls"),
    [
        ("a.test", "a.test:25", "off"),
        ("a.test smtp tls", "a.test:465", "implicit"),
        ("a.test smtp ssl insecure", "a.test:465", "implicit"),
        ("a.test smtp starttls insecure", "a.test:25", "required"),
        ("a.test smtp starttls insecure user=me pass=x auth-login", "a.test:25", "verify"),
        ("a.test smtp user=me pass=x x509cafile=/x odd=1", "a.test:25", "verify"),
    ],
)
def test_remotes_of_nullmailer(tmp_path: Path, line: str, hosts: str, tls: str) -> None:
    (tmp_path / "remotes").write_text(f"{line}\n")
    found = read_nullmailer(tmp_path)
    assert (smarthost(found)["hosts"], smarthost(found)["tls"]) == ([hosts], tls)


def test_exim(tmp_path: Path) -> None:
    folder = tmp_path / "exim4"
    folder.mkdir()
    for name, text in {
        "update-exim4.conf.conf": "dc_eximconfig_configtype='smarthost'\ndc_smarthost='a.test::587:b.test::587'\ndc_relay_nets='10.0.0.0/8;192.0.2.0/24'\n"
        "dc_local_interfaces=''\ndc_relay_domains='x.test'\ndc_other_hostnames='shop.example'\nodd='\n",
        "passwd.client": "# who\n^a\\.t:me:pass:word\n",
        "hubbed_hosts": "lab.test: 10.0.0.7\nmany.test: a b c\n",
        "exim4.conf.localmacros": "MAIN_HARDCODE_PRIMARY_HOSTNAME = mail.shop.example\nREMOTE_SMTP_HELO_DATA=out.shop.example\nAUTH_CLIENT_ALLOW_NOTLS_PASSWORDS = 1\n",
        "exim4.conf": "",
    }.items():
        (folder / name).write_text(text)
    found = read_exim(folder)
    assert smarthost(found) == {
        "hosts": ["a.test:587"],
        "tls": "verify",
        "username": "me",
        "password_file": "smarthost-password",
        "ehlo": "out.shop.example",
    }
    assert "b.test:587 has others" in told(found)
    assert tell(found, local_socket="/s").secrets == {"smarthost-password": "pass:word"}
    assert values(found)["routes"] == {"lab.test": "10.0.0.7:25", "many.test": "hold"}
    listen = values(found)["listen"]
    assert isinstance(listen, list)
    assert listen[0] == {
        "address": "0.0.0.0:2525",
        "networks": ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "192.0.2.0/24"],
    }
    for name in (
        "many.test",
        "dc_relay_domains",
        "dc_other_hostnames",
        "exim4.conf",
        "AUTH_CLIENT",
        "a quote",
    ):
        assert name in told(found)


@pytest.mark.parametrize(
    ("kind", "macros", "clients", "tls", "says"),
    [
        ("satellite", "", "", "opportunistic", ""),
        ("smarthost", "REMOTE_SMTP_SMARTHOST_HOSTS_REQUIRE_TLS = *", "", "required", ""),
        ("smarthost", "REMOTE_SMTP_SMARTHOST_PROTOCOL = smtps", "*:me:x", "implicit", ""),
        ("smarthost", "REMOTE_SMTP_SMARTHOST_TLS_VERIFY_HOSTS = *", "*.test:me:x", "verify", ""),
        ("smarthost", "", "other.test:me:x", "opportunistic", "no line has the name"),
        ("internet", "", "", None, ""),
    ],
)
def test_kinds_of_exim(
    tmp_path: Path, kind: str, macros: str, clients: str, tls: str | None, says: str
) -> None:
    folder = tmp_path / "exim4"
    folder.mkdir()
    (folder / "update-exim4.conf.conf").write_text(
        f"dc_eximconfig_configtype='{kind}'\ndc_smarthost='a.test::26'\n"
    )
    (folder / "exim4.conf.localmacros").write_text(macros)
    (folder / "passwd.client").write_text(clients)
    found = read_exim(folder / "update-exim4.conf.conf")
    assert (None if found.server is None else found.server.tls.value) == tls
    assert says in told(found)


def test_an_exim_without_a_host_is_told(tmp_path: Path) -> None:
    (tmp_path / "update-exim4.conf.conf").write_text(
        "dc_eximconfig_configtype='smarthost'\ndc_smarthost=''\n"
    )
    found = read_exim(tmp_path)
    assert "it names no host" in told(found)
    assert found.flaws()


def test_a_host_of_exim_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "update-exim4.conf.conf").write_text(
        "dc_eximconfig_configtype='smarthost'\ndc_smarthost='a.test : b,test'\n"
    )
    found = read_exim(tmp_path)
    assert "a host of it cannot be read" in told(found)
    assert smarthost(found)["hosts"] == ["a.test:25"]


def test_msmtp_by_lmtp_becomes_no_relay(tmp_path: Path) -> None:
    found = an_msmtprc(tmp_path, "account default\nhost a.test\nprotocol lmtp\n")
    assert "no LMTP" in told(found)
    assert found.flaws()


def test_a_file_of_windows_is_read(tmp_path: Path) -> None:
    found = an_msmtprc(tmp_path, "\ufeffaccount default\r\nhost a.test\r\ntls on\r\n")
    assert smarthost(found) == {"hosts": ["a.test:25"], "tls": "verify"}


def test_an_exim_that_sends_nothing_becomes_no_relay(tmp_path: Path) -> None:
    (tmp_path / "update-exim4.conf.conf").write_text("dc_eximconfig_configtype='local'\n")
    assert "no mail left this machine" in str(read_exim(tmp_path).flaws())


def test_what_says_where_mail_goes_has_to_be_there(tmp_path: Path) -> None:
    for read, name in (
        (read_nullmailer, "remotes"),
        (read_ssmtp, "ssmtp.conf"),
        (read_exim, "update-exim4.conf.conf"),
    ):
        with pytest.raises(FileNotFoundError):
            read(tmp_path)
        (tmp_path / name).mkdir()
        with pytest.raises(IsADirectoryError):
            read(tmp_path)


def test_a_pipe_is_read_and_an_idle_one_is_empty(tmp_path: Path) -> None:
    """As `<(gpg -d …)` of a shell is one; nobody waits for who never writes."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert read_msmtp(pipe).flaws()
    reading, writing = os.pipe()
    os.write(writing, b"account default\nhost a.test\n")
    os.close(writing)
    assert smarthost(read_msmtp(Path(f"/dev/fd/{reading}")))["hosts"] == ["a.test:25"]
    os.close(reading)


@pytest.mark.parametrize(
    ("read", "name", "text"),
    [
        (read_ssmtp, "ssmtp.conf", "mailhub=a.test\nAuthPass hunter2secret\nhunter2secret=\n"),
        (read_nullmailer, "remotes", "a.test smtp --user=me --pass hunter2secret\n"),
        (read_msmtp, "msmtprc", "account default\nhost a.test\nhunter2secret\nPass: x\n"),
    ],
)
def test_a_password_that_slipped_is_not_shown(
    tmp_path: Path, read: Callable[[Path], Found], name: str, text: str
) -> None:
    (tmp_path / name).write_text(text.replace("hunter2secret=\n", ""))
    found = read(tmp_path / name if name == "msmtprc" else tmp_path)
    assert found.notes
    assert "hunter2" not in told(found)


def test_the_port_of_ssmtp(tmp_path: Path) -> None:
    (tmp_path / "ssmtp.conf").write_text("mailhub=a.test\nRemotePort=587\n")
    assert smarthost(read_ssmtp(tmp_path))["hosts"] == ["a.test:587"]


@pytest.mark.parametrize("sender", ["*@shop.example", "web-?@shop.example", "[ab]@shop.example"])
def test_a_pattern_is_no_address_of_msmtp(tmp_path: Path, sender: str) -> None:
    text = f"account a\nhost a.test\nfrom {sender}\naccount b\nhost b.test\nfrom b@b.test\naccount default : a\n"
    rest = f"account c : b\nfrom x{sender}\n"
    found = an_msmtprc(tmp_path, text + rest)
    assert "*" not in str(values(found)["senders"])
    assert "?" not in str(values(found)["senders"])
    assert "msmtprc: from" in told(found)


def test_an_account_of_msmtp_without_a_host_is_no_other_account(tmp_path: Path) -> None:
    found = an_msmtprc(
        tmp_path, "account default\nhost a.test\naccount b\nhost b test\nfrom b@b.test\n"
    )
    assert "account b" in str(found.flaws())
