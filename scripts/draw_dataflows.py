"""Draw the pictures of docs/dataflows.md: `python scripts/draw_dataflows.py docs/images`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

STILL, STREAM, SUM, INK = "#cfe3f5", "#f6c58f", "#d9ead3", "#22303c"
ROWS, COLUMNS = 3, 3


@dataclass(frozen=True)
class Picture:
    """What to write where."""

    name: str
    title: str
    cells: tuple[str, ...]
    cell_color: str
    left: tuple[str, ...]
    left_title: str
    top: tuple[str, ...]
    top_title: str
    bottom: tuple[str, ...]
    bottom_title: str


PICTURES = (
    Picture(
        name="activation-stationary",
        title="Activation-stationary: a tile of X stands still, W streams over n",
        cells=tuple(f"X[m{c}, k{r}]" for r in range(ROWS) for c in range(COLUMNS)),
        cell_color=STILL,
        left=tuple(f"W[k{r}, n2]  W[k{r}, n1]  W[k{r}, n0]" for r in range(ROWS)),
        left_title="weights: one word a lane and cycle,\nn in the segment's order",
        top=("", "", ""),
        top_title="tile of activations, loaded once a segment",
        bottom=tuple(f"Y[m{c}, n] += sum" for c in range(COLUMNS)),
        bottom_title="each column adds its lanes to the partial sum of the n that passes by",
    ),
    Picture(
        name="weight-stationary",
        title="Weight-stationary: a tile of W stands still, X streams over m",
        cells=tuple(f"W[k{r}, n{c}]" for r in range(ROWS) for c in range(COLUMNS)),
        cell_color=STILL,
        left=tuple(f"X[m2, k{r}]  X[m1, k{r}]  X[m0, k{r}]" for r in range(ROWS)),
        left_title="activations: one word a lane and cycle,\nm in raster order",
        top=("", "", ""),
        top_title="tile of weights; the next n of the segment's order follow in each register",
        bottom=tuple(f"Y[m, n{c}] += sum" for c in range(COLUMNS)),
        bottom_title="each column adds its lanes to the partial sum of the m that passes by",
    ),
    Picture(
        name="output-stationary",
        title="Output-stationary: a tile of Y stands still, X and W stream over k",
        cells=tuple(f"Y[m{r}, n{c}]" for r in range(ROWS) for c in range(COLUMNS)),
        cell_color=SUM,
        left=tuple(f"X[m{r}, k2]  X[m{r}, k1]  X[m{r}, k0]" for r in range(ROWS)),
        left_title="activations: one word a lane and cycle,\nk in the segment's order",
        top=tuple(f"W[k2, n{c}]\nW[k1, n{c}]\nW[k0, n{c}]" for c in range(COLUMNS)),
        top_title="weights: one word a column and cycle, k in the same order",
        bottom=("", "", ""),
        bottom_title="each cell is an accumulator: it adds the product of what passes by",
    ),
)


def draw(picture: Picture) -> Figure:
    """One array of 3 x 3 cells with what enters from the left and from above."""
    figure = Figure(figsize=(8.4, 4.6))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-3.6, 4.2)
    axes.set_ylim(-1.25, 4.55)
    axes.axis("off")
    axes.text(0.3, 4.3, picture.title, ha="center", va="center", fontsize=13, color=INK, weight="bold")
    for row in range(ROWS):
        y = ROWS - 1 - row
        for column in range(COLUMNS):
            axes.add_patch(Rectangle((column, y), 0.9, 0.8, facecolor=picture.cell_color, edgecolor=INK))
            text = picture.cells[row * COLUMNS + column]
            axes.text(column + 0.45, y + 0.4, text, ha="center", va="center", fontsize=9, color=INK)
        axes.add_patch(Rectangle((-3.05, y + 0.15), 2.55, 0.5, facecolor=STREAM, edgecolor=INK))
        axes.text(-1.78, y + 0.4, picture.left[row], ha="center", va="center", fontsize=9, color=INK)
        _arrow(axes, (-0.48, y + 0.4), (-0.02, y + 0.4))
        axes.text(-3.15, y + 0.4, f"lane {row}", ha="right", va="center", fontsize=8, color=INK)
    axes.text(-1.78, -0.3, picture.left_title, ha="center", va="center", fontsize=9, color=INK, style="italic")
    _draw_columns(axes, picture)
    return figure


def _draw_columns(axes: mpl.axes.Axes, picture: Picture) -> None:
    for column in range(COLUMNS):
        if picture.top[column]:
            axes.add_patch(Rectangle((column + 0.05, 3.12), 0.8, 0.72, facecolor=STREAM, edgecolor=INK))
            axes.text(column + 0.45, 3.48, picture.top[column], ha="center", va="center", fontsize=8, color=INK)
            _arrow(axes, (column + 0.45, 3.12), (column + 0.45, 2.82))
        if picture.bottom[column]:
            _arrow(axes, (column + 0.45, -0.02), (column + 0.45, -0.3))
            axes.text(column + 0.45, -0.45, picture.bottom[column], ha="center", va="center", fontsize=8, color=INK)
    axes.text(
        1.45, 4.0 if picture.top[0] else 3.05, picture.top_title, ha="center", fontsize=9, color=INK, style="italic"
    )
    axes.text(1.45, -0.95, picture.bottom_title, ha="center", va="center", fontsize=9, color=INK, style="italic")


def _arrow(axes: mpl.axes.Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=INK))


def main() -> None:
    """Write one SVG a dataflow into the folder given."""
    mpl.rcParams.update({"svg.hashsalt": "fewflips", "svg.fonttype": "none", "font.family": "sans-serif"})
    folder = Path(sys.argv[1])
    for picture in PICTURES:
        draw(picture).savefig(folder / f"{picture.name}.svg", metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
