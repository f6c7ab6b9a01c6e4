"""Energy against accuracy as a picture."""

from __future__ import annotations

import io
from typing import Literal, NamedTuple

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from fewflips.training.pareto_points import Pair, ParetoFront
from fewflips.visible import printable

_COLOURS = {"natural": "#b9c3d0", "ordered": "#1f6f8b"}
_STYLE = {
    "svg.hashsalt": "fewflips",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#d5dbe3",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}


def pareto_plot(front: ParetoFront, kind: Literal["svg", "png"]) -> bytes:
    """Accuracy over energy, one point per strength; over flips if no energy is known.

    Parameters
    ----------
    front : ParetoFront
        The points.
    kind : {"svg", "png"}
        Format of the file.

    Returns
    -------
    bytes
        The file; the same points give the same bytes.
    """
    pairs, abscissa, unit = _abscissae(front)
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(6.4, 4.4), layout="constrained", facecolor="white", dpi=150)
        FigureCanvasSVG(figure) if kind == "svg" else FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        percents = [point.accuracy_percent for point in front.points]
        for order, label in (("natural", "natural order"), ("ordered", "best order found")):
            places = [getattr(pair, order) * unit.size for pair in pairs]
            axes.plot(places, percents, "o-", markersize=5, linewidth=1, color=_COLOURS[order], label=label)
        for point, pair in zip(front.points, pairs, strict=True):
            place = (pair.ordered * unit.size, point.accuracy_percent)
            axes.annotate(f"{point.strength:g}", place, xytext=(4, 5), textcoords="offset points", fontsize=8)
        axes.set_xlim(0)
        axes.set_xlabel(abscissa)
        axes.xaxis.set_major_formatter(EngFormatter(unit=unit.name))
        axes.set_ylabel("test accuracy, %")
        axes.set_title(printable(f"strength of the HD term, {front.accelerator}"), fontsize=10)
        axes.legend(frameon=False)
        target = io.BytesIO()
        dates = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        figure.savefig(target, format=kind, metadata=dates)
    return target.getvalue()


class _Unit(NamedTuple):
    name: str
    size: float


def _abscissae(front: ParetoFront) -> tuple[list[Pair], str, _Unit]:
    """The best known figure that all points have."""
    for name, label in (("simulated", "simulated"), ("estimated", "estimated from flips")):
        pairs = [pair for point in front.points if (pair := getattr(point, name)) is not None]
        if len(pairs) == len(front.points):
            return pairs, f"data energy of one inference, {label}", _Unit("J", 1e-12)
    return [point.flips for point in front.points], "weight flips of one inference", _Unit("", 1)
