"""What main.cf, master.cf and lookup tables say, in the form of relayd."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from relayd.elsewhere import postfix_files
from relayd.elsewhere.found import Found, Server
from relayd.elsewhere.postfix import read_postfix
from relayd.elsewhere.postfix_files import expanded, parameters, words
from relayd.elsewhere.telling import tell
from relayd.policy.delivery.route import HostPort
from relayd.policy.tls.ladder import TlsMode

Read = Callable[..., Found]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Read a main.cf with these lines, without the program postconf."""
    monkeypatch.setattr(postfix_files, "_by_postconf", lambda _: None)

    def reading(*lines: str, **files: str) -> Found:
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        text = "\n".join(("myhostname = mail.shop.example", *lines)).replace("DIR", str(tmp_path))
        (tmp_path / "main.cf").write_text(text)
        return read_postfix(tmp_path)

    return reading


def values(found: Found) -> Mapping[str, object]:
    return tell(found, local_socket="/run/relayd/smtp.sock").values


def told(found: Found) -> str:
    values(found)
    return "\n".join(f"{note.place}: {note.told}" for note in found.notes)


@pytest.mark.parametrize(
    ("value", "means"),
    [
        ("plain", "plain"),
        ("$a-$b", "1-2"),
        ("${a}x$(b)", "1x2"),
        ("$none", ""),
        ("$$a", "$a"),
        ("${a?yes}${none?no}", "yes"),
        ("${none:else}${a:no}", "else"),
        ("${a?{yes}:{no}}${none?{yes}:{no}}", "yesno"),
        ("${a?{$b}}", "2"),
        ("$loop", ""),
    ],
)
def test_names_are_replaced(value: str, means: str) -> None:
    assert expanded(value, {"a": "1", "b": "2", "loop": "$loop"}) == means


def test_lists_have_commas_blanks_and_braces() -> None:
    assert words("a, b\tc inline:{ x=1, y = 2 }") == ["a", "b", "c", "inline:{ x=1, y = 2 }"]


MAIN = """\
# a comment
myhostname = mail.shop.example
mydomain = shop.example
relayhost = [smtp.$mydomain]:587
mydestination = $myhostname,
# in the middle
    localhost.$mydomain

smtp_sasl_password_maps = hash:${config_directory}/sasl
relayhost = [${mydomain?smtp2.}$mydomain]:submission
"""


