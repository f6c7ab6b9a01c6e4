"""Common parts of the tables for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from fewflips.report.numbers import telling_names
from fewflips.visible import printable, shorten_middle

_NARROWEST_NAME = 12
_UNLIMITED = 1000


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Layer = TypeVar("_Layer", bound=_Named)


@dataclass(frozen=True)
class LayerName:
    """A layer's name if there is room for it; otherwise its distinguishing part, shortened in the middle.

    Parameters
    ----------
    whole : str
        As in the file.
    telling : str
        The part that distinguishes it from the others.
    """

    whole: str
    telling: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = printable(self.whole)
        name = whole if cell_len(whole) <= options.max_width else self.telling
        yield Text(shorten_middle(name, options.max_width), no_wrap=True, overflow="ellipsis")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        length = cell_len(printable(self.whole))
        return Measurement(min(length, _NARROWEST_NAME), length).clamp(max_width=options.max_width)


def named_layers(layers: Sequence[_Layer]) -> Iterator[tuple[_Layer, LayerName]]:
    """Every layer with its name for a table."""
    names = [layer.name for layer in layers]
    for layer, telling in zip(layers, telling_names(names), strict=True):
        yield layer, LayerName(layer.name, telling)


@dataclass(frozen=True)
class Fitting:
    """A table with its columns two blanks apart if there is room, otherwise one.

    Parameters
    ----------
    build : callable
        Builds the table; its argument says whether it should be dense.
    """

    build: Callable[[bool], Table]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        probe = self.build(False)
        for column in probe.columns:
            column.max_width = None if column.no_wrap else _NARROWEST_NAME
        needed = Measurement.get(console, options.update(max_width=_UNLIMITED), probe).maximum
        if needed <= options.max_width:
            yield self.build(False)
        else:
            yield from (Text(), self.build(True), Text())


def figures_table(*figures: str, label: str = "layer", numbered: bool = True, dense: bool = False) -> Table:
    """An empty table: a running number, a label, and columns of figures.

    Parameters
    ----------
    *figures : str
        Headings of the columns of figures.
    label : str
        Heading of the labels.
    numbered : bool
        Whether there is a running number.
    dense : bool
        Whether columns are one blank apart rather than two.

    Returns
    -------
    rich.table.Table
        To be filled row by row.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=not dense, padding=(0, 0 if dense else 1, 0, 0))
    if numbered:
        table.add_column("#", justify="right", no_wrap=True)
    table.add_column(label, no_wrap=not numbered)
    for figure in figures:
        table.add_column(figure, justify="right", no_wrap=True)
    return table


def add_total(table: Table, figures: Sequence[str]) -> None:
    """Add the bottom row of a numbered table."""
    table.add_section()
    table.add_row("", "total", *figures, style="bold")


def page(title: str, *below: RenderableType) -> Group:
    """A title, followed by tables and remarks, which are never interpreted as markup."""
    return Group(title_text(title), *(Text(item) if isinstance(item, str) else item for item in below))


def title_text(title: str) -> Text:
    """A heading."""
    return Text(title, style="bold")
