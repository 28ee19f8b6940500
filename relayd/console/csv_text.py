"""Lines of CSV that no spreadsheet runs as formulas."""

import csv
import io
from collections.abc import Iterable

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_line(cells: Iterable[str]) -> str:
    """Return one line; a cell that would be a formula gets a `'`."""
    line = io.StringIO()
    csv.writer(line).writerow(f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells)
    return line.getvalue()
