"""The findings of `relayd doctor` for people: a table on a terminal, tab-separated text in a pipe."""

import sys
from collections.abc import Sequence

from relayd.cli.output import paint, printable, show_table
from relayd.policy.doctor.finding import Finding, Level, has_failed, tally

TITLES = ("LEVEL", "CHECK", "OF", "REASON", "REMEDY")
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
        _show_rich(findings)
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


def _show_rich(findings: Sequence[Finding]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in TITLES[:2]:
        table.add_column(title, no_wrap=True)
    table.add_column("OF", overflow="fold", max_width=32)
    table.add_column("REASON", overflow="fold")
    for finding in findings:
        colour = _COLOURS[finding.level]
        level, check, subject, reason, remedy = (printable(cell) for cell in _cells(finding))
        words = Text(reason)
        if remedy:
            words.append(f"\n→ {remedy}", style="bold" if finding.level is Level.FAIL else "dim")
        table.add_row(Text(level, style=colour), check, Text(subject), words)
    Console(highlight=False).print(table)
