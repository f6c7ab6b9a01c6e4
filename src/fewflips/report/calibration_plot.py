"""A calibration as a picture: the curve, layers, blocks."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from fewflips.records.calibration import Calibration, DelayCurves, EnergyPair, NetworkComparison
from fewflips.visible import printable

_COLOURS = {"zero delay": "#1f6f8b", "inertial": "#c2410c"}
_STYLE = {
    "svg.hashsalt": "fewflips",
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


def calibration_plot(calibration: Calibration) -> str:
    """The curve with its measured points; predicted against simulated energy of layers and blocks.

    Parameters
    ----------
    calibration : Calibration
        Result of ``fewflips calibrate``; one read from a file has no individual blocks to draw.

    Returns
    -------
    str
        An SVG file.
    """
    network = calibration.network
    blocks = network is not None and len(network.blocks.blocks) > 0
    panels = 1 + (network is not None) + blocks
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(4.6 * panels, 4.4), layout="constrained", facecolor="white")
        FigureCanvasSVG(figure)
        axes = [figure.add_subplot(1, panels, place + 1) for place in range(panels)]
        _draw_curve(axes[0], calibration)
        if network is not None:
            _draw_layers(axes[1], network)
            if blocks:
                _draw_blocks(axes[2], network)
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    return target.getvalue()


def _draw_curve(axes: Axes, calibration: Calibration) -> None:
    lanes = calibration.datapath.lanes
    streaming = "activations" if calibration.held_operand == "weights" else "weights"
    for name, curves in (("zero delay", calibration.zero_delay), ("inertial", calibration.inertial)):
        nhd, points, curve = _held(curves, streaming)
        axes.plot(nhd, np.array(curve) / lanes, color=_COLOURS[name], label=name)
        axes.plot(nhd, np.array(points) / lanes, "o", markersize=4, color=_COLOURS[name])
    axes.set_xlabel(f"NHD of the {streaming}, bits weighted by cost")
    axes.set_ylabel("fJ per lane and cycle")
    axes.set_title(printable(f"{calibration.accelerator.name}, {calibration.cells.name}"), fontsize=10)
    axes.set_ylim(0)
    axes.legend(frameon=False)


def _held(curves: DelayCurves, streaming: str) -> tuple[Sequence[float], Sequence[float], Sequence[float]]:
    """Places, points and curve with the other operand held."""
    surface = curves.first
    if streaming == "activations":
        return curves.activations.weighted_nhd, surface.simulated_fj[0], surface.curve_fj[0]
    return curves.weights.weighted_nhd, [row[0] for row in surface.simulated_fj], [row[0] for row in surface.curve_fj]


def _draw_layers(axes: Axes, network: NetworkComparison) -> None:
    for order, marker in zip(network.orders, ("o", "x"), strict=False):
        for name in _COLOURS:
            known = [layer for layer in order.layers if layer.macs]
            work = np.array([layer.macs for layer in known]) / 1e3
            found = np.array([_energy(layer.simulated, name) for layer in known]) / work
            expected = np.array([_energy(layer.predicted, name) for layer in known]) / work
            axes.plot(
                found, expected, marker, markersize=4, color=_COLOURS[name], label=f"{order.order}, {name}", alpha=0.7
            )
    _finish(axes, "layers", "fJ/MAC")


def _draw_blocks(axes: Axes, network: NetworkComparison) -> None:
    blocks = network.blocks.blocks
    for name in _COLOURS:
        found = [_energy(block.simulated, name) for block in blocks]
        axes.plot(
            found,
            [_energy(block.predicted_from_flips, name) for block in blocks],
            "x",
            markersize=3,
            color=_COLOURS[name],
            alpha=0.35,
            label=f"from flips alone, {name}",
        )
        expected = [_energy(block.predicted, name) for block in blocks]
        axes.plot(found, expected, "o", markersize=3, color=_COLOURS[name], alpha=0.7, label=f"all terms, {name}")
    _finish(axes, f"blocks of {network.blocks.cycles} cycles", "pJ per unit cycle")


def _finish(axes: Axes, title: str, unit: str) -> None:
    end = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([0, end], [0, end], color="#5b6675", linewidth=0.8, linestyle=(0, (3, 3)))
    axes.set_xlim(0, end)
    axes.set_ylim(0, end)
    axes.set_xlabel(f"simulated, {unit}")
    axes.set_ylabel(f"predicted, {unit}")
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False, fontsize=8)


def _energy(pair: EnergyPair, name: str) -> float:
    return pair.inertial_data_pj if name == "inertial" else pair.zero_delay_data_pj
