"""The findings of `relayd doctor` for people: a table on a terminal, tab-separated text in a pipe."""

import sys
from collections.abc import Sequence

from relayd.cli.output import paint, printable, show_table
from relayd.cli.table import Column, coloured, folded, lay_out, screen_width
from relayd.policy.doctor.finding import Finding, Level, has_failed, tally

TITLES = ("LEVEL", "CHECK", "OF", "REASON", "REMEDY")
_INDENT = " " * 7
_COLUMNS = (
    Column(title="LEVEL", whole=True),
    Column(title="CHECK", whole=True),
    Column(title="OF", goes=1, least=10),
    Column(title="REASON", least=20),
)
_COLOURS = {
    Level.OK: "green",
    Level.WARN: "yellow",
    Level.FAIL: "red",
    Level.UNKNOWN: "magenta",
    Level.SKIPPED: "bright_black",
}


def show_findings(findings: Sequence[Finding]) -> None:
    """Print one row for each finding; on a terminal the remedy is below the reason."""
    if sys.stdout.isatty():
        _show_on_terminal(findings)
        return
    show_table(TITLES, (_cells(finding) for finding in findings))


def summary(findings: Sequence[Finding]) -> str:
    """Return the number of findings of each level, and whether a check failed."""
    counted = ", ".join(f"{count} {level}" for level, count in tally(findings).items() if count)
    verdict = "something failed" if has_failed(findings) else "nothing failed"
    return paint(f"{verdict}: {counted}", "red" if has_failed(findings) else "green")


def _cells(finding: Finding) -> tuple[str, ...]:
    return (
        finding.level.value,
        finding.check.value,
        finding.subject,
        finding.reason,
        finding.remedy,
    )


def _show_on_terminal(findings: Sequence[Finding]) -> None:
    """Print a line for each; below one that wants something done, what is wrong and what to do, in full."""
    space = screen_width()
    rows = [[printable(cell) for cell in _cells(finding)] for finding in findings]
    styles = [[_COLOURS[finding.level], "", "", ""] for finding in findings]
    titles, *lines = lay_out(_COLUMNS, [row[:4] for row in rows], styles, space=space)
    print(titles)
    for finding, row, line in zip(findings, rows, lines, strict=True):
        print(line)
        wants = finding.level in (Level.FAIL, Level.WARN)
        if wants and not line.endswith(row[3]):
            _print_below(row[3], "  ", "", space)
        if finding.remedy:
            _print_below(row[4], "→ ", "bold" if finding.level is Level.FAIL else "dim", space)


def _print_below(text: str, mark: str, style: str, space: int) -> None:
    """Print a text below a line, on as many lines as it takes."""
    parts = folded(text, max(space - len(_INDENT) - len(mark), 8))
    for number, part in enumerate(parts):
        print(_INDENT + coloured((" " * len(mark) if number else mark) + part, style))
