"""The pages of the site: one for each command, every link turned, and each in the navigation.

That the generator takes them is for `.ci/run`, which builds the site.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from relayd.cli.command import root
from relayd.cli.tools.help_pages import help_pages

ROOT = Path(__file__).parent.parent
COMMANDS = list(help_pages(root))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, ROOT / ".ci/site.py", "--only-pages", folder],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return folder


def test_every_command_has_its_page(site: Path) -> None:
    """With its options, and all commands below it."""
    for page in COMMANDS:
        text = (site / "pages/commands" / f"{page.name.replace(' ', '-')}.md").read_text()
        assert text.startswith(f"# {page.name}\n")
        assert all(f"| `{option}` |" in text for option, _ in page.options), page.name
        assert all(f"[`{name}`]" in text for name, _ in page.commands), page.name


def test_no_hidden_command_has_one() -> None:
    """And no other is left out."""

    def shown(command: click.Command, context: click.Context) -> int:
        below = command.commands.values() if isinstance(command, click.Group) else ()
        return 1 + sum(shown(each, context) for each in below if not each.hidden)

    context = click.Context(root)
    listed = [root.get_command(context, name) for name in root.list_commands(context)]
    count = sum(shown(each, context) for each in listed if each is not None and not each.hidden)
    assert len(COMMANDS) == 1 + count


def test_links_lead_somewhere_on_the_site_too(site: Path) -> None:
    pages = sorted((site / "pages").rglob("*.md"))
    found = 0
    for page in pages:
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text()):
            assert (page.parent / link).exists(), (page.name, link)
            found += 1
    assert found > 100


def test_a_list_begins_after_an_empty_line(site: Path) -> None:
    """GitHub does without, and so do the pages; the site would take it for text."""
    item = re.compile(r" *(?:[-*]|\d+\.) ")
    for page in (site / "pages").rglob("*.md"):
        text = re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text())
        for block in re.split(r"\n\s*\n", text):
            first, *others = block.strip("\n").split("\n")
            assert item.match(first) or not any(map(item.match, others)), (page.name, block)


def test_every_page_is_in_the_navigation(site: Path) -> None:
    pages = site / "pages"
    have = {path.relative_to(pages).as_posix() for path in pages.rglob("*.md")}
    nav = (site / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    assert set(re.findall(r": (\S+\.md)$", nav, re.MULTILINE)) == have


@pytest.mark.parametrize(
    ("file", "line"),
    [
        # A link in the README, to a page beside it, to a file of the repository, and to a folder.
        ("index.md", "(howto/smarthost.md)"),
        ("howto/troubleshooting.md", "(../events.md#the-operational-log)"),
        ("config.md", "(files/etc/relayd.toml)"),
        ("fuzzing.md", "`tests/fuzz`"),
        # What belongs to an item of a list.
        ("config.md", "    app $argon2id$"),
    ],
)
def test_what_is_turned(site: Path, file: str, line: str) -> None:
    assert line in (site / "pages" / file).read_text()
