"""Draw the block diagram of docs/rtl.md: `python scripts/draw_column.py docs/images`."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

MEMORY, LOGIC, UNIT, INK = "#cfe3f5", "#f6c58f", "#d9ead3", "#22303c"

Box = tuple[float, float, float, float, str, str]
"""Left, bottom, width, height, color, text."""

BOXES: tuple[Box, ...] = (
    (0.2, 5.4, 2.0, 0.9, MEMORY, "passes\nlength, first, last"),
    (0.2, 3.9, 2.0, 1.1, LOGIC, "walk\nrows, passes,\nwords"),
    (3.4, 5.4, 2.0, 0.9, MEMORY, "indices\n(the schedule)"),
    (3.4, 3.9, 2.0, 1.1, LOGIC, "wait while\nthe sum is\nin the unit"),
    (6.6, 5.4, 2.0, 0.9, MEMORY, "weights\nin scheduled order"),
    (6.6, 3.95, 2.0, 0.9, MEMORY, "activations"),
    (9.8, 3.7, 2.2, 2.6, UNIT, "arithmetic\nunit\n\nlanes, tree,\npartial sum"),
    (6.6, 0.6, 2.0, 0.9, MEMORY, "partial sums"),
    (6.6, 2.0, 2.0, 0.7, LOGIC, "start, or sum"),
    (3.4, 0.6, 2.0, 0.9, LOGIC, "addresses of\nwords in the unit"),
)
ARROWS: tuple[tuple[tuple[tuple[float, float], ...], str, tuple[float, float]], ...] = (
    (((1.2, 5.4), (1.2, 5.0)), "", (0, 0)),
    (((2.2, 4.65), (2.8, 4.65), (2.8, 5.85), (3.4, 5.85)), "word", (2.78, 6.0)),
    (((4.4, 5.4), (4.4, 5.0)), "", (0, 0)),
    (((5.4, 4.65), (6.0, 4.65), (6.0, 5.85), (6.6, 5.85)), "word", (5.98, 6.0)),
    (((5.4, 4.4), (6.6, 4.4)), "", (0, 0)),
    (((8.6, 5.85), (9.8, 5.85)), "weights", (9.2, 6.0)),
    (((8.6, 4.4), (9.8, 4.4)), "activations", (9.2, 4.55)),
    (((4.4, 3.9), (4.4, 1.5)), "address", (4.9, 2.7)),
    (((5.4, 1.05), (6.6, 1.05)), "read, write", (6.0, 1.2)),
    (((7.6, 1.5), (7.6, 2.0)), "", (0, 0)),
    (((8.6, 2.35), (10.3, 2.35), (10.3, 3.7)), "partial sum", (9.45, 2.5)),
    (((11.3, 3.7), (11.3, 1.05), (8.6, 1.05)), "sum", (9.9, 1.2)),
    (((11.3, 1.05), (11.3, 0.35)), "results, with their channel", (11.0, 0.15)),
)


def draw() -> Figure:
    """Memories, controller and unit of one column, from left to right as a word passes them."""
    figure = Figure(figsize=(9.6, 5.2))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 12.6)
    axes.set_ylim(-0.1, 7.1)
    axes.axis("off")
    for left, bottom, width, height, color, text in BOXES:
        axes.add_patch(Rectangle((left, bottom), width, height, facecolor=color, edgecolor=INK))
        axes.text(left + width / 2, bottom + height / 2, text, ha="center", va="center", fontsize=9, color=INK)
    for points, label, place in ARROWS:
        for start, end in pairwise(points[:-1]):
            axes.plot(*zip(start, end, strict=True), color=INK, linewidth=1)
        axes.add_patch(FancyArrowPatch(points[-2], points[-1], arrowstyle="-|>", mutation_scale=10, color=INK))
        if label:
            axes.text(*place, label, ha="center", va="center", fontsize=8, color=INK, style="italic")
    stages = ((1.2, "s0: ask for the index"), (4.4, "s1: ask for operands and sum"), (9.0, "s2: operands enter"))
    for x, text in (*stages, (11.4, "sum leaves")):
        axes.text(x, 6.75, text, ha="center", va="center", fontsize=9, color=INK, weight="bold")
    return figure


def main() -> None:
    """Write the SVG into the folder given."""
    mpl.rcParams.update({"svg.hashsalt": "fewflips", "svg.fonttype": "none", "font.family": "sans-serif"})
    path = Path(sys.argv[1]) / "scheduled-column.svg"
    draw().savefig(path, metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
