"""How an energy was simulated, in words."""

from __future__ import annotations

from fewflips.datapath.kinds import UNIT_KINDS
from fewflips.records.energy import CellsRecord, DatapathRecord, EnergyParts, EnergySettings, LayerEnergy, WordRecord
from fewflips.records.optimization import EnergyComparison
from fewflips.report.numbers import (
    THIN_SPACE,
    as_energy,
    as_figure,
    as_percent,
    energy_ratio,
    per_mac,
    with_thin_spaces,
)
from fewflips.visible import printable

SPLIT = ("switching", "internal", "clock", "leakage", "data", "with clock")
"""Headings of :func:`split_figures`; the last two are sums."""
MEANING = "Data: switching and internal. With clock: data, clock and leakage. Inertial: glitches included."

_FORMATS = {"unsigned": "unsigned", "twos-complement": "two's complement", "sign-magnitude": "sign-magnitude"}


def how_simulated(
    settings: EnergySettings,
    datapath: DatapathRecord,
    cells: CellsRecord,
    space: str = THIN_SPACE,
    *,
    several_orders: bool = False,
) -> list[tuple[str, str]]:
    """The basis of the figures.

    Parameters
    ----------
    settings : EnergySettings
        The user's settings.
    datapath : DatapathRecord
        The arithmetic unit.
    cells : CellsRecord
        The cell library.
    space : str
        Space between a number and its unit, and between groups of digits.
    several_orders : bool
        Whether figures of several orders are shown, so that the order is not named here.

    Returns
    -------
    list of (str, str)
        A term and its explanation, with every name made printable.
    """
    return [
        ("Unit", _unit(datapath, space)),
        ("Netlist", _netlist(settings, datapath, space)),
        ("Cells", _cells(cells, space)),
        ("Wires", printable(datapath.wires)),
        ("Operands", _operands(settings, several_orders)),
        ("Clock and delays", _delays(settings, space)),
    ]


def split_figures(energy: LayerEnergy, parts: EnergyParts, space: str = THIN_SPACE) -> list[str]:
    """Figures under the headings :data:`SPLIT`, then fJ per MAC of the data and with clock."""
    kinds = (parts.switching_pj, parts.internal_pj, parts.clock_pj, parts.leakage_pj)
    sums = (parts.data_pj, parts.total_pj)
    figures = [as_energy(energy_pj, space) for energy_pj in (*kinds, *sums)]
    return figures + [as_figure(per_mac(energy_pj, energy.macs)) for energy_pj in sums]


def optimized_energy(comparison: EnergyComparison) -> LayerEnergy | None:
    """Energy in scheduled order, or of the drop-in file if no schedule was made."""
    return comparison.schedule or comparison.drop_in


def confidence(energy: LayerEnergy, space: str = THIN_SPACE) -> str:
    """Half width of the 95 % confidence interval if cycles were sampled."""
    return f"\u00b1{as_figure(energy.ci95_percent)}{space}%" if energy.sampled else "exact"


def glitches(energy: LayerEnergy, sign: str = "\u00d7") -> str | None:
    """How much glitches add to the data's energy, as a sentence; None if there is no energy."""
    ratio = energy_ratio(energy.inertial.data_pj, energy.zero_delay.data_pj)
    return None if ratio is None else f"With glitches the data takes {ratio:.2f}{sign} its energy without delays."


def _unit(datapath: DatapathRecord, space: str) -> str:
    unit = UNIT_KINDS[datapath.kind].words.format(lanes=datapath.lanes)
    words = [unit, f"weights {_word(datapath.weights)}", f"activations {_word(datapath.activations)}"]
    words.append(f"accumulator {datapath.accumulator_bits} bits")
    words.append(_multipliers(datapath))
    words += ["one sum of all terms"] if datapath.adder == "one-sum" else []
    words += ["product registers"] if datapath.product_registers else []
    words += ["partial-sum input"] if datapath.partial_sum_input else []
    words += ["register behind the adder tree"] if datapath.tree_register else []
    words += ["sums with an offset"] if datapath.offset_sums else []
    words += ["sign flags"] if datapath.sign_flags else []
    words += ["hold flags"] if datapath.hold_flags else []
    words += ["weights gated where activations are zero"] if datapath.zero_gating else []
    words += ["activations converted to sign and magnitude"] if datapath.activation_converter else []
    words += [f"bus-invert {' and '.join(datapath.bus_invert_ports)}"] if datapath.bus_invert_ports else []
    return f"{', '.join(words)}; {_grouped(datapath.units, space)} in the array"


def _multipliers(datapath: DatapathRecord) -> str:
    if datapath.adder == "bit-planes":
        return "bit planes of the activations added in pairs"
    return "Booth multipliers" if datapath.multiplier == "booth" else "multipliers as the synthesizer chooses"


def _word(word: WordRecord) -> str:
    return f"{word.bits} bits {_FORMATS[word.format]}"


def _netlist(settings: EnergySettings, datapath: DatapathRecord, space: str) -> str:
    path_ps = datapath.critical_path_ps
    slow = path_ps > 1e6 / settings.clock_mhz
    words = [
        f"{_grouped(datapath.instances, space)} cells, {_grouped(datapath.registers, space)} of them flip-flops",
        f"{_grouped(round(datapath.area_um2), space)}{space}\u00b5m\u00b2",
        f"critical path {as_figure(path_ps / 1000)}{space}ns{', longer than the clock period' if slow else ''}",
        printable(datapath.netlist),
    ]
    return "; ".join(words)


def _cells(cells: CellsRecord, space: str) -> str:
    words = [printable(cells.name), f"corner {printable(cells.corner)}"]
    words += [f"{cells.voltage_v:g}{space}V", f"{cells.temperature_c:g}{space}\u00b0C"]
    return f"{', '.join(words)} ({printable(cells.source)})"


def _operands(settings: EnergySettings, several_orders: bool) -> str:
    samples = "one inference" if settings.samples == 1 else f"the mean of {settings.samples} inferences"
    inputs = "random inputs" if settings.inputs is None else printable(settings.inputs)
    order = "natural order" if settings.schedule is None else f"orders of {printable(settings.schedule)}"
    return f"{samples} on {inputs}{'' if several_orders else f', {order}'}"


def _delays(settings: EnergySettings, space: str) -> str:
    words = [f"{settings.clock_mhz:g}{space}MHz for leakage", f"delays in steps of {settings.step_ps:g}{space}ps"]
    if settings.sampled_share < 1:
        share = as_percent(settings.sampled_share, space)
        words.append(f"{share} of the cycles simulated with delays (time limit {settings.time_limit_s:g}{space}s)")
        words.append(f"\u00b1 is 95{space}% confidence of the inertial data energy, seed {settings.seed}")
    else:
        words.append("every cycle simulated")
    return "; ".join(words)


def _grouped(number: int, space: str) -> str:
    return with_thin_spaces(number).replace(THIN_SPACE, space)