def test_the_program_and_we_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """postconf(1) is asked where it is there; without it the same comes out."""
    if shutil.which("postconf", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("postfix is not installed")
    (tmp_path / "main.cf").write_text(MAIN)
    (tmp_path / "master.cf").write_text("smtp unix - - y - - smtp\n")
    by_program = parameters(tmp_path / "main.cf", Found())
    monkeypatch.setattr(postfix_files, "_by_postconf", lambda _: None)
    by_us = parameters(tmp_path / "main.cf", Found())
    assert by_us["relayhost"] == "[smtp2.shop.example]:submission"
    assert {name: words(value) for name, value in by_us.items()} == {
        name: words(value) for name, value in by_program.items() if name != "config_directory"
    }


@pytest.mark.parametrize(
    ("lines", "hosts", "tls"),
    [
        (["relayhost = [a.test]:587", "smtp_tls_security_level = may"], ["a.test:587"], "opportunistic"),
        (["relayhost = [a.test]"], ["a.test:25"], "off"),
        (["relayhost = a.test:26", "smtp_use_tls = yes"], ["a.test:26"], "opportunistic"),
        (["relayhost = [192.0.2.1], [2001:db8::1]:26", "smtp_enforce_tls = yes"], ["192.0.2.1:25", "[2001:db8::1]:26"], "verify"),
        (["relayhost = [a.test]:smtps", "smtp_tls_security_level = encrypt"], ["a.test:465"], "implicit"),
        (["relayhost = [a.test]:26", "smtp_tls_wrappermode = yes"], ["a.test:26"], "implicit"),
        (["relayhost = [a.test]", "smtp_tls_policy_maps = inline:{ [a.test]=secure }"], ["a.test:25"], "verify"),
        (["relayhost = [a.test]", "smtp_tls_security_level = dane"], ["a.test:25"], "opportunistic"),
        (["relayhost = [a.test]:465 [b.test]:587"], ["a.test:465"], "implicit"),
        (["relayhost = [a.test]", "smtp_tls_security_level = dane-only"], ["a.test:25"], "verify"),
        (["relayhost = [a.test]", "smtp_enforce_tls = Yes"], ["a.test:25"], "verify"),
        (["relayhost = [a.test] [b.test]", "smtp_tls_policy_maps = inline:{ [b.test]=secure }"], ["a.test:25"], "off"),
        (["relayhost = [a.test]:587", "smtp_tls_policy_maps = inline:{ .test=secure }"], ["a.test:587"], "verify"),
        (["default_transport = smtp:[a.test]:26"], ["a.test:26"], "off"),
        (["relayhost = [a.test]", "default_transport = smtp"], ["a.test:25"], "off"),
        (["transport_maps = inline:{ *=smtp:[a.test]:27 }"], ["a.test:27"], "off"),
    ],
)  # fmt: skip
def test_the_smarthost_and_its_tls(
    read: Read, lines: list[str], hosts: list[str], tls: str
) -> None:
    found = read(*lines)
    assert found.server is not None
    assert ([str(each) for each in found.server.hosts], found.server.tls.value) == (hosts, tls)


def test_a_login_needs_a_name_that_is_proven(read: Read) -> None:
    lines = (
        "relayhost = [a.test]:587",
        "smtp_sasl_auth_enable = yes",
        "smtp_tls_security_level = may",
    )
    found = read(
        *lines, "smtp_sasl_password_maps = texthash:DIR/sasl", sasl="a.test  me:a secret\n"
    )
    assert found.server is not None
    assert (found.server.username, found.server.password) == ("me", "a secret")
    assert found.server.tls is TlsMode.VERIFY
    assert "made stricter" in told(found)
    assert "a secret" not in told(found) + repr(found)


def test_a_password_that_is_not_found_is_told(read: Read) -> None:
    found = read(
        "relayhost = [a.test]:587",
        "smtp_sasl_auth_enable = yes",
        "smtp_sasl_password_maps = ldap:/x",
    )
    assert "the type ldap cannot be read" in told(found)
    assert "no password was found" in told(found)


def test_each_sender_has_its_way(read: Read) -> None:
    """The most specific first, and each with all that wider entries say."""
    found = read(
        "relayhost = [a.test]",
        "sender_dependent_relayhost_maps = texthash:DIR/by_sender",
        "smtp_generic_maps = texthash:DIR/generic",
        "always_bcc = archive@shop.example",
        by_sender="@news.test [b.test]:26\nme@news.test DUNNO\nodd [c.test]\n",
        generic="you@news.test you@shop.example\n@intern.test @shop.example\n",
    )
    assert values(found)["senders"] == {
        "me@news.test": {"smarthost": "default", "always_bcc": ["archive@shop.example"]},
        "you@news.test": {
            "smarthost": "b-test",
            "envelope_from": "you@shop.example",
            "header_from": "you@shop.example",
            "always_bcc": ["archive@shop.example"],
        },
        "news.test": {"smarthost": "b-test", "always_bcc": ["archive@shop.example"]},
        "*": {"always_bcc": ["archive@shop.example"]},
    }
    smarthost = values(found)["smarthost"]
    assert isinstance(smarthost, dict)
    assert smarthost["header_domains"] == {"intern.test": "shop.example"}
    assert "sender_dependent_relayhost_maps: odd" in told(found)


def test_a_sender_that_keeps_to_direct_mode_keeps_a_wider_one_away(read: Read) -> None:
    found = read(
        "sender_dependent_relayhost_maps = inline:{ @news.test=[b.test], me@news.test=DUNNO }"
    )
    senders = values(found)["senders"]
    assert isinstance(senders, dict)
    assert [*senders.items()] == [("me@news.test", {}), ("news.test", {"smarthost": "b-test"})]


def test_without_a_relayhost_mail_goes_directly(read: Read) -> None:
    found = read(
        "relayhost =",
        "smtp_tls_policy_maps = inline:{ .bank.test=secure, x.test=dane-only }",
        "inet_protocols = ipv4",
        "masquerade_domains = shop.example !x.shop.example",
    )
    assert values(found)["use_remote_smtp"] is True
    assert values(found)["tls_policy"] == {"*.bank.test": "verify", "x.test": "dane"}
    assert values(found)["direct"] == {"tls": "off", "families": ["ipv4"]}
    assert values(found)["senders"] == {
        "*": {
            "envelope_domains": {"*.shop.example": "shop.example"},
            "header_domains": {"*.shop.example": "shop.example"},
        }
    }


def test_routes_by_domain(read: Read) -> None:
    transport = "a.test smtp:[h.test]:26\n.b.test :[h.test]\nc.test smtp:\nd.test :\ne.test error:no\nf.test discard:\nslow.test slow:\nbad.test smtp:[x]:y\nme@g.test smtp:[h.test]\n"
    found = read(
        "relayhost = [r.test]",
        "smtp_tls_security_level = encrypt",
        "transport_maps = hash:DIR/transport",
        transport=transport,
        **{"master.cf": "slow unix - - y - 1 smtp\n  -o smtp_bind_address=192.0.2.1\n"},
    )
    assert values(found)["routes"] == {
        "a.test": {"host": "h.test:26", "tls": "required"},
        "*.b.test": {"host": "h.test:25", "tls": "required"},
        "c.test": "direct",
        "d.test": "smarthost",
        "e.test": "hold",
        "f.test": "hold",
        "slow.test": "direct",
        "bad.test": "hold",
    }
    for name in ("e.test", "f.test", "me@g.test"):
        assert f"transport_maps: {name}" in told(found)


@pytest.mark.parametrize(
    ("lines", "listeners"),
    [
        (["mynetworks = 10.0.0.0/8"], [{"address": "0.0.0.0:2525", "networks": ["127.0.0.0/8", "::1/128", "10.0.0.0/8"]}]),
        (["mynetworks = 10.0.0.0/8", "inet_interfaces = loopback-only"], [{"address": "127.0.0.1:2525"}]),
        (["mynetworks = 127.0.0.0/8 [::1]/128"], [{"address": "127.0.0.1:2525"}]),
        (["mynetworks = 0.0.0.0/0, hash:/x, !10.1.1.1"], [{"address": "127.0.0.1:2525"}]),
        (["mynetworks = 10.1.2.3/8", "inet_interfaces = 127.0.0.1, 10.0.0.5, ::1"], [{"address": "127.0.0.1:2525"}, {"address": "10.0.0.5:2525", "networks": ["127.0.0.0/8", "::1/128", "10.0.0.0/8"]}]),
    ],
)  # fmt: skip
def test_who_may_send(read: Read, lines: list[str], listeners: list[object]) -> None:
    """Others only where their networks are named; everybody never."""
    listen = values(read("relayhost = [a.test]", *lines))["listen"]
    assert listen == [*listeners, {"address": "unix:/run/relayd/smtp.sock"}]


@pytest.mark.parametrize(
    ("lines", "files", "networks"),
    [
        (["mynetworks = !10.0.0.0/9 10.0.0.0/8"], {}, ["10.128.0.0/9"]),
        (["mynetworks = 10.0.0.0/8 !10.0.0.0/8 192.0.2.0/24"], {}, ["192.0.2.0/24"]),
        (["mynetworks = 10.0.0.0/8 !hash:/x"], {}, []),
        (["mynetworks = 10.0.0.0/8 !/x"], {}, []),
        (["mynetworks = DIR/nets"], {"nets": "# 10.0.0.0/8\n192.0.2.0/24 # 172.16.0.0/12\n"}, ["192.0.2.0/24"]),
        (["mynetworks = 10.0.0.0/8", "smtpd_relay_restrictions = permit_sasl_authenticated, reject"], {}, []),
        (["mynetworks = 10.0.0.0/8", "smtpd_client_restrictions = permit_sasl_authenticated reject"], {}, []),
        (["mynetworks = 10.0.0.0/8", "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination"], {}, ["10.0.0.0/8"]),
    ],
)  # fmt: skip
def test_nobody_may_send_who_might_not(
    read: Read, lines: list[str], files: dict[str, str], networks: list[str]
) -> None:
    listen = read("relayhost = [a.test]", *lines, **files).listeners
    assert [network for each in listen for network in each.networks] == networks


def test_what_else_is_asked_of_clients_is_told(read: Read) -> None:
    found = read(
        "relayhost = [a.test]",
        "smtpd_recipient_restrictions = permit_mynetworks check_recipient_access hash:/x reject",
        "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination",
    )
    assert "smtpd_recipient_restrictions: check_recipient_access hash:/x:" in told(found)
    assert "smtpd_relay_restrictions" not in told(found)


@pytest.mark.parametrize(
    "lines",
    [
        ["relayhost = [a.test]:58x7"],
        ["relayhost = ,"],
        ["default_transport = error: no mail leaves"],
        ["relayhost = [a.test]", "transport_maps = inline:{ *=discard: }"],
        ["relayhost = [a.test]", "sender_dependent_relayhost_maps = inline:{ @x.test=[b.test]:x }"],
        ["sender_dependent_relayhost_maps = inline:{ @x.test=[b.test]:x }"],
    ],
)
def test_mail_goes_nowhere_else(read: Read, lines: list[str]) -> None:
    """What cannot be read is no reason for direct mode, nor for the way of other mail."""
    assert read(*lines).flaws()


@pytest.mark.parametrize(
    "lines", [[], ["relayhost ="], ["relayhost = [a.test]", "transport_maps = inline:{ *=smtp: }"]]
)
def test_direct_mode_where_it_is_meant(read: Read, lines: list[str]) -> None:
    found = read(*lines)
    assert (found.flaws(), found.server, found.is_direct) == ([], None, True)


def test_a_password_is_for_the_host_it_was_written_for(read: Read) -> None:
    found = read(
        "relayhost = [a.test]:587 [b.test]:587 [c.test]:587",
        "smtp_sasl_auth_enable = Yes",
        "smtp_sasl_password_maps = texthash:DIR/sasl",
        sasl="A.test me:one\n[b.test]:587 you:two\n[C.test]:587 me:one\n",
    )
    assert found.server is not None
    assert [each.host for each in found.server.hosts] == ["a.test", "c.test"]
    assert (found.server.username, found.server.password) == ("me", "one")
    assert "b.test:587 has others" in told(found)


def test_numbers_are_of_any_length(read: Read) -> None:
    many = "9" * 5000
    limits = ("message_size_limit", "maximal_queue_lifetime", "smtp_destination_recipient_limit")
    found = read("relayhost = [a.test]", *(f"{each} = {many}" for each in limits))
    assert found.tables == {"limits": {"message_size": "512000000B"}}
    assert read(f"relayhost = [a.test]:{many}").flaws()


def test_mail_that_stayed_here_is_told(read: Read) -> None:
    found = read(
        "relayhost = [a.test]",
        "myorigin = shop.example",
        "mydestination = $myhostname, localhost.$mydomain, localhost, shop.example",
    )
    assert "mail to shop.example is sent on" in told(found)
    assert "senders at mail.shop.example: become senders at shop.example" in told(found)


def test_names_in_each_other_cost_little() -> None:
    """Each name is expanded once, and no value grows without bound."""
    many = {f"a{number}": f"$a{number + 1}" * 10 for number in range(18)} | {"a18": "x" * 1000}
    assert expanded("$a0", many) == ""
    assert expanded("$a$a", {"a": "$b$b$b$b", "b": "$a$a$a$a"}) == ""
    assert expanded("$a" * 100_000, {"a": "x" * 1000}) == ""


def test_a_main_cf_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_postfix(tmp_path)
    (tmp_path / "main.cf").mkdir()
    with pytest.raises(IsADirectoryError):
        read_postfix(tmp_path)
    (tmp_path / "main.cf").rmdir()
    (tmp_path / "main.cf").write_bytes(b"relayhost = [a.test]\n# \xff\n" + b"#\n" * (3 << 20))
    found = read_postfix(tmp_path)
    assert "MiB" in str(found.flaws())
    assert "not UTF-8" in told(found)


def test_limits(read: Read) -> None:
    found = read(
        "relayhost = [a.test]",
        "message_size_limit = 0",
        "maximal_queue_lifetime = 3",
        "smtp_helo_name = out.shop.example",
        "smtp_destination_concurrency_limit = 5",
        "smtp_destination_recipient_limit = 500",
    )
    assert found.tables == {
        "limits": {"message_size": "512000000B"},
        "retry": {"give_up_after": "3d"},
    }
    smarthost = values(found)["smarthost"]
    assert isinstance(smarthost, dict)
    assert (smarthost["ehlo"], smarthost["connections"], smarthost["recipients_per_message"]) == (
        "out.shop.example",
        5,
        100,
    )


def test_names_of_this_machine(read: Read) -> None:
    found = read(
        "relayhost = [a.test]",
        "alias_maps = hash:DIR/aliases",
        "virtual_alias_maps = texthash:DIR/virtual",
        aliases='root: one@shop.example,\n  two@shop.example\npostmaster: root\n"odd name": x@shop.example\npipe: "|/bin/x, y"\nme: me\nlist: :include:/x\nloop: loop2\nloop2: loop\n',
        virtual="web@mail.shop.example web@shop.example\nother@far.example x@shop.example\nfar.example anything\nops root\n",
    )
    assert values(found)["aliases"] == {
        "root": ["one@shop.example", "two@shop.example"],
        "postmaster": "root",
        "web": "web@shop.example",
        "ops": "root",
    }
    for name in ("odd name", "pipe", "alias me", "list", "alias loop", "other@far.example"):
        assert name in told(found)


def test_fields_of_the_header(read: Read) -> None:
    checks = "# none\n/^X-Mailer:/ IGNORE\n/^Received:/ IGNORE\n/^X-Site: .*$/i REPLACE X-Site: shop\n/^Subject: spam/ REJECT\nif /^X: y/\n/^X-Kept:/ IGNORE\nendif\n/^X-Gone:/ IGNORE\n"
    found = read("relayhost = [a.test]", "header_checks = regexp:DIR/checks", checks=checks)
    assert found.rewriting == {
        "remove_headers": ["X-Mailer", "X-Gone"],
        "set_headers": {"X-Site": "shop"},
    }
    assert found.hide_client
    assert "Subject: spam" in told(found)


def test_all_else_that_is_set_has_a_line(read: Read) -> None:
    found = read(
        "relayhost = [a.test]",
        "smtpd_milters = inet:x",
        "no_such_thing = 1",
        "biff = no",
        "empty_thing =",
        **{"master.cf": "submission inet n - y - - smtpd\n  -o smtpd_tls_security_level=encrypt\n"},
    )
    for name in ("smtpd_milters", "no_such_thing", "master.cf: submission"):
        assert name in told(found)
    assert "biff" not in told(found)
    assert "empty_thing" not in told(found)


def test_copies_by_sender(read: Read) -> None:
    found = read(
        "relayhost = [a.test]",
        "sender_bcc_maps = inline:{ @a.test=x@shop.example, bad=x }",
        "recipient_bcc_maps = hash:/x",
    )
    assert values(found)["senders"] == {"a.test": {"always_bcc": ["x@shop.example"]}}
    assert "sender_bcc_maps: bad" in told(found)
    assert "recipient_bcc_maps" in told(found)


def test_two_servers_never_have_one_name(read: Read) -> None:
    found = read(
        "relayhost = [a.test]",
        "sender_dependent_relayhost_maps = inline:{ @x.test=[b.test]:25, @y.test=[b.test]:26, @z.test=[192.0.2.1] }",
    )
    smarthosts = values(found)["smarthosts"]
    assert isinstance(smarthosts, dict)
    assert [*smarthosts] == ["b-test", "b-test-2", "host-192-0-2-1"]


@pytest.mark.parametrize(
    ("level", "is_told"), [("encrypt", True), ("may", True), ("verify", False), ("secure", False)]
)
def test_proof_that_postfix_does_not_want_is_told(read: Read, level: str, *, is_told: bool) -> None:
    found = read(
        "relayhost = [a.test]:465",
        "smtp_tls_wrappermode = yes",
        f"smtp_tls_security_level = {level}",
    )
    assert found.server is not None
    assert found.server.tls is TlsMode.IMPLICIT
    assert ("has to prove the name" in told(found)) is is_told


@pytest.mark.parametrize(
    ("mydestination", "is_kept"),
    [
        ("localhost", False),
        ("", False),
        ("localhost, shop.example", True),
        ("$mydomain", True),
        ("localhost, hash:/etc/postfix/here", True),
    ],
)
def test_aliases_are_for_names_of_this_machine(
    read: Read, mydestination: str, *, is_kept: bool
) -> None:
    """Where myorigin is another machine, Postfix sends mail for root to that."""
    found = read(
        "relayhost = [a.test]",
        "myorigin = shop.example",
        f"mydestination = {mydestination}",
        "alias_maps = hash:DIR/aliases",
        aliases="root: admin@shop.example\n",
    )
    assert ("aliases" in values(found)) is is_kept
    assert ("these aliases are left out" in told(found)) is not is_kept


@pytest.mark.parametrize(
    ("lines", "is_kept"),
    [
        (["myhostname = mail.shop.example", "myorigin = $mydomain"], False),
        (["myhostname = mail.shop.example"], True),
        (["mydestination = $myhostname, localhost.$mydomain, localhost"], True),
        (["myorigin = shop.example"], True),
    ],
)
def test_aliases_where_postfix_has_a_default(
    tmp_path: Path, lines: list[str], *, is_kept: bool
) -> None:
    """mydestination is the name of this machine. Where main.cf does not say that, aliases are kept."""
    (tmp_path / "aliases").write_text("root: admin@shop.example\n")
    written = ["relayhost = [a.test]", f"alias_maps = hash:{tmp_path}/aliases", *lines]
    (tmp_path / "main.cf").write_text("\n".join(written))
    found = read_postfix(tmp_path)
    assert ("root" in found.aliases) is is_kept
    assert any("left out" in note.told for note in found.notes) is not is_kept


@pytest.mark.parametrize(
    ("sasl", "username"),
    [
        ("[a.test]:587 written:x\na.test host:x\n", "host"),
        ("[a.test]:587 written:x\n", "written"),
        ("[a.test] other:x\n* any:x\n", ""),
    ],
)
def test_which_login_of_postfix_counts(read: Read, sasl: str, username: str) -> None:
    """As real Postfix (3.7) does it: the name of the host comes before the next hop as it is written."""
    found = read(
        "relayhost = [a.test]:587",
        "smtp_sasl_auth_enable = yes",
        "smtp_sasl_password_maps = hash:DIR/sasl",
        sasl=sasl,
    )
    assert found.server is not None
    assert found.server.username == username


def test_a_login_by_sender_is_not_for_hosts_of_a_transport(read: Read) -> None:
    found = read(
        "relayhost = [a.test]",
        "smtp_sasl_auth_enable = yes",
        "smtp_sender_dependent_authentication = yes",
        "smtp_sasl_password_maps = hash:DIR/sasl",
        "transport_maps = hash:DIR/transport",
        sasl="me@shop.example me:x\n",
        transport="intra.example smtp:[intra.example]:25\n",
    )
    assert "transport_maps: intra.example: Postfix logs in there as the sender" in told(found)


def test_a_server_is_told_whole() -> None:
    server = Server(
        hosts=(HostPort(host="a.test", port=25),),
        tls=TlsMode.VERIFY,
        certificate="/c",
        key_file="/k",
        username="me",
        password="p",
        auth="xoauth2",
        source_address="192.0.2.1",
    )
    found = Found(fqdn="mail.shop.example", routes={"x.test": server})
    told = tell(found, local_socket="/s")
    assert told.values["smarthosts"] == {
        "a-test": {
            "hosts": ["a.test:25"],
            "tls": "verify",
            "username": "me",
            "token_file": "a-test-password",
            "auth": "xoauth2",
            "certificate": "/c",
            "key_file": "/k",
            "source_address": "192.0.2.1",
        }
    }
    assert told.values["routes"] == {"x.test": "smarthost:a-test"}
    assert told.secrets == {"a-test-password": "p"}
