import io
import json
import os
from pathlib import Path

import pytest

from relayd.policy.replies.classify import classify_fields
from relayd.policy.replies.ruleset import builtin_rules
from tests.support.cli_world import World

REPLY = "550 5.1.1 <a@example.org>: no such user"


def feed(monkeypatch: pytest.MonkeyPatch, octets: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(octets)))


def test_reply_in_words(world: World) -> None:
    ran = world.run_bare("classify", REPLY, "--stage", "rcpt")
    told = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert told == {
        "category": "bad_mailbox",
        "permanent": "yes",
        "suppress": "yes",
        "bounce_class": "hard",
    }


def test_explain_names_the_rule(world: World) -> None:
    (row,) = world.run_bare("classify", REPLY, "--explain", "--json").rows
    judged = classify_fields(None, None, REPLY, None, builtin_rules())
    assert (row["rule"], row["category"]) == (judged.rule, judged.category.value)


def test_jsonl_answers_line_by_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [
        {"id": "a", "code": "550", "enhanced": "5.1.1", "text": "no such user", "stage": "RCPT"},
        {"id": "b", "code": 452, "enhanced": "4.2.2", "text": "mailbox full", "stage": None},
        {"id": 3, "text": None},
    ]
    octets = "\n\n".join(json.dumps(record) for record in records).encode()
    feed(monkeypatch, octets + b'\n{"id": "\\ud800", "text": "\\ud800"}\n')
    ran = world.run_bare("classify", "--jsonl")
    assert ran.status == 0
    assert [row["id"] for row in ran.rows] == ["a", "b", 3, "\ud800"]
    assert [set(row) for row in ran.rows] == [
        {"id", "category", "permanent", "suppress", "bounce_class"}
    ] * 4
    assert (ran.rows[0]["bounce_class"], ran.rows[1]["bounce_class"]) == ("hard", "soft")
    assert (ran.rows[0]["suppress"], ran.rows[1]["permanent"]) == (True, False)


@pytest.mark.parametrize("arguments", [["-"], ["--jsonl", "-"], ["--jsonl"]])
def test_standard_input_may_mix_replies_and_objects(
    world: World, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    feed(monkeypatch, f'{REPLY}\n\n{{"id": 7, "text": "{REPLY}"}}\n[192.0.2.1] said no\n'.encode())
    ran = world.run_bare("classify", *arguments)
    assert (ran.status, [row["id"] for row in ran.rows]) == (0, ["-:1", 7, "-:4"])
    assert [row["category"] for row in ran.rows][:2] == ["bad_mailbox", "bad_mailbox"]


@pytest.mark.parametrize("line", [b"{550 no", b'{"id": \xff}', b'{"id": ' + b"[" * 100_000])
def test_input_that_is_not_jsonl_is_65(
    world: World, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    feed(monkeypatch, b'{"id": 1, "text": "550 x"}\n' + line + b"\n")
    ran = world.run_bare("classify", "--jsonl")
    assert (ran.status, len(ran.rows)) == (os.EX_DATAERR, 1)
    assert ran.err.startswith("relayd: line 2 of the input")


@pytest.mark.parametrize("arguments", [[], [REPLY, REPLY]], ids=["none", "two"])
def test_it_takes_one_reply(world: World, arguments: list[str]) -> None:
    assert world.run_bare("classify", *arguments).status == os.EX_USAGE


OWN_RULE = '[[rule]]\nid = "own"\ncategory = "policy"\ntext = "no such user"\n'


def own_rules(world: World, text: str = OWN_RULE) -> None:
    folder = world.folder / "rules.d"
    folder.mkdir()
    (folder / "10-own.toml").write_text(text)


def test_own_rules_come_first(world: World, tmp_path: Path) -> None:
    """Of the settings that `-c` names, before or after the command; for mails as for replies."""
    own_rules(world)
    for ran in (
        world.run("classify", REPLY, "--explain", "--json"),
        world.run_bare("classify", "-c", str(world.settings), REPLY, "--explain", "--json"),
    ):
        assert [row["rule"] for row in ran.rows] == ["own"]
    bounce = tmp_path / "bounce.eml"
    bounce.write_bytes(DSN)
    (row,) = world.run_bare("parse-bounce", str(bounce), "-c", str(world.settings)).rows
    (recipient,) = row["recipients"]
    assert (recipient["category"], recipient["suppress"]) == ("policy", False)


def test_own_rules_need_no_good_settings(world: World) -> None:
    """A secret that its reader may not read must not be in the way of a question."""
    own_rules(world)
    world.settings.write_text("nonsense [")
    assert world.run("classify", REPLY, "--explain", "--json").rows[0]["rule"] == "own"


def test_without_settings_the_default_folder_counts(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_folder := tmp_path / "etc").mkdir()
    monkeypatch.setattr("relayd.cli.context.DEFAULT_SETTINGS", str(own_folder / "relayd.toml"))
    absent = str(tmp_path / "absent" / "relayd.toml")
    for arguments in ((), ("-c", absent)):
        (row,) = world.run_bare("classify", REPLY, "--explain", "--json", *arguments).rows
        assert row["rule"] == "bad-mailbox-words"
    (own_folder / "rules.d").mkdir()
    (own_folder / "rules.d" / "a.toml").write_text(OWN_RULE)
    for arguments in ((), ("-c", absent)):
        (row,) = world.run_bare("classify", REPLY, "--explain", "--json", *arguments).rows
        assert row["rule"] == "own"


@pytest.mark.parametrize("command", ["classify", "parse-bounce"])
def test_a_mistake_in_own_rules_is_78(world: World, command: str) -> None:
    own_rules(world, OWN_RULE.replace("policy", "bad luck"))
    ran = world.run(command, REPLY)
    assert (ran.status, ran.out) == (os.EX_CONFIG, "")
    assert "rules.d/10-own.toml: rule[0].category" in ran.err


DSN = b"""\
From: <>
To: app@app.test
Content-Type: multipart/report; report-type=delivery-status; boundary=x

--x
Content-Type: text/plain

Sorry.
--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; a@example.org
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

--x--
"""


def test_parse_bounce_gives_a_line_per_file(world: World, tmp_path: Path) -> None:
    bounce, other = tmp_path / "bounce.eml", tmp_path / "other.eml"
    bounce.write_bytes(DSN)
    other.write_bytes(b"Subject: hello\n\nhello\n")
    ran = world.run_bare("parse-bounce", str(bounce), str(tmp_path / "absent"), str(other))
    assert ran.status == os.EX_NOINPUT
    assert ran.err == f"relayd: {tmp_path}/absent: No such file or directory\n"
    first, second = ran.rows
    assert first == {
        "id": str(bounce),
        "kind": "bounce",
        "recipients": [
            {
                "address": "a@example.org",
                "status": "5.1.1",
                "category": "bad_mailbox",
                "suppress": True,
            }
        ],
    }
    assert second == {"id": str(other), "kind": "notbounce", "recipients": []}
    assert world.run_bare("parse-bounce", str(bounce)).status == 0
    assert world.run_bare("parse-bounce").status == os.EX_USAGE


@pytest.mark.parametrize("reply", ["250 ok", "354", " 250-2.1.5 ok"])
def test_reply_that_is_not_negative_is_64(world: World, reply: str) -> None:
    ran = world.run_bare("classify", reply)
    assert (ran.status, ran.out) == (os.EX_USAGE, "")
    assert "not negative" in ran.err


@pytest.mark.parametrize("reply", ["2500 mails are too many", "mailbox full"])
def test_words_without_a_code_are_classified(world: World, reply: str) -> None:
    assert world.run_bare("classify", reply).status == 0
