"""`docs/webhooks.md`: its examples verify what relayd sends, and nothing else."""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from relayd.config.load import from_mapping
from relayd.console.hooks.sign import signed
from relayd.policy.console.webhook import RESTS
from relayd.policy.console.webhook_secret import secret_of
from relayd.ports.outbox import TOLD

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
BODY = '{"type":"relayd.test","data":{"ü":1}}'.encode()
OLD, NEW = (secret_of(1, generation, key=b"k" * 32) for generation in (1, 2))
Verify = Callable[[str, Mapping[str, str], bytes], bool]


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found, language
    return found


def block(language: str) -> str:
    return blocks(language)[0]


def in_python(secret: str, fields: Mapping[str, str], body: bytes) -> bool:
    names: dict[str, Any] = {}
    exec(block("python"), names)
    return bool(names["verify"](secret, fields, body))


def in_php(secret: str, fields: Mapping[str, str], body: bytes) -> bool:
    if shutil.which("php") is None:
        pytest.skip("no PHP here")
    given = json.dumps({"secret": secret, "fields": dict(fields), "body": body.decode()})
    script = (
        f"{block('php')}\n$given = json_decode(file_get_contents('php://stdin'), true);"
        "echo verify($given['secret'], $given['fields'], $given['body']) ? 'yes' : 'no';"
    )
    ran = subprocess.run(
        ["php", "-r", script], input=given, capture_output=True, text=True, check=True
    )
    assert ran.stdout in ("yes", "no"), ran
    return ran.stdout == "yes"


def fields_of(*secrets: str, ago: timedelta = timedelta()) -> dict[str, str]:
    now = datetime.now(UTC) - ago  # noqa: TID251 -- the examples look at the clock
    return dict(signed("evt_1", secrets, BODY, now=now))


@pytest.mark.parametrize("verify", [in_python, in_php])
def test_an_example_verifies_what_relayd_sends(verify: Verify) -> None:
    assert verify(OLD, fields_of(OLD), BODY)
    assert verify(OLD, fields_of(NEW, OLD), BODY)
    assert not verify(NEW, fields_of(OLD), BODY)
    assert not verify(OLD, fields_of(OLD), BODY + b" ")
    assert not verify(OLD, {**fields_of(OLD), "webhook-id": "evt_2"}, BODY)
    assert not verify(OLD, fields_of(OLD, ago=timedelta(minutes=6)), BODY)


def test_the_page_names_all_events_and_rests() -> None:
    for kind in TOLD:
        assert f"`{kind}`" in PAGE
    assert [each // 1000 for each in RESTS] == [5, 60, 300, 1800, 7200, 21600]
    assert "5 s, 1 m, 5 m, 30 m, 2 h, then 6 h" in PAGE


def test_its_settings_are_settings() -> None:
    given = [tomllib.loads(each) for each in blocks("toml")]
    assert [list(each) for each in given] == [["console"], ["webhooks"]]
    for each in given:
        from_mapping({"fqdn": "relay.firm-of-ours.com"} | each)


def test_what_is_sent_is_what_the_page_shows() -> None:
    shown = re.search(r"^\{\"type\".*?\}\}$", PAGE, re.MULTILINE | re.DOTALL)
    assert shown is not None
    body = json.loads(shown[0])
    assert set(body) == {"type", "timestamp", "data"}
    assert body["data"]["ts"] == body["timestamp"]
