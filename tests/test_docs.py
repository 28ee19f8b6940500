"""The documentation names what the code has: events, log fields, commands, exit statuses, links."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import relayd
from relayd.cli.command import _EXIT_STATUS, root
from relayd.errors import RelaydError
from relayd.mail.operator import Action
from relayd.mail.words import EventKind
from relayd.policy.doctor.finding import Check, Level
from relayd.ports import outward
from relayd.ports.view import Status

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SECURITY = ROOT / "SECURITY.md"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def text_of(name: str) -> str:
    return (DOCS / name).read_text()


@pytest.mark.parametrize("kind", EventKind)
def test_every_event_is_documented(kind: EventKind) -> None:
    assert f"`{kind}`" in text_of("events.md")


@pytest.mark.parametrize("status", Status)
def test_every_status_is_in_the_readme(status: Status) -> None:
    assert f"| `{status}` |" in (ROOT / "README.md").read_text()


def test_every_operational_event_is_documented() -> None:
    """Whatever is given to `log.warning("...")` and its kind has its line."""
    names = set()
    for source in (ROOT / "relayd").rglob("*.py"):
        names |= set(
            re.findall(
                r"\blog\.(?:info|warning|error|critical|exception)\(\s*\"(\w+)\"",
                source.read_text(),
            )
        )
    page = text_of("events.md")
    assert not {name for name in names if f"`{name}`" not in page}


def test_every_traced_event_is_documented() -> None:
    """Whatever is told to those who look on has its line, and nothing else is in that table."""
    names = {"smtp_sent", "smtp_received"}
    for source in (ROOT / "relayd").rglob("*.py"):
        told = r"\.(?:tell|content|about_destination)\(\s*\"(\w+)\"|\"event\": \"(\w+)\""
        names |= {one or other for one, other in re.findall(told, source.read_text())}
    section = text_of("events.md").partition("## The trace")[2].partition("## Fields")[0]
    rows = re.findall(r"(?m)^\| (`\w+`(?:, `\w+`)*) \|", section)
    assert names == {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(names) > 20


def test_every_log_field_is_documented() -> None:
    """Fields that the code writes into events stand in the table of fields."""
    written = set()
    for name in ("relayd/mail/event.py", "relayd/answers/status_line.py"):
        source = (ROOT / name).read_text()
        written |= set(re.findall(r"(?:detail|line)\[\"(\w+)\"\]", source))
        written |= set(re.findall(r"^ +\"(\w+)\": ", source, re.MULTILINE))
    page = text_of("events.md")
    assert not {field for field in written if f"`{field}`" not in page}


def test_every_command_is_documented() -> None:
    page = text_of("commands.md")
    assert not [name for name in root.commands if f"`relayd {name}" not in page]
    for name in root.list_commands(None):  # type: ignore[arg-type]  # it needs no context
        assert f"`relayd {name}" in page, name


@pytest.mark.parametrize("action", Action)
def test_every_verb_of_the_queue_is_documented(action: Action) -> None:
    assert f"| `{action}` |" in text_of("commands.md")


@pytest.mark.parametrize("name", [*Check, *Level])
def test_every_check_and_level_of_the_doctor_is_documented(name: str) -> None:
    assert f"| `{name}` " in text_of("doctor.md")


def test_every_option_of_the_doctor_is_documented() -> None:
    command = root.get_command(None, "doctor")  # type: ignore[arg-type]  # it needs no context
    assert command is not None
    shown = [option for option in command.params if not getattr(option, "hidden", False)]
    names = [name for option in shown for name in option.opts if name not in {"-c", "--config"}]
    assert not [name for name in names if f"`{name}" not in text_of("doctor.md")]


def replies_of(source: Path) -> Iterator[str]:
    """Every refusal that stands in a module, as a client reads it."""
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Constant(value=bytes() as line) if re.match(rb"[45]\d\d [^%]+\r\n$", line):
                yield line.decode().rstrip()
            case ast.Call(
                func=ast.Name(id="Reply"),
                args=[
                    ast.Constant(value=int() as code),
                    _,
                    ast.Tuple(elts=[ast.Constant(value=str() as text)]),
                ],
            ):
                yield f"{code} {text}"
            case _:
                pass


REPLIES = sorted(
    {
        reply
        for folder in ("receiver", "policy", "worker")
        for source in (ROOT / "relayd" / folder).rglob("*.py")
        for reply in replies_of(source)
    }
)


@pytest.mark.parametrize("reply", REPLIES)
def test_every_reply_to_clients_is_documented(reply: str) -> None:
    assert f"`{reply}`" in text_of("errors.md")


def test_no_other_reply_is_documented() -> None:
    written = set(re.findall(r"`([45]\d\d [^`]+)`", text_of("errors.md")))
    assert len(REPLIES) > 50
    assert written == set(REPLIES)


def test_every_error_is_documented() -> None:
    """With the exit status of a command that ends with it."""
    rows = re.findall(r"(?m)^\| ((?:`\w+`(?:, )?)+) \| (\d\d) \|", text_of("errors.md"))
    written = {
        name: int(status) for names, status in rows for name in re.findall(r"`(\w+)`", names)
    }
    kinds = {RelaydError}
    for _ in range(3):
        kinds |= {each for kind in kinds for each in kind.__subclasses__()}
    ours = {each for each in kinds if each.__module__ in (RelaydError.__module__, outward.__name__)}
    assert set(written) == {each.__name__ for each in ours - {RelaydError}}
    for each in ours - {RelaydError}:
        status = next((s for kind, s in _EXIT_STATUS if issubclass(each, kind)), os.EX_SOFTWARE)
        assert written[each.__name__] == status, each


def test_every_howto_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in (DOCS / "howto").iterdir():
        assert f"(docs/howto/{page.name})" in readme, page.name


def test_every_exit_status_is_documented() -> None:
    page = text_of("commands.md")
    for _, status in _EXIT_STATUS:
        assert f"| {status} |" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def promises() -> list[str]:
    """What the page on security promises: the rows of its tables that name a guard."""
    rows, guarded = [], False
    for line in SECURITY.read_text().splitlines():
        if not line.startswith("|"):
            guarded = False
        elif line.endswith("| guarded by |"):
            guarded = True
        elif guarded and not line.startswith("|---"):
            rows.append(line)
    return rows


@pytest.mark.parametrize("row", promises())
def test_every_promise_has_a_guard_that_exists(row: str) -> None:
    """A test in the file that is named, or a check of `.ci`."""
    *_, guards, _ = row.split("|")
    named = re.findall(r"`([^`]+)`", guards)
    assert named
    for guard in named:
        file, _, test = guard.partition("::")
        if test:
            assert re.search(rf"(?m)^(async )?def {test}\(", (ROOT / "tests" / file).read_text()), (
                guard
            )
        else:
            assert os.access(ROOT / guard, os.X_OK), guard


def test_every_attack_is_on_the_page() -> None:
    """What a newcomer finds in the folder is what the page tells, and the other way round."""
    told = set(re.findall(r"`attacks/(test_\w+\.py::test_\w+)`", SECURITY.read_text()))
    tried = {
        f"{file.name}::{test}"
        for file in (ROOT / "tests/attacks").glob("test_*.py")
        for test in re.findall(r"(?m)^(?:async )?def (test_\w+)\(", file.read_text())
    }
    controls = {
        "test_backscatter.py::test_who_may_relay_is_not_counted",
        "test_way_out.py::test_where_the_settings_allow_it_the_server_inside_is_reached",
    }
    assert told == tried - controls


def test_the_page_on_security_is_for_this_version() -> None:
    version = relayd.__version__.rpartition(".")[0]
    assert f"| {version} | yes |" in SECURITY.read_text()
    assert len(promises()) > 30
