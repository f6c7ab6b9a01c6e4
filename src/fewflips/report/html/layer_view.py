"""One layer opened on the page: its streams, bits, orders and bill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fewflips.records.optimization import EnergyComparison, LayerResult, OptimizeReport, PortResult
from fewflips.report.bill_words import DATAPATH, WHOLE, shown_lines
from fewflips.report.energy_words import optimized_energy
from fewflips.report.numbers import (
    ABSENT,
    above_bound,
    as_energy,
    as_percent,
    as_ratio,
    energy_ratio,
    flip_rate,
    reduction,
    telling_names,
    with_thin_spaces,
)

BIT_WIDTH = 22
"""Room of a bit in its chart, in user units."""
BIT_HEIGHT = 60
"""Height of a bit that flips in each transition."""


@dataclass(frozen=True)
class BitBar:
    """How often one bit flips.

    Parameters
    ----------
    bit : int
        Its position, 0 the least significant.
    left : int
        Where its room begins, the most significant first.
    before, after : float
        Flips per transition.
    """

    bit: int
    left: int
    before: float
    after: float


@dataclass(frozen=True)
class StreamView:
    """One operand stream of a layer.

    Parameters
    ----------
    name : str
        The port.
    figures : list of (str, str, str)
        Quantity; before; after, empty where there is but one figure.
    bits : list of BitBar
        Most significant first.
    """

    name: str
    figures: list[tuple[str, str, str]]
    bits: list[BitBar]


@dataclass(frozen=True)
class LayerView:
    """What the page shows of a layer that is opened.

    Parameters
    ----------
    number : int
        Its place in the table.
    name : str
        The part of its name that tells it apart.
    shape : str
        Operator and loop sizes in words.
    streams : list of StreamView
        Weights, and activations where they were measured.
    order : str
        Orders and their proof in a sentence.
    bill : list of (str, str, str, str)
        Part; before; after; reduction. Empty where energy was not simulated.
    """

    number: int
    name: str
    shape: str
    streams: list[StreamView]
    order: str
    bill: list[tuple[str, str, str, str]]


def layer_views(report: OptimizeReport) -> list[LayerView]:
    """Every layer, opened.

    Parameters
    ----------
    report : OptimizeReport
        The results.

    Returns
    -------
    list of LayerView
        In the report's order. Names are not escaped.
    """
    names = telling_names([layer.name for layer in report.layers])
    return [
        LayerView(
            number=number,
            name=name,
            shape=_shape(layer),
            streams=_streams(layer),
            order=_order(layer.weights, report),
            bill=_bill(layer.energy),
        )
        for number, (layer, name) in enumerate(zip(report.layers, names, strict=True), start=1)
    ]


def _shape(layer: LayerResult) -> str:
    sizes = f"M {with_thin_spaces(layer.m)}, N {with_thin_spaces(layer.n)}, K {with_thin_spaces(layer.k)}"
    groups = f", {with_thin_spaces(layer.groups)} groups" if layer.groups > 1 else ""
    return f"{layer.operator}: {sizes}{groups}; {with_thin_spaces(layer.macs)} MACs"


def _streams(layer: LayerResult) -> list[StreamView]:
    ports = (("weights", layer.weights), ("activations", layer.activations))
    return [StreamView(name, _figures(port), _bits(port)) for name, port in ports if port is not None]


def _figures(port: PortResult) -> list[tuple[str, str, str]]:
    before, after = port.baseline_flips, port.optimized_flips
    return [
        ("flips in one pass", with_thin_spaces(before), with_thin_spaces(after)),
        ("normalized Hamming distance", f"{flip_rate(before, port):.3f}", f"{flip_rate(after, port):.3f}"),
        ("flips at seams", with_thin_spaces(port.baseline_seam_flips), with_thin_spaces(port.optimized_seam_flips)),
        ("reduction", as_ratio(reduction(before, after)), ""),
        ("repeats in one inference", with_thin_spaces(port.repeats), ""),
        ("word transitions of a pass", with_thin_spaces(port.transitions), ""),
        ("bits of a word; registers on its way", f"{port.bits}; {port.hops}", ""),
    ]


def _bits(port: PortResult) -> list[BitBar]:
    transitions = port.transitions or 1
    before, after = port.baseline_bit_position_flips, port.optimized_bit_position_flips
    count = len(before)
    return [
        BitBar(bit, (count - 1 - bit) * BIT_WIDTH, before[bit] / transitions, after[bit] / transitions)
        for bit in reversed(range(count))
    ]


def _order(port: PortResult, report: OptimizeReport) -> str:
    where = f"; the orders are in {report.schedule.file}" if report.schedule is not None else ""
    orders = f"{with_thin_spaces(port.segments)} {'segment' if port.segments == 1 else 'segments'}"
    if port.lower_bound is None:
        return f"{orders}, no lower bound{where}."
    gap = above_bound(port.optimized_flips, port.lower_bound)
    bound = f"lower bound {with_thin_spaces(port.lower_bound)} flips, {as_percent(gap)} below"
    return f"{orders}, {with_thin_spaces(port.proven_segments)} proven optimal; {bound}{where}."


def _bill(comparison: EnergyComparison | None) -> list[tuple[str, str, str, str]]:
    if comparison is None:
        return []
    outcomes = [comparison.baseline, *filter(None, [optimized_energy(comparison)])]
    bills = [energy.bill for energy in outcomes if energy.bill is not None]
    if len(bills) != len(outcomes):
        return [_row("data", [energy.inertial.data_pj for energy in outcomes])]
    units, memories = shown_lines(bills)
    rows = [_row(line[0].name, [one.picojoules for one in line]) for line in units]
    rows.append(_row(DATAPATH, [bill.datapath_pj for bill in bills]))
    rows += [_row(line[0].name, [one.picojoules for one in line]) for line in memories]
    return [*rows, *([_row(WHOLE, [bill.whole_pj for bill in bills])] if memories else [])]


def _row(name: str, energies: Sequence[float]) -> tuple[str, str, str, str]:
    if len(energies) < 2:
        return name, as_energy(energies[0]), ABSENT, ABSENT
    return name, as_energy(energies[0]), as_energy(energies[1]), as_ratio(energy_ratio(energies[0], energies[1]))
