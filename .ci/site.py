#!/usr/bin/env python3
"""Build the site of the documentation: `.ci/site.py FOLDER`, in a virtual environment with relayd.

The pages are written to be read in the repository too. So they are laid out first, in FOLDER/pages:
the pages at the root and those of `docs/` side by side, a page for each command, and the files that
a page links to. Links are turned to where things are then. A link that leads nowhere ends the build.

`--only-pages` leaves it at that, for the tests.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from relayd.cli.command import root
from relayd.cli.tools.help_pages import HelpPage, help_pages

ROOT = Path(__file__).resolve().parent.parent
START = "README.md"
AT_THE_ROOT = (START, "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")

_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")
_CODE = re.compile(r"`[^`]+`")
_SPECIAL = re.compile(r"(`[^`]+`)|([\\\[\]<>*_|])")
_ITEM = re.compile(r" *(?:[-*]|\d+\.) ")
_FENCE = re.compile(r" *```")
_IN_A_LIST = re.compile(r" {2,3}(?=\S)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only-pages", action="store_true")
    wanted = parser.parse_args()
    lay_out(wanted.folder)
    if wanted.only_pages:
        return 0
    build = [Path(sys.executable).parent / "zensical", "build", "--clean", "--strict"]
    return subprocess.run(build, cwd=wanted.folder, check=False).returncode


def lay_out(folder: Path) -> None:
    """Write FOLDER/pages and FOLDER/mkdocs.yml."""
    pages = folder / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    for source in sources():
        target = pages / place_of(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(turned(source, pages), encoding="utf-8")
    commands = list(help_pages(root))
    for page in commands:
        target = pages / command_file(page.name)
        target.parent.mkdir(exist_ok=True)
        target.write_text(command_page(page), encoding="utf-8")
    records = [each for each in sources() if each.startswith("docs/adr/")]
    listed = [f"- [{title(each)}]({Path(each).name})" for each in records]
    adr = pages / "adr" / "index.md"
    adr.write_text("\n".join(["# Decisions", "", *listed, ""]), encoding="utf-8")
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for mark, lines in {
        "commands": [f"{page.name}: {command_file(page.name)}" for page in commands],
        "decisions": [f"{title(each)!r}: {place_of(each)}" for each in records],
    }.items():
        nav = "\n".join(f"      - {line}" for line in lines)
        settings = settings.replace(f"      # {mark}: one page each", nav)
    (folder / "mkdocs.yml").write_text(settings, encoding="utf-8")


def sources() -> list[str]:
    """Return the pages of the repository, by their paths from its root."""
    docs = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return [name for name in AT_THE_ROOT if (ROOT / name).exists()] + docs


def title(source: str) -> str:
    return (ROOT / source).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def place_of(source: str) -> str:
    """Return where a page of the repository is on the site."""
    return "index.md" if source == START else source.removeprefix("docs/")


def turned(source: str, pages: Path) -> str:
    """Return the text of a page with its links, and the indents of its lists, as the site needs them."""
    here = Path(place_of(source)).parent

    def turn(found: re.Match[str]) -> str:
        text, link, anchor = found[1], found[2], found[3] or ""
        linked = os.path.normpath(Path(source).parent / link)
        if linked in sources():
            target = place_of(linked)
        elif linked == "docs/adr":
            target = "adr/index.md"
        elif (ROOT / linked).is_file():
            target = f"files/{linked}"
            (pages / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / linked, pages / target)
        elif (ROOT / linked).is_dir():
            return text  # a folder of code is no page
        else:
            target = linked  # dead: the build says so
        return f"[{text}]({os.path.relpath(target, here)}{anchor})"

    def text_of(line: str) -> str:
        if line.startswith("|"):  # GitHub wants a bar in code escaped there, the site does not
            line = _CODE.sub(lambda found: found[0].replace("\\|", "|"), line)
        return _LINK.sub(turn, line)

    text = (ROOT / source).read_text(encoding="utf-8")
    return "".join(text_of(line) if is_text else line for line, is_text in lines_of(text))


def lines_of(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each line, and if it is text and not code, as the site needs lists.

    What belongs to an item is indented by two or three blanks in the repository: the site wants
    four. A list may follow a paragraph at once there: the site wants an empty line between them.
    """
    fence, is_paragraph, is_first = None, False, True
    for line in text.splitlines(keepends=True):
        opens = _FENCE.match(line)
        if fence is None and opens:
            fence = len(opens[0]) - 3
            yield ("  " if fence else "") + line, False
        elif fence is None:
            is_item = _ITEM.match(line) is not None
            if is_item and is_paragraph:
                yield "\n", True
            is_paragraph = bool(line.strip()) and not is_item and (is_paragraph or is_first)
            yield _IN_A_LIST.sub("    ", line, count=1), True
        else:
            yield ("  " if fence and line.strip() else "") + line, False
            if opens and line.strip() == "```":
                fence, is_paragraph = None, False
        is_first = line.strip() in {"", "```"}  # the next line begins a block


def command_file(name: str) -> str:
    return f"commands/{name.replace(' ', '-')}.md"


def command_page(page: HelpPage) -> str:
    """Return what `--help` says, as a page."""
    lines = [
        f"# {page.name}",
        "",
        _text(page.summary),
        "",
        "```",
        f"{page.name} {page.usage}",
        "```",
        "",
    ]
    for paragraph in page.paragraphs:
        lines += [_text(paragraph), ""]
    if page.options:
        lines += ["## Options", "", "| option | |", "|---|---|"]
        lines += [f"| `{option}` | {_text(says)} |" for option, says in page.options]
        lines.append("")
    if page.commands:
        lines += ["## Commands", "", "| command | |", "|---|---|"]
        for name, says in page.commands:
            lines.append(f"| [`{name}`]({Path(command_file(name)).name}) | {_text(says)} |")
        lines.append("")
    if page.above is not None:
        lines += [f"See also [`{page.above}`]({Path(command_file(page.above)).name}).", ""]
    return "\n".join(lines)


def _text(text: str) -> str:
    """Escape what Markdown would read, but for `code`."""
    return _SPECIAL.sub(lambda found: found[1] or f"\\{found[2]}", text)


if __name__ == "__main__":
    sys.exit(main())
