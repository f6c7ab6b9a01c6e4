"""Charts of the HTML report, as SVG for embedding in a page.

They are drawn with matplotlib's figure objects, without pyplot. Colours are replaced by CSS variables, so that a chart
follows the page into dark mode and onto paper.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar
from xml.etree import ElementTree

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fewflips.visible import shorten_middle

_COLOURS = {
    "ink": "#1b2430",
    "muted": "#5b6675",
    "rule": "#d5dbe3",
    "before": "#b9c3d0",
    "after": "#1f6f8b",
    "bound": "#101418",
    "drop-in": "#c2410c",
    "paper": "#fdfefe",
    "before-pale": "#e2e7ed",
    "after-pale": "#a8cbd7",
    "switching": "#2f5fa8",
    "internal": "#86afdc",
    "clock": "#c9952b",
    "leakage": "#8b95a2",
    "multipliers": "#14507a",
    "adders": "#3f7fb5",
    "partial-sums": "#7fb0d6",
    "registers": "#b7d3ea",
    "weights-buffer": "#8a3b12",
    "activations-buffer": "#c2642c",
    "partial-sums-buffer": "#e09a62",
    "register-files-buffer": "#efc59f",
    "index-table-buffer": "#a34a73",
    "leakage-buffer": "#c9a9b9",
    "beyond": "#6b7f3a",
}
ENERGY_KINDS = ("switching", "internal", "clock", "leakage")
"""What energy is spent on; each kind has a colour."""
_STYLE = {
    "svg.hashsalt": "fewflips",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.edgecolor": _COLOURS["rule"],
    "axes.labelcolor": _COLOURS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": _COLOURS["rule"],
    "ytick.color": _COLOURS["rule"],
    "xtick.labelcolor": _COLOURS["muted"],
    "ytick.labelcolor": _COLOURS["ink"],
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "text.color": _COLOURS["ink"],
    "grid.color": _COLOURS["rule"],
    "grid.linewidth": 0.6,
    "patch.linewidth": 0,
}
_WIDTH = 960
_ROWS_A_COLUMN = 32
_MOST_COLUMNS = 3
_SHORTEST_AXIS = 0.01
_SPLIT_WIDTH = 620
_NARROW = 400
"""Width of charts on telephones."""
_NARROW_LABEL = 22
"""Characters that fit beside a bar there."""


@dataclass(frozen=True)
class Bar:
    """One row of a bar chart.

    Parameters
    ----------
    label : str
        Beside the bar.
    hint : str
        Shown when the pointer rests on the row.
    before, after : float
        Lengths of the bars.
    bound, drop_in : float or None
        Marks, if known.
    remark : str
        At the end of the row.
    """

    label: str
    hint: str
    before: float
    after: float
    bound: float | None = None
    drop_in: float | None = None
    remark: str = ""


@dataclass(frozen=True)
class EnergyBar:
    """One row of a chart of energies before and after.

    Parameters
    ----------
    label : str
        Beside the bars.
    hint : str
        Shown when the pointer rests on the row.
    before : tuple of float
        Energy of the data, and with clock.
    after : tuple of float or None
        The same after optimization, if known.
    drop_in : float or None
        A mark for the data energy of the drop-in file, if `after` shows something else.
    remark : str
        At the end of the row.
    """

    label: str
    hint: str
    before: tuple[float, float]
    after: tuple[float, float] | None = None
    drop_in: float | None = None
    remark: str = ""


@dataclass(frozen=True)
class SplitBar:
    """One row of a chart of what energy is spent on.

    Parameters
    ----------
    label : str
        Beside the bar.
    hint : str
        Shown when the pointer rests on the row.
    energies : tuple of float
        Energy of each kind.
    remark : str
        At the end of the row.
    kinds : tuple of str
        What each energy is spent on; every kind has a colour.
    mark : float or None
        Where to mark a subtotal.
    """

    label: str
    hint: str
    energies: tuple[float, ...]
    remark: str = ""
    kinds: tuple[str, ...] = ENERGY_KINDS
    mark: float | None = None


@dataclass(frozen=True)
class StepBar:
    """One row of a waterfall.

    Parameters
    ----------
    label : str
        Beside the bar.
    hint : str
        Shown when the pointer rests on the row.
    before : float or None
        What the step starts from; None for the first row.
    after : float
        What it leaves.
    remark : str
        At the end of the row.
    """

    label: str
    hint: str
    before: float | None
    after: float
    remark: str = ""


_Row = TypeVar("_Row", Bar, EnergyBar, SplitBar, StepBar)


def bar_rows(bars: Sequence[Bar], axis_label: str, prefix: str, alt: str, percent: bool = False) -> str:
    """Horizontal bars, before behind after, in as many columns as keep the chart on a page.

    Parameters
    ----------
    bars : sequence of Bar
        From top to bottom, then from left to right.
    axis_label : str
        What the lengths represent.
    prefix : str
        Makes the identifiers within the SVG unique on the page.
    alt : str
        What the chart shows, for those who do not see it.
    percent : bool
        Lengths are shares, shown in percent.

    Returns
    -------
    str
        Two ``<svg>`` elements, for wide screens and for narrow ones.
    """
    longest = max(length for bar in bars for length in (bar.before, bar.after, bar.drop_in or 0))
    return _rows(bars, _draw_bars, longest, axis_label, prefix, alt, percent)


def energy_rows(bars: Sequence[EnergyBar], axis_label: str, prefix: str, alt: str) -> str:
    """Pairs of bars, before above after; the pale end of each is what clock and leakage add.

    Parameters
    ----------
    bars : sequence of EnergyBar
        From top to bottom, then from left to right.
    axis_label, prefix, alt : str
        As for :func:`bar_rows`.

    Returns
    -------
    str
        Two ``<svg>`` elements, for wide screens and for narrow ones.
    """
    longest = max(max(*bar.before, *(bar.after or ()), bar.drop_in or 0) for bar in bars)
    return _rows(bars, _draw_energies, longest, axis_label, prefix, alt)


def split_rows(bars: Sequence[SplitBar], axis_label: str, prefix: str, alt: str) -> str:
    """Stacked bars of what energy is spent on.

    Parameters
    ----------
    bars : sequence of SplitBar
        From top to bottom.
    axis_label, prefix, alt : str
        As for :func:`bar_rows`.

    Returns
    -------
    str
        Two ``<svg>`` elements, for wide screens and for narrow ones.
    """
    longest = max(sum(bar.energies) for bar in bars)
    return _rows(bars, _draw_splits, longest, axis_label, prefix, alt, width=_SPLIT_WIDTH)


def step_rows(bars: Sequence[StepBar], axis_label: str, prefix: str, alt: str) -> str:
    """A waterfall: what each step leaves; a pale end is what it saved, one in another colour what it added.

    Parameters
    ----------
    bars : sequence of StepBar
        From top to bottom.
    axis_label, prefix, alt : str
        As for :func:`bar_rows`.

    Returns
    -------
    str
        Two ``<svg>`` elements, for wide screens and for narrow ones.
    """
    longest = max(max(bar.before or 0.0, bar.after) for bar in bars)
    return _rows(bars, _draw_steps, longest, axis_label, prefix, alt, width=_SPLIT_WIDTH)


def _rows(
    bars: Sequence[_Row],
    draw: Callable[[Axes, Sequence[_Row], int], None],
    longest: float,
    axis_label: str,
    prefix: str,
    alt: str,
    percent: bool = False,
    width: int = _WIDTH,
) -> str:
    """Rows of one kind, drawn for wide screens and for narrow ones; the page shows the one that fits."""
    columns = min(_MOST_COLUMNS, -(-len(bars) // _ROWS_A_COLUMN))
    wide = _drawn_rows(bars, draw, longest, axis_label, prefix, alt, percent, width, columns)
    short = [replace(bar, label=shorten_middle(bar.label, _NARROW_LABEL)) for bar in bars]
    small = _drawn_rows(short, draw, longest, axis_label, f"{prefix}-narrow", alt, percent, _NARROW, 1)
    return wide.replace("<svg", '<svg class="on-wide"', 1) + small.replace("<svg", '<svg class="on-narrow"', 1)


def _drawn_rows(
    bars: Sequence[_Row],
    draw: Callable[[Axes, Sequence[_Row], int], None],
    longest: float,
    axis_label: str,
    prefix: str,
    alt: str,
    percent: bool,
    width: int,
    columns: int,
) -> str:
    """Rows of one kind in columns, each column with an axis below."""
    rows = -(-len(bars) // columns)
    pitch = 26 if rows <= 12 else 20 if rows <= 24 else 16
    height = rows * pitch + 48
    with _drawing(width, height) as figure:
        cell = width / columns
        label_width = 210 if columns < 3 and width == _WIDTH else 150
        for column in range(columns):
            box = (column * cell + label_width, 42, cell - label_width - 52, rows * pitch)
            axes = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
            shown = bars[column * rows : (column + 1) * rows]
            draw(axes, shown, column * rows)
            _label_rows(axes, shown, rows)
            axes.set_xlim(0, max(longest, _SHORTEST_AXIS) * 1.02)
            axes.set_xlabel(axis_label)
            axes.locator_params(axis="x", nbins=4 if width == _NARROW else (8, 5, 4)[columns - 1])
            if percent:
                axes.xaxis.set_major_formatter(lambda value, _: f"{value * 100:.3g} %")
        hints = {f"row-{number}": bar.hint for number, bar in enumerate(bars)}
        return _svg(figure, prefix, alt, hints)


def bit_positions(before: Sequence[float], after: Sequence[float], prefix: str, alt: str) -> str:
    """How often each bit flips, most significant bit on the left.

    Parameters
    ----------
    before, after : sequence of float
        Share of transitions in which a bit flips, least significant bit first.
    prefix : str
        Makes the identifiers within the SVG unique on the page.
    alt : str
        What the chart shows, for those who do not see it.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    width, height = 460, 250
    count = len(before)
    with _drawing(width, height) as figure:
        axes = figure.add_axes((52 / width, 46 / height, (width - 62) / width, (height - 62) / height))
        for bit in range(count):
            at = count - 1 - bit
            group = f"bit-{bit}"
            axes.add_patch(Rectangle((at - 0.4, 0), 0.8, before[bit], color=_COLOURS["before"], gid=group))
            axes.add_patch(Rectangle((at - 0.22, 0), 0.44, after[bit], color=_COLOURS["after"], gid=group))
        axes.set_xlim(-0.6, count - 0.4)
        axes.set_ylim(0, max(0.55, *before, *after) * 1.04)
        axes.axhline(0.5, color=_COLOURS["muted"], linewidth=0.8, linestyle=(0, (3, 3)))
        axes.set_xticks(range(count), [str(count - 1 - at) for at in range(count)])
        axes.tick_params(axis="x", length=0)
        axes.yaxis.grid(True)
        axes.tick_params(axis="y", length=0, labelcolor=_COLOURS["muted"])
        axes.set_xlabel("bit (most significant at the left)")
        axes.set_ylabel("flips per transition")
        hints = {
            f"bit-{bit}": f"bit {bit}: {before[bit]:.3f} flips per transition before, {after[bit]:.3f} after"
            for bit in range(count)
        }
        return _svg(figure, prefix, alt, hints)


