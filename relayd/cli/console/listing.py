"""A list as the commands of `relayd console` show it: a table for people, fields for programs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from relayd.cli.ages import Times, times_for
from relayd.cli.output import Form, say_empty, show_fields, show_table
from relayd.cli.table import Column, TableOptions

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[T]):
    """What a kind of rows looks like."""

    columns: Sequence[Column]
    cells: Callable[[T, Times], Sequence[str]]
    names: Sequence[str]  # of the fields
    fields: Callable[[T], Mapping[str, object]]
    none: str  # is said when there is no row

    def show(self, found: Sequence[T], form: Form, table: TableOptions) -> int:
        """Print the rows; return how many there are."""
        if form is Form.TABLE:
            times = times_for(table)
            show_table(self.columns, (self.cells(each, times) for each in found), table=table)
        else:
            show_fields(map(self.fields, found), self.names, form)
        if not found:
            say_empty(self.none)
        return len(found)
