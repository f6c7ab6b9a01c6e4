"""Machines by two of their measures, as SVG whose points lead to what is shown of each machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewflips.records.exploration import ExplorationReport, ExploredMachine, Measure
from fewflips.report.exploration_words import MEASURE_NAMES, choices_text, measure_text
from fewflips.report.numbers import energy_unit

WIDTH, HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 16, 14, 52
_MOST_OTHERS = 4000
_LOGARITHMIC_FROM = 12.0
_SOME_TICKS = 6


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: its place in pixels, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Point:
    """A machine of the front: its place, its interval, and its number."""

    x: float
    y: float
    x_half: float
    y_half: float
    index: int
    hint: str


@dataclass(frozen=True)
class Chart:
    """All that a template draws.

    Parameters
    ----------
    x_label, y_label : str
        Below and beside the axes.
    x_ticks, y_ticks : list of Tick
        Marks of the axes.
    others : list of tuple of float
        Places of machines that are not on the front.
    points : list of Point
        Those that are, from left to right.
    steps : str
        The line that bounds what they dominate, as a path; empty for more than two objectives, where points are not
        in order.
    """

    x_label: str
    y_label: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    others: list[tuple[float, float]]
    points: list[Point]
    steps: str


def charts_of(report: ExplorationReport) -> list[Chart]:
    """The first objective against each other one; against the area, if there is no other.

    Parameters
    ----------
    report : ExplorationReport
        Result of ``fewflips explore``.

    Returns
    -------
    list of Chart
        Empty if no machine was evaluated.
    """
    first, *rest = report.objectives
    others: list[Measure] = list(rest) or ["area_um2" if first != "area_um2" else "whole_pj"]
    return [_chart(report, other, first) for other in others] if report.machines else []


def _chart(report: ExplorationReport, x_name: Measure, y_name: Measure) -> Chart:
    shown = [machine for machine in report.machines if machine.allowed] or list(report.machines)
    x_axis = _Axis(x_name, shown, _LEFT, WIDTH - _RIGHT)
    y_axis = _Axis(y_name, shown, HEIGHT - _BOTTOM, _TOP)
    points = [_point(machine, x_axis, y_axis) for machine in report.front]
    points.sort(key=lambda point: (point.x, point.index))
    in_order = len(report.objectives) == 2
    return Chart(
        x_label=x_axis.label,
        y_label=y_axis.label,
        x_ticks=x_axis.ticks,
        y_ticks=y_axis.ticks,
        others=[
            (round(x_axis.place(machine), 1), round(y_axis.place(machine), 1))
            for machine in [machine for machine in shown if not machine.on_front][:_MOST_OTHERS]
        ],
        points=points,
        steps=_steps(points) if in_order else "",
    )


def _point(machine: ExploredMachine, x_axis: _Axis, y_axis: _Axis) -> Point:
    figures = ", ".join(
        f"{MEASURE_NAMES[axis.name]} {measure_text(machine.measures, axis.name)}" for axis in (y_axis, x_axis)
    )
    return Point(
        x=round(x_axis.place(machine), 1),
        y=round(y_axis.place(machine), 1),
        x_half=round(x_axis.half_width(machine), 1),
        y_half=round(y_axis.half_width(machine), 1),
        index=machine.index,
        hint=f"machine {machine.index}: {choices_text(machine)}: {figures}",
    )


def _steps(points: Sequence[Point]) -> str:
    path = [f"M{points[0].x:g} {points[0].y:g}"] if points else []
    for before, after in pairwise(points):
        path.append(f"L{after.x:g} {before.y:g} L{after.x:g} {after.y:g}")
    return " ".join(path)


class _Axis:
    """Where values lie between two pixels; logarithmic where they differ by more than an order of magnitude."""

    def __init__(self, name: Measure, machines: Sequence[ExploredMachine], start: float, end: float) -> None:
        values = [float(getattr(machine.measures, name)) for machine in machines]
        self.name = name
        self._start, self._end = start, end
        self._size, unit = _unit(name, max(values))
        low, high = min(values) / self._size, max(values) / self._size
        self._is_logarithmic = low > 0 and high / low > _LOGARITHMIC_FROM
        margin = 0.06 * ((math.log(high) - math.log(low)) if self._is_logarithmic else (high - low)) or 0.06 * high or 1
        self._low = (math.log(low) if self._is_logarithmic else low) - margin
        self._high = (math.log(high) if self._is_logarithmic else high) + margin
        scale = ", logarithmic" if self._is_logarithmic else ""
        self.label = f"{MEASURE_NAMES[name]}{f' ({unit}{scale})' if unit or scale else ''}"

    @property
    def ticks(self) -> list[Tick]:
        """Round values."""
        values = self._powers() if self._is_logarithmic else self._multiples()
        return [Tick(round(self._at(value), 1), f"{value:g}") for value in values]

    def place(self, machine: ExploredMachine) -> float:
        """Where a machine lies, in pixels."""
        return self._at(getattr(machine.measures, self.name) / self._size)

    def half_width(self, machine: ExploredMachine) -> float:
        """Half of a machine's interval, in pixels."""
        if self.name not in ("whole_pj", "datapath_pj"):
            return 0.0
        value = getattr(machine.measures, self.name)
        return abs(self._at((value + machine.measures.half_width_pj) / self._size) - self._at(value / self._size))

    def _at(self, value: float) -> float:
        scaled = math.log(value) if self._is_logarithmic else value
        return self._start + (self._end - self._start) * (scaled - self._low) / (self._high - self._low)

    def _multiples(self) -> list[float]:
        step = _round_step((self._high - self._low) / _SOME_TICKS)
        first = math.ceil(self._low / step)
        return [round(number * step, 12) for number in range(first, math.floor(self._high / step) + 1)]

    def _powers(self) -> list[float]:
        exponents = range(math.floor(self._low / math.log(10)) - 1, math.ceil(self._high / math.log(10)) + 1)
        values = [factor * 10.0**exponent for exponent in exponents for factor in (1, 2, 5)]
        return [value for value in values if self._low <= math.log(value) <= self._high]


def _unit(name: Measure, largest: float) -> tuple[float, str]:
    if name in ("whole_pj", "datapath_pj"):
        return energy_unit(largest)
    if name == "area_um2":
        return 1e6, "mm\u00b2"
    if name == "index_table_bits":
        return (1e3, "kbit") if largest >= 1e4 else (1.0, "bit")
    return 1.0, {"latency_us": "us", "critical_path_ns": "ns", "slack_ns": "ns"}.get(name, "")


def _round_step(step: float) -> float:
    """The next larger step of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)