def _draw_bars(axes: Axes, bars: Sequence[Bar], first: int) -> None:
    for row, bar in enumerate(bars):
        group = f"row-{first + row}"
        axes.add_patch(Rectangle((0, row - 0.4), bar.before, 0.8, color=_COLOURS["before"], gid=group))
        axes.add_patch(Rectangle((0, row - 0.2), bar.after, 0.4, color=_COLOURS["after"], gid=group))
        if bar.bound is not None:
            axes.plot([bar.bound] * 2, [row - 0.42, row + 0.42], color=_COLOURS["bound"], linewidth=1.6, gid=group)
        if bar.drop_in is not None:
            _draw_drop_in(axes, bar.drop_in, row, group)


def _draw_energies(axes: Axes, bars: Sequence[EnergyBar], first: int) -> None:
    for row, bar in enumerate(bars):
        group = f"row-{first + row}"
        for colour, top, energies in (("before", row - 0.4, bar.before), ("after", row + 0.01, bar.after)):
            if energies is not None:
                data, total = energies
                axes.add_patch(Rectangle((0, top), total, 0.39, color=_COLOURS[f"{colour}-pale"], gid=group))
                axes.add_patch(Rectangle((0, top), data, 0.39, color=_COLOURS[colour], gid=group))
        if bar.drop_in is not None:
            _draw_drop_in(axes, bar.drop_in, row, group)


