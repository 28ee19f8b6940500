"""`sendmail` as programs call it, against a running daemon, and against a scripted one."""

import email
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest

from relayd.cli.command import run
from tests.support.daemon import (
    CEILING,
    ROOT,
    Daemon,
    SmarthostThread,
    a_daemon,
    a_smarthost,
    eventually,
    without_trace,
)
from tests.support.scripted_server import CLOSE, Script

SCRIPT = f"#!{sys.executable}\nimport sys\nfrom relayd.__main__ import main\nsys.exit(main())\n"
ME = pwd.getpwuid(os.getuid()).pw_name
MAIL = b"To: u@x.test\nSubject: Hello\n\nHello.\n"

Done = subprocess.CompletedProcess[bytes]


@pytest.fixture(scope="module")
def smarthost() -> Iterator[SmarthostThread]:
    with a_smarthost() as server:
        yield server


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, smarthost: SmarthostThread
) -> Iterator[Daemon]:
    with a_daemon(tmp_path_factory.mktemp("relay"), smarthost.port, workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A link of the name sendmail to the command that an installation has."""
    folder = tmp_path_factory.mktemp("bin")
    command = folder / "relayd"
    command.write_text(SCRIPT)
    command.chmod(0o755)
    (folder / "sendmail").symlink_to(command)
    return folder / "sendmail"


class Caller:
    """Calls sendmail by its name, as PHP or cron would."""

    def __init__(self, program: Path, settings: Path, smarthost: SmarthostThread) -> None:
        self._program = program
        self._settings = settings
        self._smarthost = smarthost
        self._seen = len(smarthost.messages)

    def call(self, *arguments: str, given: bytes = MAIL) -> Done:
        return subprocess.run(
            [self._program, *arguments],
            input=given,
            capture_output=True,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "RELAYD_CONFIG": str(self._settings)},
            timeout=CEILING,
            check=False,
        )  # fmt: skip

    def by(self, *command: str, folder: Path, given: bytes = b"") -> None:
        """Run a program that will call it; `{sendmail}` in its arguments is where it is."""
        found = shutil.which(command[0])
        if found is None:
            pytest.skip(f"{command[0]} is not installed")
        done = subprocess.run(
            [found, *(each.replace("{sendmail}", str(self._program)) for each in command[1:])],
            input=given,
            capture_output=True,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT), "RELAYD_CONFIG": str(self._settings)},
            timeout=CEILING,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def sent(self, *arguments: str, given: bytes = MAIL) -> tuple[str, list[str], bytes]:
        """Call it, expect success and silence; return what leaves: MAIL, recipients, content."""
        done = self.call(*arguments, given=given)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        return self.left()

    def left(self) -> tuple[str, list[str], bytes]:
        eventually(lambda: len(self._smarthost.messages) > self._seen, "it leaves")
        message = self._smarthost.messages[self._seen]
        self._seen += 1
        paths = [rcpt.partition("<")[2].partition(">")[0] for rcpt in message.rcpts]
        return message.mail, paths, without_trace(message.content)


@pytest.fixture
def caller(program: Path, daemon: Daemon, smarthost: SmarthostThread) -> Caller:
    """What an earlier test left in the queue has gone."""
    eventually(lambda: set(daemon.statuses().values()) <= {"relayed"}, "an empty queue")
    return Caller(program, daemon.file, smarthost)


def fields_of(content: bytes) -> Message:
    return email.message_from_bytes(content)


def test_php(caller: Caller, daemon: Daemon) -> None:
    """Recipients of the message; what PHP leaves out is added, and can be asked for."""
    mail, paths, content = caller.sent(
        "-t",
        "-i",
        given=b"To: Ann <a@x.test>,\r\n b@x.test\r\nSubject: x\r\nX-PHP-Originating-Script: 0:a\r\n\r\nHi\r\n",
    )
    assert mail.startswith(f"FROM:<{ME}@relay.test>")
    assert paths == ["a@x.test", "b@x.test"]
    fields = fields_of(content)
    assert (fields["From"], fields["Subject"]) == (f"{ME}@relay.test", "x")
    assert re.fullmatch(r"<\d{14}\.[0-9a-f]{16}@relay\.test>", fields["Message-ID"])
    assert fields["Date"]
    assert content.endswith(b"\r\n\r\nHi\r\n")
    assert [row["rcpt"] for row in daemon.status("--message-id", fields["Message-ID"])] == paths


def test_cron(caller: Caller) -> None:
    """The job's output is the message; cron writes a From and a To of its own, without a domain."""
    given = b'From: "(Cron Daemon)" <root>\nTo: root\nSubject: Cron <root@h> ls\n\n.\n..\nout\n'
    mail, paths, content = caller.sent(
        "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root", given=given
    )
    assert paths == ["root@relay.test"]
    assert "8BITMIME" not in mail
    outside = given.replace(b"<root>\n", b"<root@relay.test>\n").replace(
        b": root", b": root@relay.test"
    )
    assert content.endswith(outside.replace(b"\n", b"\r\n"))
    assert content.count(b"\r\nFrom: ") == 1


def test_git_send_email(caller: Caller) -> None:
    given = (
        b"From: A <a@x.test>\nTo: b@x.test\nDate: Sun, 01 Mar 2026 12:00:00 +0000\n"
        b"Message-ID: <m@x.test>\n\n.\nJ\xc3\xbcrgen\n"
    )
    mail, paths, content = caller.sent("-f", "a@x.test", "-i", "b@x.test", "c@x.test", given=given)
    assert mail.startswith("FROM:<a@x.test>")
    assert "BODY=8BITMIME" in mail
    assert "SMTPUTF8" not in mail
    assert paths == ["b@x.test", "c@x.test"]
    assert content == given.replace(b"\n", b"\r\n"), "not a byte is changed or added"


def test_by_the_name_of_relayd(daemon: Daemon) -> None:
    """`relayd sendmail` takes the same letters, also those that click would take for its own."""
    ran = subprocess.run(
        [sys.executable, "-m", "relayd", "-c", str(daemon.file), "sendmail", "-v", "-h", "5", "--", "-c@x.test"],
        cwd=ROOT,
        input=MAIL,
        capture_output=True,
        timeout=CEILING,
        check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert re.fullmatch(rb"250 2\.0\.0 OK queued as \w{13}\n", ran.stdout)
    eventually(lambda: daemon.statuses().get("-c@x.test") == "relayed", "relayed")


def test_text_without_a_header(caller: Caller) -> None:
    mail, paths, content = caller.sent(
        "-F", "The \u00fc", "-f", "w@x.test", "a@x.test", given=b"disk full\nat: /\n"
    )
    assert mail.startswith("FROM:<w@x.test>")
    assert paths == ["a@x.test"]
    assert fields_of(content)["From"] == "=?utf-8?B?VGhlIMO8?= <w@x.test>"
    assert content.endswith(b"\r\n\r\ndisk full\r\nat: /\r\n")  # fmt: skip


DOTS = {
    "lf": (b"\na\n.\nb\n", (), b"a\r\n"),
    "crlf": (b"\r\na\r\n.\r\nb\r\n", (), b"a\r\n"),
    "lf with -i": (b"\na\n.\nb\n", ("-i",), b"a\r\n.\r\nb\r\n"),
    "crlf with -oi": (b"\r\na\r\n.\r\n..b\r\n", ("-oi",), b"a\r\n.\r\n..b\r\n"),
}


@pytest.mark.parametrize(("given", "options", "body"), DOTS.values(), ids=DOTS)
def test_a_lone_dot(caller: Caller, given: bytes, options: tuple[str, ...], body: bytes) -> None:
    _, _, content = caller.sent(*options, "a@x.test", given=given)
    assert content.partition(b"\r\n\r\n")[2] == body


def test_a_dot_ends_it_before_the_end_of_input(program: Path, daemon: Daemon) -> None:
    """A caller that keeps the pipe open is not kept waiting."""
    environment = {"PYTHONPATH": str(ROOT), "RELAYD_CONFIG": str(daemon.file)}
    with subprocess.Popen(
        [program, "dot@x.test"], stdin=subprocess.PIPE, env=environment
    ) as running:
        assert running.stdin is not None
        running.stdin.write(b"\nx\n.\n")
        running.stdin.flush()
        assert running.wait(CEILING) == 0  # fmt: skip


def test_bcc_gets_the_mail_and_nobody_sees_it(caller: Caller) -> None:
    given = b"To: a@x.test\nBcc: Bob <b@x.test>,\n\tc@x.test\nbcc: d@x.test\n\nBcc: text\n"
    _, paths, content = caller.sent("-t", "e@x.test", "a@x.test", given=given)
    assert paths == ["e@x.test", "a@x.test", "b@x.test", "c@x.test", "d@x.test"]
    assert not re.search(rb"(?im)^bcc|[bcd]@x\.test", content.partition(b"\r\n\r\n")[0])
    assert content.endswith(b"\r\n\r\nBcc: text\r\n")


def test_bcc_never_leaves(caller: Caller) -> None:
    """Also where the recipients are named: mutt leaves the field to sendmail."""
    _, paths, content = caller.sent(
        "a@x.test", "b@x.test", given=b"Bcc: b@x.test\nTo: a@x.test\n\n"
    )
    assert paths == ["a@x.test", "b@x.test"]
    assert b"Bcc" not in content  # fmt: skip


def test_what_is_sent_again_goes_to_those_alone(caller: Caller) -> None:
    given = b"Resent-To: n@x.test\nResent-Bcc: o@x.test\nTo: a@x.test\nBcc: b@x.test\n\nx\n"
    _, paths, content = caller.sent("-t", given=given)
    assert paths == ["n@x.test", "o@x.test"]
    assert b"o@x.test" not in content
    assert b"Resent-To: n@x.test\r\nTo: a@x.test\r\n\r\n" in content


def test_no_bare_line_end_and_no_nul_leaves(caller: Caller) -> None:
    """A-27: the smarthost of these tests would note each of them."""
    _, _, content = caller.sent("a@x.test", given=b"A: b\r\nC: d\n\nx\ry\0z\r\n\n.a\n")
    assert content.endswith(b"A: b\r\nC: d\r\n\r\nx y z\r\n\r\n.a\r\n")


def test_a_megabyte(caller: Caller) -> None:
    body = b"".join(b".%07d\n" % number for number in range(125_000))
    _, _, content = caller.sent("-i", "a@x.test", given=b"Subject: x\n\n" + body)
    assert content.partition(b"\r\n\r\n")[2] == body.replace(b"\n", b"\r\n")


def test_dsn_parameters_go_along(caller: Caller, smarthost: SmarthostThread) -> None:
    mail, _, _ = caller.sent("-N", "success,delay", "-R", "hdrs", "-V", "a b", "a@x.test")
    assert "RET=HDRS" in mail
    assert "ENVID=a+20b" in mail
    assert "NOTIFY=SUCCESS,DELAY" in smarthost.messages[-1].rcpts[0]  # fmt: skip


def test_mail_to_local_users_goes_where_the_aliases_say(
    caller: Caller, daemon: Daemon, smarthost: SmarthostThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """By commands alone, the daemon runs on; the header does not tell, the history knows who was written to."""
    settings = ("-c", str(daemon.file))
    assert run([*settings, "config", "set", "aliases.root=you@y.test", "aliases.cron=root"]) == 0
    _, paths, content = caller.sent("Root", "cron", "app@x.test", given=b"To: root\n\nDisk full\n")
    assert paths == ["you@y.test", "app@x.test"]
    assert fields_of(content)["To"] == "root@relay.test"
    assert "ORCPT=rfc822;Root@relay.test" in smarthost.messages[-1].rcpts[0]
    capsys.readouterr()
    assert run([*settings, "status", "--recipient", "you@y.test", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["orig_rcpt"] == "rfc822;Root@relay.test"
    assert run([*settings, "status", "show", row["queue_id"]]) == 0
    assert "written to Root@relay.test" in capsys.readouterr().out
    assert run([*settings, "config", "unset", "aliases.cron", "aliases.root"]) == 0
    _, paths, _ = caller.sent("root")
    assert paths == ["root@relay.test"]


def test_a_null_sender_and_utf8(caller: Caller) -> None:
    mail, paths, content = caller.sent(
        "-f", "<>", "j\u00fcrgen@x.test", given="To: J\u00fcrgen\n\n".encode()
    )
    assert mail.startswith("FROM:<>")
    assert "SMTPUTF8" in mail
    assert paths == ["j\u00fcrgen@x.test"]
    assert fields_of(content)["From"] == f"{ME}@relay.test"  # fmt: skip


@pytest.mark.parametrize("subject", [b"\xfc", "ü".encode()], ids=["latin-1", "utf-8"])
def test_raw_octets_in_a_header_ask_for_nothing(caller: Caller, subject: bytes) -> None:
    """A server further on that does not offer SMTPUTF8 would make it a bounce (S-36)."""
    mail, _, content = caller.sent("raw@x.test", given=b"Subject: " + subject + b"\n\nx\n")
    assert "SMTPUTF8" not in mail
    assert fields_of(content)["Subject"]
    assert b"Subject: " + subject + b"\r\n" in content


def test_smtp_on_standard_input(program: Path, daemon: Daemon) -> None:
    """-bs: a dialogue with the daemon, in both directions, to its end."""
    environment = {"PYTHONPATH": str(ROOT), "RELAYD_CONFIG": str(daemon.file)}
    with subprocess.Popen(
        [program, "-bs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stdout.readline() == b"220 relay.test ESMTP relayd\r\n"
        for line, code in {
            b"HELO app.test": b"250",
            b"MAIL FROM:<a@x.test>": b"250",
            b"RCPT TO:<bs@x.test>": b"250",
            b"DATA": b"354",
            b"Subject: x\r\n\r\nx\r\n.": b"250",
            b"QUIT": b"221",
        }.items():
            running.stdin.write(line + b"\r\n")
            running.stdin.flush()
            assert running.stdout.readline().startswith(code + b" ")
        assert running.wait(CEILING) == 0
    eventually(lambda: daemon.statuses().get("bs@x.test") == "relayed", "relayed")


def test_the_end_of_input_ends_a_dialogue(caller: Caller) -> None:
    done = caller.call("-bs", given=b"")
    assert (done.returncode, done.stdout) == (0, b"220 relay.test ESMTP relayd\r\n")


USAGE = {
    "no recipients": ([], MAIL, os.EX_USAGE, "no recipients"),
    "none in the message": (["-t"], b"Subject: x\n\n", os.EX_USAGE, "no recipients"),
    "daemon": (["-bd"], b"", os.EX_USAGE, "`relayd serve`"),
    "no address": (["a b@x.test"], MAIL, os.EX_USAGE, "'a b@x.test'"),
    "no address in the message": (["-t"], b"To: a b@x.test\n\n", os.EX_NOUSER, "'a b@x.test'"),
    "refused": (["a@[192.0.2.1]"], MAIL, os.EX_NOUSER, "a@[192.0.2.1]: the relay answers 553 "),
    "too big": (["-i", "a@x.test"], b"\n" + b"x" * 2_100_000, os.EX_DATAERR, "answers 552 "),
    "far too big": (["-i", "a@x.test"], b"\n" + b"x\n" * 10_000_000, os.EX_DATAERR, "answers 552 "),
}


@pytest.mark.parametrize(("arguments", "given", "status", "text"), USAGE.values(), ids=USAGE)
def test_what_is_wrong_is_told(
    caller: Caller, arguments: list[str], given: bytes, status: int, text: str
) -> None:
    done = caller.call(*arguments, given=given)
    assert (done.returncode, done.stdout) == (status, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("sendmail: ")
    assert text in line


def test_one_refused_recipient_and_nothing_is_queued(caller: Caller, daemon: Daemon) -> None:
    """The caller learns of one exit status only; 0 means all of it."""
    assert caller.call("never@x.test", "a@[192.0.2.1]").returncode == os.EX_NOUSER
    daemon.send("after@x.test")
    assert "never@x.test" not in daemon.statuses()


PHP = r"""
$more = ["From" => "app@x.test", "Cc" => "c@x.test", "Bcc" => "b@x.test"];
exit(mail("a@x.test", "Hello", "One\n.\nTwo\n", $more, "-fbounces@x.test") ? 0 : 1);
"""
PATCH = b"""\
From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: A <a@x.test>
Date: Sun, 1 Mar 2026 12:00:00 +0000
Subject: [PATCH] x

.
--
2.39
"""


def test_mail_from_php(caller: Caller, tmp_path: Path) -> None:
    caller.by("php", "-d", "sendmail_path={sendmail} -t -i", "-r", PHP, folder=tmp_path)
    mail, paths, content = caller.left()
    assert mail.startswith("FROM:<bounces@x.test>")
    assert sorted(paths) == ["a@x.test", "b@x.test", "c@x.test"]
    assert b"b@x.test" not in content
    assert content.endswith(b"\r\n\r\nOne\r\n.\r\nTwo\r\n\r\n")
    assert fields_of(content)["From"] == "app@x.test"


def test_mail_from_s_nail(caller: Caller, tmp_path: Path) -> None:
    command = ("s-nail", "-n", "-S", "mta={sendmail}", "-S", "v15-compat", "-r", "app@x.test")
    caller.by(
        *command, "-s", "Hello", "-b", "b@x.test", "a@x.test", folder=tmp_path, given=b"One\n.\n"
    )
    mail, paths, content = caller.left()
    assert mail.startswith("FROM:<app@x.test>")
    assert sorted(paths) == ["a@x.test", "b@x.test"]
    assert b"b@x.test" not in content
    assert b"\r\n\r\nOne\r\n" in content


def test_mail_from_git(caller: Caller, tmp_path: Path) -> None:
    if not Path("/usr/lib/git-core/git-send-email").exists():
        pytest.skip("git send-email is not installed")
    (tmp_path / "x.patch").write_bytes(PATCH)
    (tmp_path / ".gitconfig").write_text("[user]\nname = A\nemail = a@x.test\n")
    command = ("git", "send-email", "--smtp-server={sendmail}", "--confirm=never", "--quiet")
    people = ("--from=a@x.test", "--to=b@x.test", "--bcc=c@x.test", "--suppress-cc=all")
    caller.by(*command, *people, "x.patch", folder=tmp_path)
    _, paths, content = caller.left()
    assert sorted(paths) == ["b@x.test", "c@x.test"]
    assert b"c@x.test" not in content
    assert b"\r\n\r\n.\r\n--\r\n2.39\r\n" in content


def listening_at(folder: Path, address: str) -> Path:
    file = folder / "relayd.toml"
    file.write_text(f'[[listen]]\naddress = "{address}"\n')
    return file


def test_no_daemon_is_75(program: Path, tmp_path: Path, smarthost: SmarthostThread) -> None:
    caller = Caller(program, listening_at(tmp_path, f"unix:{tmp_path}/no.sock"), smarthost)
    done = caller.call("a@x.test")
    assert (done.returncode, done.stdout) == (os.EX_TEMPFAIL, b"")
    assert done.stderr == f"sendmail: no relay answers at {tmp_path}/no.sock: No such file or directory\n".encode()  # fmt: skip


ANSWERS: dict[str, tuple[Script, int]] = {
    "greeting": ({"GREETING": "421 4.3.2 going down"}, os.EX_TEMPFAIL),
    "no greeting": ({"GREETING": CLOSE}, os.EX_TEMPFAIL),
    "sender": ({"MAIL": "550 5.7.1 not you"}, os.EX_UNAVAILABLE),
    "recipient": ({"RCPT": "550 5.1.1 no such user"}, os.EX_NOUSER),
    "recipient for now": ({"RCPT": "451 4.3.0 later"}, os.EX_TEMPFAIL),
    "data": ({"DATA": "554 5.5.1 no"}, os.EX_UNAVAILABLE),
    "content": ({"DOT": "550 5.6.0 bare LF"}, os.EX_DATAERR),
    "content for now": ({"DOT": "452 4.3.1 no room"}, os.EX_TEMPFAIL),
    "no answer": ({"DOT": CLOSE}, os.EX_TEMPFAIL),
}


@pytest.mark.parametrize(("script", "status"), ANSWERS.values(), ids=ANSWERS)
def test_what_the_relay_answers_is_told(
    program: Path, tmp_path: Path, script: Script, status: int
) -> None:
    with a_smarthost(script) as server:
        caller = Caller(program, listening_at(tmp_path, f"127.0.0.1:{server.port}"), server)
        done = caller.call("a@x.test")
    assert (done.returncode, done.stdout) == (status, b"")
    (answer,) = script.values()
    assert (answer if isinstance(answer, str) else "relay's reply").encode() in done.stderr
