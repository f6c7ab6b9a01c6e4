"""A column of the HTML report's table of layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

Value = int | float | str | None


@dataclass(frozen=True)
class Column:
    """One column.

    Parameters
    ----------
    key : str
        Name in the page's address when the table is sorted by this column.
    title : str
        Heading.
    group : str
        Heading above the headings.
    cells : sequence of (text, value to sort by)
        One per layer.
    total : str
        Text below the layers.
    starts_group : bool
        First column of its group.
    """

    key: str
    title: str
    group: str
    cells: Sequence[tuple[str, Value]]
    total: str = ""
    starts_group: bool = False

    @property
    def numeric(self) -> bool:
        """Whether the column is sorted numerically, largest first, and aligned right."""
        return self.key not in ("name", "operator")


def marked(table: Sequence[Column]) -> list[Column]:
    """Columns, the first of each group marked as such."""
    seen: set[str] = set()
    found = []
    for column in table:
        found.append(replace(column, starts_group=column.group not in seen))
        seen.add(column.group)
    return found