def _draw_splits(axes: Axes, bars: Sequence[SplitBar], first: int) -> None:
    for row, bar in enumerate(bars):
        start, group = 0.0, f"row-{first + row}"
        for kind, length in zip(bar.kinds, bar.energies, strict=True):
            axes.add_patch(Rectangle((start, row - 0.36), length, 0.72, color=_COLOURS[kind], gid=group))
            start += length
        if bar.mark is not None:
            axes.plot([bar.mark] * 2, [row - 0.46, row + 0.46], color=_COLOURS["bound"], linewidth=1.6, gid=group)


def _draw_steps(axes: Axes, bars: Sequence[StepBar], first: int) -> None:
    for row, bar in enumerate(bars):
        group = f"row-{first + row}"
        if bar.before is None:
            axes.add_patch(Rectangle((0, row - 0.36), bar.after, 0.72, color=_COLOURS["before"], gid=group))
            continue
        kept, end = min(bar.before, bar.after), max(bar.before, bar.after)
        kind = "after-pale" if bar.after <= bar.before else "drop-in"
        axes.add_patch(Rectangle((0, row - 0.36), kept, 0.72, color=_COLOURS["after"], gid=group))
        axes.add_patch(Rectangle((kept, row - 0.36), end - kept, 0.72, color=_COLOURS[kind], gid=group))
        axes.plot([bar.before] * 2, [row - 1, row + 0.36], color=_COLOURS["muted"], linewidth=0.8, gid=group)


