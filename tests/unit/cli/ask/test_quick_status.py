"""The plain form of `relayd status`: the same answer as the full command's, or none at all."""

import json
import os
import subprocess
import sys

import pytest

from relayd.cli.ask import quick_status
from relayd.cli.ask.quick_status import answer
from relayd.errors import StoreUnavailable
from relayd.mail.envelope import NewMessage
from tests.support.builders import a_message
from tests.support.cli_world import STOPPED_LINE, World, enqueue
from tests.support.pointers import without_pointers

PLAIN = [
    ["status"],
    ["status", "--recipient", "a@x.test"],
    ["status", "--recipient=a@x.test", "--json"],
    ["status", "--recipient", "A@X.TEST", "--recipient", "b@x.test"],
    ["status", "--domain", "x.test", "--limit", "2"],
    ["status", "--limit", "0", "--domain=x.test"],
    ["status", "--limit=1", "--json"],
    ["status", "--sender", "app@app.test", "--tag", "news"],
    ["status", "--message-id", "1@app.test"],
    ["status", "--recipient", "nobody=here@x.test"],
    ["status", "--recipient=nobody=here@x.test"],
    ["status", "--recipient", "status@z.test"],
    ["status", "--tag", "status"],
    ["status", "--tag", "news", "--tag", "other", "--domain", "x.test", "--domain", "z.test"],
    ["status", "--json"],
    ["status", "--recipient", "nobody@x.test"],
    ["status", "--recipient", "nobody@x.test", "--json"],
]

NOT_PLAIN = [
    [],
    ["status", "--help"],
    ["status", "show", "0000000000000"],
    ["status", "status"],
    ["status", "--watch"],
    ["status", "--csv"],
    ["status", "--fail-empty"],
    ["status", "--status", "bounced"],
    ["status", "--since", "7d"],
    ["status", "--recipient"],
    ["status", "--recipient", ""],
    ["status", "--recipient="],
    ["status", "--recipient", "a\x07@x.test"],
    ["status", "--recipient", "<a@x.test>"],
    ["status", "--sender", "<>"],
    ["status", "--recipient", "--json"],
    ["status", "--recip", "a@x.test"],
    ["status", "--recipient", "status"],
    ["status", "--recipient", "@x.test"],
    ["status", "--recipient", "*@x.test"],
    ["status", "--recipient", "a@*.test"],
    ["status", "--recipient", "a@x.test", "--recipient", "a@"],
    ["status", "--sender", "@x.test"],
    ["status", "--domain", "*.test"],
    ["status", "--domain", "@x.test"],
    ["status", "--domain", ".test"],
    ["status", "--message-id", "0CNA0NJ6E0401"],
    ["status", "--limit", "1", "--limit", "2"],
    ["status", "--limit", "-1"],
    ["status", "--limit", "many"],
    ["status", "--limit", "٣"],
    ["status", "--limit", "9" * 5000],
    ["status", "a@x.test"],
    ["status", "-ca.toml"],
    ["--json", "status"],
    ["--recipient", "a@x.test", "status"],
    ["-c", "status"],
    ["queue", "list"],
    ["man", "status"],
]


@pytest.fixture
async def filled(world: World) -> None:
    store = world.open_store()
    messages: list[NewMessage] = [
        a_message("a@x.test", "b@x.test", message_id_header="<1@app.test>", tag="news"),
        a_message("a@x.test", "nobody=here@x.test"),
        a_message("status@z.test", "é@x.test"),
    ]
    await enqueue(store, *messages)
    await store.close()


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("arguments", PLAIN, ids=" ".join)
def test_the_same_answer(world: World, arguments: list[str]) -> None:
    expected = world.run(*arguments)
    assert expected.status == 0
    for given in (
        ["-c", str(world.settings), *arguments],
        [*arguments, "--config", str(world.settings)],
        [f"--config={world.folder}/other.toml", *arguments, "-c", str(world.settings)],
    ):
        assert answer(given) == 0
        printed = world.readouterr()
        assert (printed.out, printed.err) == (expected.out, expected.err)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("arguments", NOT_PLAIN, ids=lambda words: " ".join(words)[:40])
def test_no_answer(world: World, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAYD_CONFIG", str(world.settings))
    assert answer(arguments) is None
    printed = world.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.usefixtures("filled")
def test_the_environment_names_the_settings(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAYD_CONFIG", str(world.settings))
    assert answer(["status", "--json"]) == 0
    assert len(world.readouterr().out.splitlines()) == 6


def test_a_store_that_is_not_there_is_not_its_affair(world: World) -> None:
    arguments = ["-c", str(world.settings), "status"]
    assert answer(arguments) is None
    world.settings.write_text("[store]\nurl = 5\n")
    assert answer(arguments) is None
    assert world.readouterr().out == ""


def test_a_store_that_cannot_be_opened_is_tried_once(world: World) -> None:
    (world.folder / "queue.db").mkdir()
    expected = world.run("status")
    assert answer(["-c", str(world.settings), "status"]) == expected.status == os.EX_TEMPFAIL
    assert without_pointers(world.readouterr().err) == (expected.err, expected.pointers)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("where", ["open_view", "list_recipients"])
@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (
            StoreUnavailable("the disk is gone"),
            os.EX_TEMPFAIL,
            "relayd: the disk is gone (relayd explain StoreUnavailable)\n",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_end_in_the_middle(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    error: BaseException,
    status: int,
    said: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(quick_status, where, fail)
    assert answer(["-c", str(world.settings), "status"]) == status
    assert world.readouterr().err.removeprefix(STOPPED_LINE) == said


@pytest.mark.usefixtures("filled", "unmeasured")
def test_a_process_answers_without_click(world: World) -> None:
    unwanted = (
        "click rich pydantic asyncio orjson relayd.mail.envelope relayd.mail.outcome relayd.ports.queue"
        " shutil bz2 lzma zlib relayd.mail.pause relayd.mail.tally relayd.store.sqlite.replacing"
    )
    code = (
        "import sys; from relayd.__main__ import main\n"
        "try: main()\n"
        f"finally: print([name for name in {unwanted.split()} if name in sys.modules])"
    )
    arguments = ["-c", str(world.settings), "status", "--json", "--recipient", "b@x.test"]
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    row, found = ran.stdout.splitlines()
    assert json.loads(row)["rcpt"] == "b@x.test"
    assert found == "[]"


@pytest.mark.usefixtures("filled")
def test_a_reader_that_goes_away_is_no_traceback(world: World) -> None:
    """`relayd status | head -1` ends quietly."""
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [sys.executable, "-m", "relayd", "-c", str(world.settings), "status"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=30,
    )
    os.close(write)
    assert (ran.returncode, ran.stderr) == (1, STOPPED_LINE)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("arguments", [["status"], ["queue", "list"]])
def test_json_is_json_where_the_locale_knows_ascii_alone(
    world: World, arguments: list[str]
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "relayd", "-c", str(world.settings), *arguments, "--json"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert "é@x.test" in {json.loads(line)["rcpt"] for line in ran.stdout.splitlines()}
