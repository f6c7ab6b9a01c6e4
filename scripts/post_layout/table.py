"""The figures as Markdown, and putting them into the page that explains them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fewflips.errors import InputError
from fewflips.files.atomic import atomic_write
from fewflips.records.energy import EnergyParts, LayerEnergy
from fewflips.report.markdown.escaping import inline
from fewflips.report.numbers import telling_names

from .comparison import Comparison
from .layout import HEAVY, LayoutFigures

BEGIN, END = "<!-- table: post-layout -->", "<!-- end of table: post-layout -->"
NO_WIRES, FANOUT = "before, no wires", "before, by fanout"
LEF, MAGIC, HEAVIER = "after, LEF", "after, magic", f"after, {HEAVY} x LEF"
_PJ_PER_UJ = 1e6
_MODES = (("zero_delay", "zero delay"), ("inertial", "inertial"))
_SHARES = (("data_pj", "data only"), ("total_pj", "with clock and leakage"))


def page_with(page: str, figures: str) -> str:
    """A page whose figures, between the two marks, are replaced.

    Raises
    ------
    InputError
        If the page lacks the marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"page for the figures: expected {BEGIN} and {END} in it, got neither or one: put them back")
    return f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}"


def write_figures(path: Path, figures: str) -> None:
    """Replace the figures of a page, in one step."""
    atomic_write(path, page_with(path.read_text(encoding="utf-8"), figures).encode())


def figures_text(layout: LayoutFigures, comparisons: Mapping[str, Comparison]) -> str:
    """All figures.

    Parameters
    ----------
    layout : LayoutFigures
        Of the column.
    comparisons : mapping of str to Comparison
        For each estimate of the wires, from `NO_WIRES` to `HEAVIER`.

    Returns
    -------
    str
        Markdown.
    """
    sections = (
        ("The layout", layout_table(layout)),
        ("Ratios, all layers", f"{ratio_table(comparisons)}\n\n{spread(comparisons)} {sampling_note(comparisons)}"),
        ("Energies, all layers, in uJ an inference", energy_table(comparisons)),
        ("Ratios, layer by layer", layer_table(comparisons[FANOUT], comparisons[LEF])),
    )
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in sections)


def layout_table(layout: LayoutFigures) -> str:
    """Size of the layout and of its wires."""
    length_um = sum(layout.length_um.values())
    by_layer = ", ".join(f"{name} {length / 1000:.1f}" for name, length in layout.length_um.items())
    rows = [
        ("module", f"`{layout.design}`"),
        ("cells", f"{layout.cells}, {layout.flip_flops} of them flip-flops"),
        ("die", f"{layout.width_um:.0f} x {layout.height_um:.0f} um"),
        ("wires", f"{length_um / 1000:.1f} mm in {layout.nets} nets ({by_layer})"),
        ("input pins", f"{layout.pins_ff / 1000:.2f} pF"),
        ("wires, by fanout", f"{layout.fanout_ff / 1000:.2f} pF"),
        ("wires, LEF", f"{layout.lef_ff / 1000:.2f} pF, {layout.lef_ff / length_um:.3f} fF/um"),
        ("wires, magic", f"{layout.magic_ff / 1000:.2f} pF, {layout.magic_ff / length_um:.3f} fF/um"),
    ]
    return _table(("", ""), rows)


def ratio_table(comparisons: Mapping[str, Comparison]) -> str:
    """Baseline over optimized, a column for each estimate of the wires."""
    rows = [
        (f"{mode}, {what}", *(f"{_ratio(found, mode_key, key):.3f}x" for found in comparisons.values()))
        for mode_key, mode in _MODES
        for key, what in _SHARES
    ]
    return _table(("baseline / optimized", *comparisons), rows)


def widest_change(comparisons: Mapping[str, Comparison]) -> float:
    """How far the wires change a ratio, at most; 0.01 is one percent."""
    widest = 0.0
    for mode, _ in _MODES:
        for key, _ in _SHARES:
            ratios = [_ratio(found, mode, key) for found in comparisons.values()]
            widest = max(widest, max(ratios) / min(ratios) - 1)
    return widest


def spread(comparisons: Mapping[str, Comparison]) -> str:
    """How far the wires change a ratio, in a sentence."""
    return f"From column to column, a ratio changes by {100 * widest_change(comparisons):.1f} % at most."


def sampling_note(comparisons: Mapping[str, Comparison]) -> str:
    """What was simulated, and how sure the figures are."""
    reports = [report for found in comparisons.values() for report in (found.baseline, found.optimized)]
    share = reports[0].settings.sampled_share
    if share == 1:
        return "Every cycle was simulated."
    total = max(report.total.ci95_percent for report in reports)
    layer = max(layer.ci95_percent for report in reports for layer in report.layers)
    return (
        f"A sample of 1/{1 / share:.0f} of the cycles was simulated, the same for all columns. 95 % interval of a data "
        f"energy: {total:.2f} % in total, {layer:.2f} % at most in a layer."
    )


def energy_table(comparisons: Mapping[str, Comparison]) -> str:
    """Energies by where they are spent."""
    rows = []
    for mode_key, mode in _MODES:
        for wires, found in comparisons.items():
            for order, report in (("baseline", found.baseline), ("optimized", found.optimized)):
                parts = _parts(report.total, mode_key)
                figures = (
                    parts.switching_pj,
                    parts.internal_pj,
                    parts.clock_pj,
                    parts.leakage_pj,
                    parts.data_pj,
                    parts.total_pj,
                )
                rows.append((mode, wires, order, *(_microjoules(figure) for figure in figures)))
    header = ("delays", "layout and wires", "order", "switching", "internal", "clock", "leakage", "data", "total")
    return _table(header, rows)


def layer_table(before: Comparison, after: Comparison) -> str:
    """Each layer's ratios before and after layout."""
    header = ["layer", "MMACs"]
    header += [f"{mode}, {what}: before / after" for _, mode in _MODES for _, what in _SHARES]
    rows = []
    layers = zip(
        before.baseline.layers, before.optimized.layers, after.baseline.layers, after.optimized.layers, strict=True
    )
    names = telling_names([layer.name for layer in before.baseline.layers])
    for name, layer in zip(names, layers, strict=True):
        cells = [inline(name), f"{layer[0].macs / 1e6:.2f}"]
        for mode_key, _ in _MODES:
            for key, _ in _SHARES:
                values = [getattr(_parts(one, mode_key), key) for one in layer]
                cells.append(f"{values[0] / values[1]:.3f}x / {values[2] / values[3]:.3f}x")
        rows.append(tuple(cells))
    return _table(header, rows)


def _ratio(found: Comparison, mode: str, key: str) -> float:
    baseline, optimized = (getattr(_parts(one.total, mode), key) for one in (found.baseline, found.optimized))
    return float(baseline / optimized)


def _parts(layer: LayerEnergy, mode: str) -> EnergyParts:
    return layer.zero_delay if mode == "zero_delay" else layer.inertial


def _microjoules(energy_pj: float) -> str:
    energy_uj = energy_pj / _PJ_PER_UJ
    return f"{energy_uj:.0f}" if energy_uj >= 100 else f"{energy_uj:.3g}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