def _draw_drop_in(axes: Axes, at: float, row: int, group: str) -> None:
    axes.plot(
        [at],
        [row],
        marker="o",
        markersize=4.5,
        gid=group,
        markerfacecolor=_COLOURS["paper"],
        markeredgecolor=_COLOURS["drop-in"],
        markeredgewidth=1.3,
        clip_on=False,
    )


def _label_rows(axes: Axes, bars: Sequence[Bar | EnergyBar | SplitBar | StepBar], rows: int) -> None:
    for row, bar in enumerate(bars):
        axes.annotate(
            bar.remark,
            (1, row),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
            color=_COLOURS["muted"],
        )
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", length=3)
    axes.xaxis.grid(True)
    axes.spines["left"].set_visible(False)


@contextmanager
def _drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure of a size in pixels, in the report's style regardless of the user's matplotlib settings."""
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(width / 72, height / 72), facecolor="none")
        FigureCanvasSVG(figure)
        yield figure


def _svg(figure: Figure, prefix: str, alt: str, hints: Mapping[str, str]) -> str:
    """The figure as an element: no XML prologue, no metadata, no namespaces, unique identifiers."""
    target = io.StringIO()
    figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(target.getvalue())
    for parent in root.iter():
        for child in [child for child in parent if _local(child.tag) == "metadata"]:
            parent.remove(child)
    for element in root.iter():
        _adapt(element, prefix, hints)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", alt)
    return ElementTree.tostring(root, encoding="unicode")


def _adapt(element: ElementTree.Element, prefix: str, hints: Mapping[str, str]) -> None:
    element.tag = _local(element.tag)
    attributes = {_local(name): value for name, value in element.attrib.items()}
    element.attrib.clear()
    for name, value in attributes.items():
        if name == "id" and value in hints:
            title = ElementTree.Element("title")
            title.text = hints[value]
            element.insert(0, title)
            continue
        element.set(name, _rewritten(name, value, prefix))


def _rewritten(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href":
        return value.replace("#", f"#{prefix}-", 1)
    if name in ("style", "fill", "stroke"):
        for colour, code in _COLOURS.items():
            value = value.replace(code, f"var(--{colour})")
    return value.replace("url(#", f"url(#{prefix}-")


def _local(name: str) -> str:
    return name.rpartition("}")[2]
